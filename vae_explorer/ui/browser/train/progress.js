// View: progress of a training, its loss curves, its latent map and its reconstructions, updated in place.

import { announce, wholeMultiple } from "../lib/canvas.js";
import { createCurves, padRange } from "../lib/curves.js";
import { element, toFloats } from "../lib/dom.js";
import { createScatter, toInks } from "../lib/scatter.js";

// ------------------------------------------------------------------ loss curves

const PANELS = { loss: "Loss", reconstruction: "Reconstruction", kl: "KL" };
const HEIGHT = 82; // px of a panel
const EDGE = { left: 44, right: 8, top: 6, bottom: 20 };
const SETTLED = 0.1; // the share of the values, from the first on, that the axis need not show

const formatLoss = (value) => (Math.abs(value) >= 100 ? value.toFixed(1) : value.toPrecision(3)).replace("-", "−");

/** Loss, reconstruction and KL: a faint line of the batches, and a line each for training and validation.
 *
 * The caption has the latest values, or those of the epoch under the pointer.
 */
function createLossPanels(host) {
  let data = null;
  let pointed = null; // the epoch under the pointer

  const panels = Object.keys(PANELS).map((part) => {
    const figure = element(host, "figure", "watch-panel", { "data-part": part });
    const caption = element(figure, "figcaption");
    const chart = createCurves(figure, { height: HEIGHT, edge: EDGE });
    chart.svg.setAttribute("role", "img");
    chart.svg.addEventListener("pointermove", (event) => {
      pointed = Math.round(chart.epochAt(event.clientX, [0, lastEpoch()]));
      draw();
    });
    chart.svg.addEventListener("pointerleave", () => {
      pointed = null;
      draw();
    });
    return { part, figure, caption, chart };
  });
  element(host, "p", "watch-note").textContent = "In nats per image, by epoch. Thin line: individual batches.";

  const lastEpoch = () => Math.max(1, data.epochs.at(-1) ?? 0, data.at.at(-1) ?? 0);

  function draw() {
    const isPlain = [...data.train.kl, ...data.batches.kl].every((value) => value === 0); // an autoencoder
    for (const panel of panels) {
      panel.figure.hidden = isPlain && panel.part !== "loss";
      if (!panel.figure.hidden) drawPanel(panel);
    }
  }

  function drawPanel({ part, caption, chart }) {
    const { epochs, at } = data;
    const [batches, train, validation] = [data.batches[part], data.train[part], data.validation[part]];
    const row = pointed === null ? epochs.length - 1 : epochs.indexOf(pointed);
    const isPointed = pointed !== null && row >= 0;
    const values = row >= 0
      ? `<span class="watch-train">train ${formatLoss(train[row])}</span><span class="watch-validation">validation ${formatLoss(validation[row])}</span>`
      : batches.length ? `<span class="watch-train">train ${formatLoss(batches.at(-1))}</span>` : "";
    caption.innerHTML = `<b>${PANELS[part]}</b>${values}<span class="watch-when">${isPointed ? `epoch ${pointed}` : ""}</span>`;
    chart.svg.setAttribute("aria-label", caption.textContent);
    const seen = [batches, train, validation].flatMap((list) => list.slice(Math.floor(list.length * SETTLED)));
    if (!seen.length) return chart.clear();
    const lines = [
      { places: at, values: batches, className: "watch-batches" },
      { places: epochs, values: train, className: "watch-train" },
      { places: epochs, values: validation, className: "watch-validation" },
    ];
    chart.draw(lines, [0, lastEpoch()], padRange([Math.min(...seen), Math.max(...seen)], 0.04));
    if (isPointed) chart.addMarker("watch-pointed").move(pointed);
  }

  const resize = new ResizeObserver(() => data && draw());
  resize.observe(host);
  return {
    update(given) {
      data = given;
      draw();
    },
    destroy: () => resize.disconnect(),
  };
}

// ------------------------------------------------------------------ latent map

const GLIDE = 190; // ms, between two epochs

/** Rotate or reflect points about the origin to lie near others (orthogonal Procrustes in two
 *  dimensions): the signs of principal components are arbitrary. */
export function alignTo(points, others) {
  const m = [0, 0, 0, 0]; // sum of other × pointᵀ
  for (let k = 0; k < points.length; k += 2)
    for (let i = 0; i < 2; i++) for (let j = 0; j < 2; j++) m[2 * i + j] += others[k + i] * points[k + j];
  const rotated = [m[0] + m[3], m[2] - m[1]];
  const reflected = [m[0] - m[3], m[2] + m[1]];
  const sign = Math.hypot(...rotated) >= Math.hypot(...reflected) ? 1 : -1;
  const [c, s] = sign > 0 ? rotated : reflected;
  const size = Math.hypot(c, s) || 1;
  return points.map((_, k) => (k % 2
    ? (s * points[k - 1] + sign * c * points[k]) / size
    : (c * points[k] - sign * s * points[k + 1]) / size));
}

