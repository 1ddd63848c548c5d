// View: a morph, two faces interpolated in latent space, with the photos' residuals blended in.

import { announce } from "../lib/canvas.js";
import { openChannel } from "../lib/channel.js";
import { createNotes, element, toFloats } from "../lib/dom.js";
import { alongPath } from "../lib/latents.js";
import { createHolder } from "../lib/model.js";
import { createBuffer, readPicture } from "../lib/photo.js";
import { createPlayer, thereAndBack } from "../lib/player.js";
import { createFeed } from "../lib/source.js";
import { addResiduals, residual } from "./blend.js";

const SECONDS = 4; // of playing one way
const STRIP_PIXELS = 1600;
const STRIP_COLUMNS = 12; // more steps take another row
const RETRY_AFTER = 1000; // ms

export function createMorph(host) {
  const row = element(host, "div", "vae-morph");
  const [first, screen, last] = ["img", "canvas", "img"].map((tag) => element(element(row, "figure"), tag));
  const words = [first, screen, last].map((shown) => element(shown.parentElement, "figcaption"));
  const player = createPlayer(host, { course: thereAndBack(SECONDS), onMove: showAt, label: "Position along the path" });
  player.at = 0.5;
  const strip = element(host, "canvas", "vae-strip", { role: "img" });
  const notes = createNotes(host);
  const model = createHolder(host);
  let data, channel, unfollow, path, source, feed, stripFeed;
  let small, large; // buffers of the model's size and of the photos'
  let residuals = null; // of both ends
  let asked = 0; // how many times they were requested
  let frame = null; // the last answer: {images, t}
  let steps = null; // the strip's images

  function showAt(t, since) {
    feed(() => ({ z: alongPath(path, t, data.latent_dim), t, since }));
  }

  /** One of the decoded images at the size of the photos, with so much of their residuals at t. */
  function compose(images, index, t, amount) {
    const bytes = images.width * images.height * 4;
    const pixels = images.pixels.slice(index * bytes, (index + 1) * bytes);
    small.putImageData(new ImageData(pixels, images.width, images.height), 0, 0);
    large.imageSmoothingQuality = "high";
    large.drawImage(small.canvas, 0, 0, data.size, data.size);
    const image = large.getImageData(0, 0, data.size, data.size);
    if (residuals && amount) addResiduals(image, residuals, t, amount, data.constants);
    return image;
  }

  const detail = () => channel.values[data.detail] ?? 0;

  function drawFrame() {
    if (!frame) return;
    screen.getContext("2d").putImageData(compose(frame.images, 0, frame.t, detail()), 0, 0);
    screen.setAttribute("aria-label", `Morph at ${Math.round(100 * frame.t)}%`);
    words[1].textContent = `${Math.round(100 * frame.t)}%`;
  }

  function drawStrip() {
    if (!steps) return;
    const { count } = steps;
    const columns = Math.ceil(count / Math.ceil(count / STRIP_COLUMNS));
    const side = Math.min(data.size, Math.floor(STRIP_PIXELS / columns));
    Object.assign(strip, { width: side * columns, height: side * Math.ceil(count / columns) });
    strip.style.maxWidth = `${112 * columns}px`;
    const context = strip.getContext("2d");
    context.imageSmoothingQuality = "high";
    for (let i = 0; i < count; i++) {
      large.putImageData(compose(steps, i, i / (count - 1), detail()), 0, 0);
      context.drawImage(large.canvas, (i % columns) * side, Math.floor(i / columns) * side, side, side);
    }
  }

  function draw() {
    drawFrame();
    drawStrip();
  }

  async function findResiduals() {
    const turn = ++asked;
    residuals = null;
    const d = data.latent_dim;
    const ends = Float32Array.from([...path.subarray(0, d), ...path.subarray(path.length - d)]);
    const [images, ...photos] = await Promise.all([
      source.decode(ends), ...data.pictures.map((address) => readPicture(address, data.size)),
    ]);
    if (turn !== asked) return;
    residuals = photos.map((photo, i) => residual(photo, compose(images, i, 0, 0).data));
    draw();
  }

  /** Until they are there, the model's own images are shown. */
  function requestResiduals() {
    const turn = asked + 1;
    findResiduals().catch(() => setTimeout(() => turn === asked && requestResiduals(), RETRY_AFTER));
  }

  return {
    update(component) {
      const before = data && JSON.stringify([data.pictures, data.path, data.size]);
      data = component.data;
      path = toFloats(data.path);
      const moved = model.take(data);
      if (moved) {
        const lost = () => component.setStateValue("unreachable", true);
        source = model.source();
        small = createBuffer(data.image_size);
        feed = createFeed(model.source(), notes, (images, request) => {
          frame = { images, t: request.t };
          drawFrame();
          announce(host, request);
        }, lost);
        stripFeed = createFeed(model.source(), notes, (images, request) => {
          steps = images;
          drawStrip();
          announce(host, request);
        }, lost);
      }
      [first, last].forEach((image, i) => {
        image.src = data.pictures[i];
        image.alt = words[2 * i].textContent = data.names[i];
      });
      unfollow?.();
      channel = openChannel(data.channel);
      channel.give(data.values);
      unfollow = channel.follow(draw);
      strip.setAttribute("aria-label", data.description);
      if (moved || before !== JSON.stringify([data.pictures, data.path, data.size])) {
        Object.assign(screen, { width: data.size, height: data.size });
        large = createBuffer(data.size);
        requestResiduals();
      }
      const d = data.latent_dim;
      const stops = Array.from({ length: data.steps }, (_, i) => alongPath(path, i / (data.steps - 1), d));
      stripFeed(() => ({ z: Float32Array.from(stops.flatMap((z) => [...z])), since: 0 }));
      showAt(player.at, 0);
    },
    destroy() {
      asked++;
      player.pause();
      unfollow?.();
      model.close();
    },
  };
}
