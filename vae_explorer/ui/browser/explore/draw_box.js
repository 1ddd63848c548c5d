// View: a box to draw a digit in, encoded while it is drawn.

import { announce, paint } from "../lib/canvas.js";
import { openChannel } from "../lib/channel.js";
import { createNotes, element, formatNumber, toFloats } from "../lib/dom.js";
import { createHolder } from "../lib/model.js";
import { createFeed } from "../lib/source.js";

const BOX = 168; // px
const PEN = 15; // px
const INNER = 20; // px: the box that MNIST's digits were scaled to
const NEAREST = 6; // neighbours whose labels are shown

/** Scale and centre a drawing as in MNIST: into 20x20, the centre of mass in the middle of 28x28. */
function likeMnist(drawing, size) {
  const { width, height } = drawing;
  const ink = drawing.getContext("2d").getImageData(0, 0, width, height).data;
  let [left, top, right, bottom] = [width, height, -1, -1];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (ink[(y * width + x) * 4 + 3] < 8) continue;
      left = Math.min(left, x);
      right = Math.max(right, x);
      top = Math.min(top, y);
      bottom = Math.max(bottom, y);
    }
  }
  if (right < 0) return null;
  const longest = Math.max(right - left, bottom - top) + 1;
  // Area interpolation: each pixel is the mean of the square that it covers.
  const step = longest / INNER;
  const inner = new Float32Array(INNER * INNER);
  let [mass, massX, massY] = [0, 0, 0];
  for (let row = 0; row < INNER; row++) {
    for (let column = 0; column < INNER; column++) {
      let [sum, count] = [0, 0];
      for (let y = Math.floor(top + row * step); y < top + (row + 1) * step; y++) {
        for (let x = Math.floor(left + column * step); x < left + (column + 1) * step; x++) {
          sum += x < width && y < height ? ink[(y * width + x) * 4 + 3] : 0;
          count++;
        }
      }
      const value = sum / count / 255;
      inner[row * INNER + column] = value;
      mass += value;
      massX += value * (column + 0.5);
      massY += value * (row + 0.5);
    }
  }
  const image = new Float32Array(size * size);
  const shiftX = Math.round(size / 2 - massX / mass);
  const shiftY = Math.round(size / 2 - massY / mass);
  for (let row = 0; row < INNER; row++) {
    for (let column = 0; column < INNER; column++) {
      const [x, y] = [column + shiftX, row + shiftY];
      if (x >= 0 && y >= 0 && x < size && y < size) image[y * size + x] = inner[row * INNER + column];
    }
  }
  return image;
}

