// A model's decoder and encoder, computed where it is fastest: in this browser or on the server.
//
// An engine gives sources as those of ../source.js, so that a view takes either.

import { EngineError, readHeader } from "./packed.js";
import { createPool } from "./workers.js";

const MOST_WORKERS = 4;
const BATCH = 16; // images, timed at the start
const MANY = 400; // images of a large grid
const [FEWEST_RUNS, MOST_RUNS] = [4, 10];
const ENOUGH = 100; // ms, for timing one backend with more than the fewest
const HOPELESS = 10; // times as slow as another backend: not timed further
const SLOW = 80; // ms: where the browser takes longer, the server is tried
const LEARNING = 0.2; // of a measured time in what is expected
const TRIES = 2; // the first answer of a server may have had to load the model
const REFUSALS = [409, 422]; // of a request itself; see source.js

const NOT_HERE = "This browser cannot compute this model. Use another browser, or the app with its server.";
const LABELS = {
  WebGL: "Computed in this browser (WebGL)",
  WebAssembly: "Computed in this browser (WebAssembly)",
  JavaScript: "Computed in this browser (JavaScript)",
  server: "Computed on the server",
};

/** Create an engine: it starts at once to load the decoder and to time the backends.
 *
 * load: async (network) => ArrayBuffer, a packed model with its "decoder" or "encoder", or both.
 * kinds: backends to try, in this order: "plain" (WebAssembly, else JavaScript), "javascript", "webgl".
 * onChange: called with the engine's new `label`.
 */
