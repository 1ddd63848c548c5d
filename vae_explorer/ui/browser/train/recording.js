// One training in the playback: its latent map, its decoded grid, its reconstructions.

import { element, formatNumber, toBytes } from "../lib/dom.js";
import { DOT_RADIUS, SIGMAS, createScatter } from "../lib/scatter.js";

const FEW_DOTS = 800;
const FEW_RADIUS = 2.6; // px, of so few dots or fewer
const CONTOURS = [1.5, 0.75, 0.75]; // px, line widths

/** An image that holds one image an epoch, drawn one or two at a time; `whenReady` once it is loaded. */
function createSheet({ src, columns, width, height }, whenReady) {
  const picture = new Image();
  let ready = false;
  picture.src = src;
  picture.decode().then(() => {
    ready = true;
    whenReady();
  }, () => {});
  const put = (context, index) => {
    const [x, y] = [(index % columns) * width, Math.floor(index / columns) * height];
    context.drawImage(picture, x, y, width, height, 0, 0, width, height);
  };
  return {
    /** Cross-fade from one of its images to another. */
    draw(canvas, { from, to, share }) {
      if (!ready) return;
      if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
      const context = canvas.getContext("2d");
      context.globalAlpha = 1;
      put(context, from);
      if (!share) return;
      context.globalAlpha = share;
      put(context, to);
    },
  };
}

/** Where an epoch lies among ascending ones: between which two, and at what share of the distance. */
export function placeOf(numbers, epoch) {
  let to = numbers.findIndex((number) => number > epoch);
  if (to === 0) return { from: 0, to: 0, share: 0 };
  if (to < 0) return { from: numbers.length - 1, to: numbers.length - 1, share: 0 };
  const from = to - 1;
  const share = (epoch - numbers[from]) / (numbers[to] - numbers[from]);
  return { from, to: share ? to : from, share };
}

export function createRecording(parent, given, whenReady) {
  const cell = element(parent, "section", "vae-recording");
  const heading = element(cell, "header");
  element(heading, "b", "", { title: given.title }).textContent = given.title;
  const told = element(heading, "output", "vae-epoch");
  const figure = (name) => {
    const canvas = element(element(cell, "figure", `vae-${name}`), "canvas", "", { role: "img" });
    return { canvas, caption: element(canvas.parentElement, "figcaption") };
  };
  const map = figure("played");
  const grid = given.grid && figure("decoded");
  const strip = element(cell, "div", "vae-reconstructions");
  const row = (name) => {
    element(strip, "span").textContent = name;
    return element(strip, "canvas", "vae-picture", { role: "img", "aria-label": `${name}, held-out images` });
  };
  const originals = given.originals && row("originals");
  const redrawn = row("reconstructions");

  const points = new Int16Array(toBytes(given.points).buffer);
  const labels = new Int16Array(toBytes(given.labels).buffer);
  const count = labels.length;
  const scatter = createScatter(map.canvas, {
    radius: count > FEW_DOTS ? DOT_RADIUS : FEW_RADIUS, lines: given.rings ? CONTOURS : null,
  });
  const sheets = {
    originals: given.originals && createSheet(given.originals, () => sheets.originals.draw(originals, { from: 0, share: 0 })),
    strips: createSheet(given.strips, whenReady),
    grid: given.grid && createSheet(given.grid.sheet, whenReady),
  };
  if (grid) {
    grid.caption.textContent = "decoder output over the square";
    grid.canvas.setAttribute("aria-label", "Grid of decoded images");
  }

  const pointsOf = (index) => points.subarray(2 * count * index, 2 * count * (index + 1));
  const mix = (list, { from, to, share }) => list[from].map((value, k) => value + share * (list[to][k] - value));

  return {
    measure: scatter.measure,
    first: given.numbers[0],
    last: given.numbers.at(-1),
    draw(epoch, { inks, hidden, follow }) {
      const place = placeOf(given.numbers, epoch);
      const [x, y, half] = follow ? mix(given.frames, place) : given.frame;
      const isDrawn = scatter.draw({
        frame: { x, y, half }, from: pointsOf(place.from), to: pointsOf(place.to), share: place.share, unit: given.unit,
        labels, inks, hidden,
      });
      if (!isDrawn) return;
      sheets.strips.draw(redrawn, place);
      if (grid) sheets.grid.draw(grid.canvas, placeOf(given.grid.epochs, epoch));
      told.textContent = `epoch ${Math.round(epoch)} of ${given.numbers.at(-1)}`;
      const ends = [x, y].map((middle, k) =>
        `${given.axes[k]} ${formatNumber(middle - half, 2)} … ${formatNumber(middle + half, 2)}`);
      map.caption.textContent = [...ends, ...(given.rings ? [`prior contours: ${SIGMAS.join(", ")} σ`] : [])].join(", ");
      map.canvas.setAttribute("aria-label", `${count} encodings at epoch ${Math.round(epoch)}`);
    },
  };
}