export function createDrawBox(host) {
  const paper = element(host, "canvas", "vae-paper", { width: BOX, height: BOX, "aria-label": "Draw a digit here" });
  const side = element(host, "div", "vae-side");
  const seen = element(element(side, "figure"), "canvas", "vae-picture");
  element(seen.parentElement, "figcaption").textContent = "Model input";
  const answer = element(element(side, "figure"), "canvas", "vae-picture");
  element(answer.parentElement, "figcaption").textContent = "Reconstruction";
  const words = element(host, "p", "vae-words", { role: "status" });
  const buttons = element(host, "div", "vae-buttons");
  const undo = element(buttons, "button", "", { type: "button" });
  const clear = element(buttons, "button", "", { type: "button" });
  undo.textContent = "Undo";
  clear.textContent = "Clear";
  const notes = createNotes(host);
  const pen = paper.getContext("2d", { willReadFrequently: true });
  const model = createHolder();
  let data, feed, channel, latents;
  let strokes = [];
  let stroke = null;

  function redraw() {
    pen.clearRect(0, 0, BOX, BOX);
    pen.lineWidth = PEN;
    pen.lineCap = pen.lineJoin = "round";
    for (const points of strokes) {
      pen.beginPath();
      pen.moveTo(...points[0]);
      for (const point of points) pen.lineTo(...point);
      pen.stroke();
    }
  }

  function look(since) {
    redraw();
    const image = likeMnist(paper, data.image_size);
    if (image) feed(() => ({ z: image, since }));
    else {
      channel.move({ z: null, logVar: null, image: null }, 0);
      seen.width = answer.width = 0;
      words.textContent = "Draw a digit to encode and reconstruct it.";
    }
  }

  /** Describe the digits of the nearest stored encodings, most frequent first. */
  function describeNearest(z) {
    const d = z.length;
    const found = data.labels.map((label, i) => {
      let distance = 0;
      for (let k = 0; k < d; k++) distance += (latents[i * d + k] - z[k]) ** 2;
      return [distance, label];
    });
    found.sort((a, b) => a[0] - b[0]);
    const counts = new Map();
    for (const [, label] of found.slice(0, NEAREST)) counts.set(label, (counts.get(label) ?? 0) + 1);
    const groups = [...counts].sort((a, b) => b[1] - a[1]).map(([label, count]) => [data.label_names[label], count]);
    const total = Math.min(NEAREST, found.length);
    if (groups.length === 1) return `The ${total} nearest test images are all ${groups[0][0]}s.`;
    const parts = groups.map(([name, count]) => (count > 1 ? `${count} are ${name}s` : `1 is ${name === "8" ? "an" : "a"} ${name}`));
    return `Of the ${total} nearest test images, ${parts.slice(0, -1).join(", ")} and ${parts.at(-1)}.`;
  }

  function draw(images, { image, zMean, zLogVar, request }) {
    const size = data.image_size;
    const grey = new Uint8ClampedArray(4 * image.length).fill(255);
    image.forEach((value, i) => grey.fill(Math.round(value * 255), 4 * i, 4 * i + 3));
    // Binary cross-entropy, from the decoder's output in eight bits.
    let cost = 0;
    for (let i = 0; i < image.length; i++) {
      const p = Math.min(509 / 510, Math.max(1 / 510, images.pixels[4 * i] / 255));
      cost -= image[i] * Math.log(p) + (1 - image[i]) * Math.log(1 - p);
    }
    let kl = 0;
    zLogVar.forEach((logVar, k) => (kl += 0.5 * (zMean[k] ** 2 + Math.exp(logVar) - logVar - 1)));
    paint(seen, { width: size, height: size, count: 1, pixels: grey }, 1, true);
    paint(answer, images, 1, true);
    const total = zLogVar.length
      ? `−ELBO ≈ ${Math.round(cost + kl)} nats (reconstruction ${Math.round(cost)} + KL ${formatNumber(kl)})`
      : `Reconstruction error ≈ ${Math.round(cost)} nats`;
    words.textContent = `${describeNearest(zMean)} ${total}.`;
    channel.move({ z: Array.from(zMean), logVar: Array.from(zLogVar), image }, 0);
    announce(host, { ...request, z: zMean });
  }

  const point = (event) => {
    const box = paper.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * BOX, ((event.clientY - box.top) / box.height) * BOX];
  };
  paper.addEventListener("pointerdown", (event) => {
    paper.setPointerCapture(event.pointerId);
    stroke = [point(event)];
    strokes.push(stroke);
    look(event.timeStamp);
  });
  paper.addEventListener("pointermove", (event) => {
    if (!stroke) return;
    stroke.push(point(event));
    look(event.timeStamp);
  });
  for (const end of ["pointerup", "pointercancel"]) paper.addEventListener(end, () => (stroke = null));
  undo.addEventListener("click", () => {
    strokes.pop();
    look(0);
  });
  clear.addEventListener("click", () => {
    strokes = [];
    look(0);
  });

  return {
    update(component) {
      data = component.data;
      latents = toFloats(data.latents);
      channel = openChannel(data.channel);
      if (!model.take(data)) return;
      const source = model.source();
      const encodeAndDecode = {
        async decode(image) {
          const posterior = await source.encode(image);
          return { images: await source.decode(posterior.zMean), image, ...posterior };
        },
      };
      feed = createFeed(
        encodeAndDecode, notes, (found, request) => draw(found.images, { ...found, request }),
        () => component.setStateValue("unreachable", true),
      );
      look(0);
    },
    destroy() {
      channel?.move({ z: null, logVar: null, image: null }, 0);
      model.close();
    },
  };
}
