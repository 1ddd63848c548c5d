// View: an image of one's own, cropped by hand, encoded and reconstructed while the crop moves.

import { announce, paint } from "../lib/canvas.js";
import { openChannel } from "../lib/channel.js";
import { clamp, createNotes, debounce, element } from "../lib/dom.js";
import { createHolder } from "../lib/model.js";
import { createBuffer } from "../lib/photo.js";
import { createSlider } from "../lib/slider.js";
import { createFeed } from "../lib/source.js";

const SIDE = 224; // px, of the crop on the page
const MOST_ZOOM = 8;
const KEY_STEP = 4; // px

/** RGBA bytes to a model's input in [0, 1]: a channel after another, inverted on request. */
export function toInput(pixels, channels, inverted) {
  const size = pixels.length / 4;
  const image = new Float32Array(channels * size);
  for (let i = 0; i < size; i++) {
    const colour = pixels.subarray(4 * i, 4 * i + 3);
    // ITU-R 601, as Pillow's conversion to greyscale
    const values = channels === 1 ? [0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]] : colour;
    for (let c = 0; c < channels; c++) image[c * size + i] = inverted ? 1 - values[c] / 255 : values[c] / 255;
  }
  return image;
}

export function createUpload(host) {
  const choose = element(host, "label", "vae-file");
  element(choose, "span").textContent = "Load an image";
  const file = element(choose, "input", "", { type: "file", accept: "image/*" });
  const work = element(host, "div", "vae-crop");
  const frame = element(work, "div", "vae-crop-frame", {
    tabindex: 0, role: "application", "aria-label": "Crop of the image. Arrow keys move it, + and − zoom.",
  });
  const paper = element(frame, "canvas", "", { width: SIDE, height: SIDE });
  const side = element(work, "div", "vae-side");
  const [seen, answer] = ["Model input", "Reconstruction"].map((name) => {
    const canvas = element(element(side, "figure"), "canvas", "vae-picture");
    element(canvas.parentElement, "figcaption").textContent = name;
    return canvas;
  });
  const words = element(work, "p", "vae-words", { role: "status" });
  const controls = element(work, "div");
  const invert = element(element(controls, "label", "vae-check"), "input", "", { type: "checkbox" });
  element(invert.parentElement, "span").textContent = "Light background";
  const notes = createNotes(host);
  work.hidden = true;
  const model = createHolder();
  let data, send, channel, feed;
  let image = null; // ImageBitmap
  let crop = null; // {x, y: the centre in px of the image, zoom}

  const commit = debounce(() => answered && send("taken", { z: answered, picture: paper.toDataURL("image/png") }));
  let answered = null; // the z of the last answer
  const zoom = createSlider(controls, {
    label: "Zoom", low: 1, high: MOST_ZOOM, step: 0.1, reset: 1, name: "zoom",
  }, { className: "vae-slider", commit, move: (value, since) => moveTo({ zoom: value }, since) });

  /** Draw the crop into a context of a size. */
  function drawCrop(context, size) {
    const length = Math.min(image.width, image.height) / crop.zoom;
    context.imageSmoothingQuality = "high";
    context.fillStyle = "#fff";
    context.fillRect(0, 0, size, size);
    context.drawImage(image, crop.x - length / 2, crop.y - length / 2, length, length, 0, 0, size, size);
  }

  function readCrop() {
    const [channels, size] = data.image_shape;
    const inner = createBuffer(data.inner);
    drawCrop(inner, data.inner);
    const whole = createBuffer(size);
    // A model's images may have a margin around those of its data.
    whole.fillStyle = invert.checked ? "#fff" : "#000";
    whole.fillRect(0, 0, size, size);
    whole.drawImage(inner.canvas, Math.floor((size - data.inner) / 2), Math.floor((size - data.inner) / 2));
    return toInput(whole.getImageData(0, 0, size, size).data, channels, data.ink && invert.checked);
  }

  function moveTo(change, since) {
    if (!image) return;
    Object.assign(crop, change);
    const half = Math.min(image.width, image.height) / crop.zoom / 2;
    crop.x = clamp(crop.x, half, image.width - half);
    crop.y = clamp(crop.y, half, image.height - half);
    zoom.show(crop.zoom, `${crop.zoom.toFixed(1)} ×`);
    drawCrop(paper.getContext("2d"), SIDE);
    const input = readCrop();
    feed(() => ({ z: input, since }));
  }

  async function take(blob) {
    try {
      image = await createImageBitmap(blob);
    } catch {
      words.textContent = "";
      notes.show("This file is not an image that this browser can read. Choose a JPEG, PNG or WebP file.");
      return;
    }
    notes.hide();
    work.hidden = false;
    crop = { x: image.width / 2, y: image.height / 2, zoom: 1 };
    if (data.ink) {
      drawCrop(paper.getContext("2d"), SIDE);
      const edge = paper.getContext("2d").getImageData(0, 0, SIDE, 4).data;
      invert.checked = edge.reduce((sum, value) => sum + value, 0) / edge.length > 160; // alpha is 255
    }
    moveTo({}, 0);
    commit.soon();
  }

  file.addEventListener("change", () => file.files[0] && take(file.files[0]));
  for (const name of ["dragover", "drop"]) {
    host.addEventListener(name, (event) => {
      event.preventDefault();
      if (name === "drop" && event.dataTransfer.files[0]) take(event.dataTransfer.files[0]);
    });
  }
  invert.addEventListener("change", () => moveTo({}, 0));

  let drag = null;
  const unit = () => Math.min(image.width, image.height) / crop.zoom / (frame.clientWidth || SIDE); // px of the image a px here
  frame.addEventListener("pointerdown", (event) => {
    frame.setPointerCapture(event.pointerId);
    drag = { x: event.clientX, y: event.clientY, from: { ...crop } };
  });
  frame.addEventListener("pointermove", (event) => {
    if (!drag) return;
    const [dx, dy] = [event.clientX - drag.x, event.clientY - drag.y];
    moveTo({ x: drag.from.x - dx * unit(), y: drag.from.y - dy * unit() }, event.timeStamp);
  });
  for (const end of ["pointerup", "pointercancel"]) {
    frame.addEventListener(end, () => {
      drag = null;
      commit.soon();
    });
  }
  frame.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (step) moveTo({ x: crop.x - KEY_STEP * step[0] * unit(), y: crop.y - KEY_STEP * step[1] * unit() }, event.timeStamp);
    else if ("+-".includes(event.key)) moveTo({ zoom: clamp(crop.zoom * (event.key === "+" ? 1.1 : 1 / 1.1), 1, MOST_ZOOM) }, event.timeStamp);
    else return;
    event.preventDefault();
    commit.soon();
  });

  function draw({ images, input, zMean, zLogVar }, request) {
    const [channels, size] = data.image_shape;
    const shown = new Uint8ClampedArray(4 * size * size).fill(255);
    for (let i = 0; i < size * size; i++) {
      for (let c = 0; c < 3; c++) shown[4 * i + c] = 255 * input[(channels === 1 ? 0 : c) * size * size + i];
    }
    let error = 0;
    for (let i = 0; i < size * size; i++) {
      for (let c = 0; c < channels; c++) error += (images.pixels[4 * i + c] / 255 - input[c * size * size + i]) ** 2;
    }
    paint(seen, { width: size, height: size, count: 1, pixels: shown }, 1, data.ink);
    paint(answer, images, 1, data.ink);
    const rms = Math.sqrt(error / input.length);
    words.textContent = `${data.hint} The reconstruction differs by ${(100 * rms).toFixed(0)}% of full contrast (RMS).`;
    answered = Array.from(zMean);
    channel.move({ z: answered, logVar: Array.from(zLogVar), image: input }, 0);
    announce(host, { ...request, z: zMean });
  }

  return {
    update(component) {
      data = component.data;
      send = component.setTriggerValue;
      channel = openChannel(data.channel);
      invert.parentElement.hidden = !data.ink;
      frame.querySelectorAll("i").forEach((eye) => eye.remove());
      for (const [x, y] of data.eyes ?? []) {
        Object.assign(element(frame, "i").style, { left: `${100 * x}%`, top: `${100 * y}%` });
      }
      if (!model.take(data)) return;
      const source = model.source();
      const encodeAndDecode = {
        async decode(input) {
          const posterior = await source.encode(input);
          return { images: await source.decode(posterior.zMean), input, ...posterior };
        },
      };
      feed = createFeed(encodeAndDecode, notes, draw, () => component.setStateValue("unreachable", true));
    },
    destroy() {
      channel?.move({ z: null, logVar: null, image: null }, 0);
      model.close();
    },
  };
}