/** The latent map of the latest epoch; its points glide there from those of the epoch before. */
function createLatentMap(host) {
  const heading = element(host, "figcaption");
  const canvas = element(host, "canvas", "", { role: "img" });
  const legend = element(host, "div", "watch-legend");
  let data = null;
  let epoch = null;
  let frame = 0; // the pending animation frame
  let shown = null, from = null, to = null; // {points, half}
  let scatter = null;
  const lessMotion = matchMedia("(prefers-reduced-motion: reduce)");

  function draw() {
    if (!shown || !scatter.measure()) return;
    scatter.draw({
      frame: { x: 0, y: 0, half: shown.half }, from: shown.points, labels: data.labels, inks: toInks(data.colours),
    });
    announce(host, { since: 0, z: shown.points });
  }

  function glide(began) {
    const step = (now) => {
      const t = Math.max(0, Math.min(1, (now - began) / GLIDE));
      const eased = t * t * (3 - 2 * t);
      shown = {
        half: from.half + eased * (to.half - from.half),
        points: to.points.map((value, k) => from.points[k] + eased * (value - from.points[k])),
      };
      draw();
      frame = t < 1 ? requestAnimationFrame(step) : 0;
    };
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(step);
  }

  const resize = new ResizeObserver(draw);
  resize.observe(canvas);
  return {
    update(given, number) {
      const isNew = number !== epoch;
      data = given;
      epoch = number;
      scatter ??= createScatter(canvas, { lines: data.rings ? [1, 1, 1] : null, opacity: 0.45 });
      heading.innerHTML = `<b>Latent map</b><span>after epoch ${number}</span>`;
      canvas.setAttribute("aria-label", `Latent map after epoch ${number}: ${data.axes.join(" and ")}`);
      legend.replaceChildren();
      data.label_names.forEach((name, k) => {
        const entry = element(legend, "span");
        entry.style.setProperty("--class-colour", data.colours[k % data.colours.length]);
        entry.textContent = name;
      });
      if (!isNew) return draw();
      const points = toFloats(data.points);
      const isSame = shown && shown.points.length === points.length;
      to = { points: isSame && data.turns ? alignTo(points, to.points) : points, half: data.half };
      if (!isSame || lessMotion.matches) {
        shown = to;
        return draw();
      }
      from = shown;
      return glide(performance.now());
    },
    destroy() {
      cancelAnimationFrame(frame);
      resize.disconnect();
    },
  };
}

// ------------------------------------------------------------------ reconstructions

const MIN_COLUMNS = 8;

/** Originals and reconstructions in two rows, at a whole multiple of their size. */
function createReconstructions(host) {
  const canvases = ["Originals", "Reconstructions"].map((name) => {
    const row = element(host, "div", "watch-row");
    element(row, "span", "watch-name").textContent = name;
    return element(row, "canvas", "", { role: "img", "aria-label": `${name}, held-out images` });
  });
  let data = null;

  async function paintRow(canvas, source) {
    const image = new Image();
    image.src = source;
    await image.decode(); // until then the last one stays
    const scale = wholeMultiple(data.side * Math.min(MIN_COLUMNS, data.count), host.clientWidth || 300);
    const columns = Math.min(data.count, Math.floor(host.clientWidth / (data.side * scale)) || 1);
    canvas.width = columns * data.side;
    canvas.height = data.side;
    canvas.style.width = `${canvas.width * scale}px`;
    canvas.getContext("2d").drawImage(image, 0, 0);
  }

  const draw = () => data && [data.original, data.reconstructed].forEach((source, k) => paintRow(canvases[k], source));
  const resize = new ResizeObserver(draw);
  resize.observe(host);
  return {
    update(given) {
      const isNew = data?.reconstructed !== given.reconstructed;
      data = given;
      if (isNew) draw();
    },
    destroy: () => resize.disconnect(),
  };
}

// ------------------------------------------------------------------ view

export function createProgress(host) {
  host.classList.add("watch");
  const bar = element(host, "div", "watch-bar", {
    role: "progressbar", "aria-valuemin": 0, "aria-valuemax": 100, "aria-label": "Training progress",
  });
  const done = element(bar, "i");
  const said = element(host, "p", "watch-said");
  const wait = element(host, "p", "watch-wait");
  wait.textContent = "The latent map and the reconstructions appear after the first epoch.";
  const part = (tag, className, create) => {
    const place = element(host, tag, className);
    return { place, ...create(place) };
  };
  const map = part("figure", "watch-map", createLatentMap);
  const curves = part("div", "watch-curves", createLossPanels);
  const strip = part("div", "watch-strip", createReconstructions);

  return {
    update({ data }) {
      bar.setAttribute("aria-valuenow", Math.round(100 * data.share));
      done.style.width = `${100 * data.share}%`;
      said.textContent = data.said;
      wait.hidden = Boolean(data.map) || !data.live;
      map.place.hidden = !data.map;
      strip.place.hidden = !data.strip;
      curves.place.hidden = !data.curves.epochs.length && !data.curves.at.length;
      curves.update(data.curves);
      if (data.map) map.update(data.map, data.epoch);
      if (data.strip) strip.update(data.strip);
    },
    destroy() {
      for (const each of [map, curves, strip]) each.destroy();
    },
  };
}
