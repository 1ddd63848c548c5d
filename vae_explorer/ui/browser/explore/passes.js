// Progressive refinement of a grid: interleaved passes, each decoded within a frame.

/** What the grid shows, against the values that it should show. */
export const State = Object.freeze({
  IDLE: "idle", // every tile is up to date
  FULL: "full", // all tiles are decoded in one request
  COARSE: "coarse", // the first of several passes is decoded: one tile in so many
  INTERLEAVED: "interleaved", // the other passes fill in the tiles between
});

const FRAME = 16; // ms
const MAX_PASSES = 9;

/** The tiles of one of several interleaved passes: one in `count` of each row, shifted from row to row. */
export function tilesOf(pass, count, columns, tiles) {
  const shift = Math.round(Math.sqrt(count));
  const place = (tile) => (tile % columns) + shift * Math.floor(tile / columns);
  return Array.from({ length: tiles }, (_, tile) => tile).filter((tile) => place(tile) % count === pass);
}

/** Keeps track of which pass shows which version of the values.
 *
 * While the values change, each pass is decoded for the values of its own moment, one pass a frame;
 * when they rest, the remaining passes complete the grid.
 */
export function createPasses() {
  let version = 0; // of the values
  let count = 1; // passes that the tiles are divided into
  let asked = [0]; // by pass: the version last requested
  let drawn = [0]; // by pass: the version on the canvas
  let next = 0; // the pass to request
  let fresh = 0; // passes drawn since all of them were
  let took = 0; // ms, for those
  let last = 0; // time of the last of them

  const isCurrent = (each) => each === version;

  function divide(wanted) {
    fresh = took = 0;
    if (wanted === count) return;
    const settled = drawn.every(isCurrent);
    drawn = Array(wanted).fill(settled ? version : 0);
    asked = [...drawn];
    count = wanted;
    next = 0;
  }

  return {
    get state() {
      if (drawn.every(isCurrent)) return State.IDLE;
      if (count === 1) return State.FULL;
      return drawn.some(isCurrent) ? State.INTERLEAVED : State.COARSE;
    },
    /** Whether something has to be requested. */
    get isOutdated() {
      return !asked.every(isCurrent);
    },
    /** The values have changed. */
    outdate() {
      version++;
    },
    /** The next pass to request, at a time in ms. */
    begin(at) {
      const pass = { index: next, count, version, at };
      asked[next] = version;
      next = (next + 1) % count;
      return pass;
    },
    /** A pass was drawn; returns whether by now all were. */
    finish(pass, now) {
      took += now - Math.max(pass.at, last);
      last = now;
      if (pass.count === count) {
        drawn[pass.index] = pass.version;
        fresh++;
      }
      return fresh === count;
    },
    /** Divide the tiles so that a pass takes a frame, by the time that the last round took. */
    adapt(tiles, columns) {
      const most = Math.min(MAX_PASSES, columns, tiles);
      divide(Math.min(most, Math.max(1, Math.ceil(took / FRAME))));
    },
    /** Go back to one pass, for another grid. */
    reset: () => divide(1),
  };
}