export function createEngine(load, { kinds = ["plain", "webgl"], onChange = () => {} } = {}) {
  const packed = {}; // network -> promise of its bytes
  const candidates = []; // {kind, name, pool, running, first, each}: n images take about first + (n - 1) each ms
  const served = { tries: 0, each: 0 };
  let about = null; // imageShape, latentDim
  let label = "";
  let isClosed = false;
  const failed = new Set(); // kinds
  const troubles = [];

  const fetchOnce = (network) =>
    (packed[network] ??= load(network)
      .then((buffer) => {
        about ??= readHeader(buffer);
        return buffer;
      })
      .catch((error) => {
        delete packed[network]; // the next time may be better
        throw error;
      }));

  const expect = ({ first, each }, n) => first + (n - 1) * each;
  const bestFor = (n) => candidates.reduce((best, other) => (expect(other, n) < expect(best, n) ? other : best), candidates[0]);

  const note = (kind, error) => {
    failed.add(kind);
    troubles.push(`${kind}: ${error.message}`);
  };

  const drop = (candidate, error = null) => {
    if (error) note(candidate.kind, error);
    candidate.pool.close();
    const place = candidates.indexOf(candidate);
    if (place >= 0) candidates.splice(place, 1);
  };

  const use = (name) => {
    if (label === LABELS[name]) return;
    label = LABELS[name];
    onChange(label);
  };

  // ------------------------------------------------------------------ which is fastest

  /** Time a backend: the shortest of some runs. */
  async function measure(candidate) {
    const random = (n) => Float32Array.from({ length: n * about.latentDim }, (_, i) => Math.sin(12.9898 * (i + 1)) * 2);
    const time = async (n, limit) => {
      const z = random(n);
      let [shortest, whole] = [Infinity, 0];
      for (let run = 0; run < MOST_RUNS && (run < FEWEST_RUNS || whole < ENOUGH); run++) {
        const start = performance.now();
        await candidate.pool.run("decoder", z, n, "rgba");
        const took = performance.now() - start;
        shortest = Math.min(shortest, took);
        whole += took;
        if (run > 0 && shortest > limit) break; // the first one warms up
      }
      return shortest;
    };
    const rival = candidates[0] ? expect(bestFor(1), 1) : Infinity;
    candidate.first = await time(1, HOPELESS * rival);
    candidate.each = candidate.first;
    if (candidate.first < HOPELESS * rival) {
      candidate.each = Math.max(0, (await time(BATCH, Infinity)) - candidate.first) / (BATCH - 1);
    }
  }

  let isReady = false;
  let setReady = null;
  const ready = new Promise((resolve) => {
    setReady = () => {
      isReady = true;
      resolve();
    };
  });

  async function open(kind) {
    const candidate = { kind, name: kind, pool: null, first: Infinity, each: Infinity, running: 0 };
    try {
      const buffer = await fetchOnce("decoder");
      const cores = globalThis.navigator?.hardwareConcurrency ?? 1;
      candidate.pool = createPool(kind, Math.max(1, Math.min(cores, MOST_WORKERS)));
      await candidate.pool.open("decoder", buffer);
      candidate.name = candidate.pool.name;
      await measure(candidate);
      candidates.push(candidate);
      setReady(); // the others are timed while this one answers
    } catch (error) {
      note(kind, error);
      candidate.pool?.close();
    }
    if (isClosed && candidates.includes(candidate)) drop(candidate);
  }

  async function start() {
    for (const kind of kinds) if (!isClosed) await open(kind);
    // What is slower both for one image and for many is of no use, as long as the others live.
    const useful = new Set([bestFor(1), bestFor(MANY)]);
    for (const candidate of [...candidates]) if (!useful.has(candidate)) drop(candidate);
    delete packed.decoder; // every backend has it
  }

  /** Open one that was of no use, now that the others are gone; resolves to whether there is one. */
  let reopening = null;
  function reopen() {
    reopening ??= (async () => {
      await settled;
      for (const kind of kinds) if (!isClosed && !failed.has(kind) && !candidates.length) await open(kind);
      reopening = null;
      return candidates.length > 0;
    })();
    return reopening;
  }

  const settled = start().finally(setReady); // even if there is only the server

  // ------------------------------------------------------------------ decoding

  /** By the server; its time counts. */
  async function decodeThere(server, z, n) {
    const start = performance.now();
    const images = await server.decode(z);
    const each = (performance.now() - start) / n;
    served.each = served.tries < TRIES ? Math.min(each, served.each || Infinity) : (served.each + each) / 2;
    served.tries++;
    use("server");
    return images;
  }

  async function decodeHere(candidate, z, n) {
    const isAlone = !candidate.running;
    candidate.running++;
    const start = performance.now();
    try {
      const pixels = await candidate.pool.run("decoder", z, n, "rgba");
      const [, height, width] = about.imageShape;
      use(candidate.name);
      return { width, height, count: n, pixels };
    } finally {
      candidate.running--;
      if (isAlone) learn(candidate, (performance.now() - start) / expect(candidate, n));
    }
  }

  /** Follow what a backend took, as a share of what was expected: the machine was busy when it was timed, or is now. */
  function learn(candidate, share) {
    const factor = Math.min(Math.max(share, 0.5), 2) ** LEARNING;
    candidate.first *= factor;
    candidate.each *= factor;
  }

  const prefersServer = (n) => {
    const here = expect(bestFor(n), n);
    return here > SLOW && (served.tries < TRIES || served.each * n < here);
  };

  /** z: Float32Array of n latents. Returns {width, height, count, pixels: RGBA bytes}. */
  async function decode(server, z) {
    if (!isReady && server) {
      const images = await server.decode(z); // not timed: the backends are, at the same time
      if (!label) use("server");
      return images;
    }
    await ready;
    const n = about ? z.length / about.latentDim : 1;
    if (!Number.isInteger(n) || n < 1) throw new EngineError(`An image takes ${about.latentDim} values; found ${z.length}.`);
    if (server && candidates.length && prefersServer(n)) {
      try {
        return await decodeThere(server, z, n);
      } catch (error) {
        if (REFUSALS.includes(error.status)) throw error;
        Object.assign(served, { tries: TRIES, each: Infinity }); // busy, or cut off: from now on here
      }
    }
    while (candidates.length) {
      const candidate = bestFor(n);
      try {
        return await decodeHere(candidate, z, n);
      } catch (error) {
        if (isClosed) throw error;
        drop(candidate, error); // its context is lost, or its worker has ended
      }
    }
    if (isClosed) throw new EngineError("The engine was closed.");
    const isBack = reopen();
    if (server) return decodeThere(server, z, n);
    if (await isBack) return decode(server, z);
    throw new EngineError(NOT_HERE);
  }

  // ------------------------------------------------------------------ encoding

  async function encodeHere(image) {
    const buffer = await fetchOnce("encoder");
    for (const candidate of [...candidates].sort((a, b) => expect(a, 1) - expect(b, 1))) {
      try {
        await candidate.pool.open("encoder", buffer);
        return await candidate.pool.run("encoder", image, 1, "values");
      } catch (error) {
        troubles.push(`${candidate.kind}: ${error.message}`); // whether it still decodes is another matter
      }
    }
    throw new EngineError(NOT_HERE);
  }

  /** image: Float32Array of one image in [0, 1]. Returns {zMean, zLogVar (empty if there is none)}. */
  async function encode(server, image) {
    if (!isReady && server) return server.encode(image);
    await ready;
    try {
      const values = await encodeHere(image);
      return { zMean: values.slice(0, about.latentDim), zLogVar: values.slice(about.latentDim) };
    } catch (error) {
      if (!server || isClosed) throw error;
      return server.encode(image);
    }
  }

  return {
    /** Resolves when images are computed here, or cannot be. */
    ready,
    /** Resolves when all backends are timed. */
    settled,
    /** A source as those of ../source.js. `server`, another one, answers until the engine is ready, what takes long
     * here, and everything where nothing else can; without it, this waits. */
    source: (server = null) => ({
      decode: (z) => decode(server, z),
      encode: (image) => encode(server, image),
      ask: (...request) => server.ask(...request),
    }),
    /** Where the last image was computed, as a sentence; "" before the first. */
    get label() {
      return label;
    },
    /** What was measured: [{name, first, each}], in ms for one image and for each more. */
    get measured() {
      return candidates.map(({ name, first, each }) => ({ name, first, each }));
    },
    /** Why backends are not used, one line each. */
    get troubles() {
      return [...troubles];
    },
    close() {
      isClosed = true;
      for (const candidate of [...candidates]) drop(candidate);
    },
  };
}
