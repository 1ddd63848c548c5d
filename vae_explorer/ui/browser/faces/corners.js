// View: bilinear interpolation between four faces, decoded under the pointer.

import { announce, paint } from "../lib/canvas.js";
import { arrowDirection, clamp, createNotes, element, toFloats } from "../lib/dom.js";
import { lerp, slerp } from "../lib/latents.js";
import { createHolder } from "../lib/model.js";
import { createFeed } from "../lib/source.js";

const KEY_STEP = 0.05; // of the side

export function createCorners(host) {
  const row = element(host, "div", "vae-corners");
  const pictures = [0, 1, 2, 3].map((k) => element(row, "img", `vae-corner-${k}`));
  const field = element(row, "div", "vae-field", { tabindex: 0, role: "application" });
  const canvas = element(field, "canvas");
  const knob = element(field, "i");
  const screen = element(row, "canvas", "vae-screen", { role: "img" });
  const notes = createNotes(host);
  const model = createHolder(host);
  const place = { x: 0.5, y: 0.5 };
  let data, feed, gridFeed, corners;

  function latent(x, y) {
    const between = data.spherical ? slerp : lerp;
    const [a, b, c, d] = corners;
    return between(between(a, b, x), between(c, d, x), y);
  }

  function show(since) {
    // The corners lie in the middle of the corner tiles.
    const inset = (t) => `${100 * (0.5 + t * (data.columns - 1)) / data.columns}%`;
    Object.assign(knob.style, { left: inset(place.x), top: inset(place.y) });
    feed(() => ({ z: latent(place.x, place.y), since }));
  }

  function moveTo(event) {
    const box = field.getBoundingClientRect();
    const n = data.columns;
    const within = (share) => clamp((share * n - 0.5) / (n - 1), 0, 1);
    place.x = within((event.clientX - box.left) / box.width);
    place.y = within((event.clientY - box.top) / box.height);
    show(event.timeStamp);
  }

  field.addEventListener("pointermove", moveTo);
  field.addEventListener("pointerdown", moveTo);
  field.addEventListener("keydown", (event) => {
    const arrow = arrowDirection(event);
    if (!arrow) return;
    event.preventDefault();
    place.x = clamp(place.x + KEY_STEP * arrow[0], 0, 1);
    place.y = clamp(place.y - KEY_STEP * arrow[1], 0, 1);
    show(event.timeStamp);
  });

  return {
    update(component) {
      data = component.data;
      const packed = toFloats(data.corners);
      const d = data.latent_dim;
      corners = [0, 1, 2, 3].map((k) => packed.slice(k * d, (k + 1) * d));
      if (model.take(data)) {
        const lost = () => component.setStateValue("unreachable", true);
        feed = createFeed(model.source(), notes, (answer, request) => {
          paint(screen, answer, 1, data.ink);
          announce(host, request);
        }, lost);
        gridFeed = createFeed(model.source(), notes, (answer, request) => {
          paint(canvas, answer, data.columns, data.ink);
          announce(host, request);
        }, lost);
      }
      pictures.forEach((image, k) => Object.assign(image, { src: data.pictures[k], alt: data.names[k], title: data.names[k] }));
      field.setAttribute("aria-label", `${data.description}. Use the arrow keys to move.`);
      screen.setAttribute("aria-label", "The decoded face at the marked position");
      const n = data.columns;
      const tiles = Array.from({ length: n * n }, (_, i) => latent((i % n) / (n - 1), Math.floor(i / n) / (n - 1)));
      gridFeed(() => ({ z: Float32Array.from(tiles.flatMap((z) => [...z])), since: 0 }));
      show(0);
    },
    destroy: model.close,
  };
}
