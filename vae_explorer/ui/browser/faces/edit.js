// View: an edited face, before and after with a wipe between them.

import { announce } from "../lib/canvas.js";
import { openChannel } from "../lib/channel.js";
import { createNotes, element, toFloats } from "../lib/dom.js";
import { createHolder } from "../lib/model.js";
import { readPicture } from "../lib/photo.js";
import { LANES, createFeed } from "../lib/source.js";
import { blendChange } from "./blend.js";

export function createEdit(host) {
  const frame = element(host, "div", "vae-wipe");
  const before = element(frame, "img");
  const after = element(frame, "canvas", "", { role: "img" });
  const line = element(frame, "i");
  const bar = element(host, "div", "vae-player");
  element(bar, "span").textContent = "Before";
  const wipe = element(bar, "input", "", {
    type: "range", min: 0, max: 1, step: 0.01, value: 0.5, "aria-label": "Boundary between before and after",
  });
  element(bar, "span").textContent = "After";
  const apart = element(bar, "button", "", { type: "button", "aria-pressed": false });
  apart.textContent = "Side by side";
  apart.addEventListener("click", () => {
    const on = host.classList.toggle("vae-apart");
    apart.setAttribute("aria-pressed", on);
    showWipe();
  });
  const notes = createNotes(host);
  const model = createHolder(host);
  let data, channel, unfollow, feed, z, vectors;
  let photo = null; // RGBA bytes of the aligned photo
  let unmoved = null; // RGBA bytes of the decoded z
  let answer = null; // the last decoded image of the moved z: {width, pixels}
  let shownDetail = null;
  let known = ""; // identifies the face
  let [asked, drawnNumber] = [0, 0]; // of requests

  function showWipe() {
    const share = `${host.classList.contains("vae-apart") ? 0 : 100 * Number(wipe.value)}%`;
    after.style.clipPath = `inset(0 0 0 ${share})`;
    line.style.left = share;
  }

  function moveTo(event) {
    if (!event.buttons && event.type !== "pointerdown") return;
    const box = frame.getBoundingClientRect();
    wipe.value = (event.clientX - box.left) / box.width;
    showWipe();
  }

  wipe.addEventListener("input", showWipe);
  frame.addEventListener("pointerdown", (event) => {
    frame.setPointerCapture(event.pointerId);
    moveTo(event);
  });
  frame.addEventListener("pointermove", moveTo);

  function ask(since) {
    const d = data.latent_dim;
    // Before the first edit, before and after are the same image.
    bar.hidden = line.hidden = !Object.keys(vectors).some((name) => channel.values[name]);
    const moved = z.slice();
    for (const [name, vector] of Object.entries(vectors)) {
      const amount = channel.values[name] ?? 0;
      if (amount) for (let k = 0; k < d; k++) moved[k] += amount * vector[k];
    }
    // The unchanged face has to be decoded only once.
    const number = ++asked;
    feed(() => ({ z: unmoved ? moved : Float32Array.of(...z, ...moved), of: z, number, since }));
  }

  function draw() {
    if (!answer || !unmoved || !photo) return;
    const detail = (shownDetail = channel.values[data.detail] ?? 1);
    const image = new ImageData(data.size, data.size);
    blendChange(photo, unmoved, answer.pixels, answer.width, detail, image, data.constants);
    after.getContext("2d").putImageData(image, 0, 0);
  }

  return {
    update(component) {
      data = component.data;
      const isOther = model.take(data);
      if (isOther || data.z !== known) {
        known = data.z;
        z = toFloats(data.z);
        unmoved = answer = null;
      }
      vectors = Object.fromEntries(Object.entries(data.vectors).map(([name, packed]) => [name, toFloats(packed)]));
      if (isOther) {
        feed = createFeed(model.source(), notes, (images, request) => {
          if (request.of !== z || request.number < drawnNumber) return; // of another face, or out of order
          drawnNumber = request.number;
          const one = 4 * images.width * images.height;
          if (images.count === 2) unmoved = images.pixels.subarray(0, one);
          answer = { width: images.width, pixels: images.pixels.subarray(-one) };
          draw();
          announce(host, request);
        }, () => component.setStateValue("unreachable", true), LANES);
      }
      if (before.src !== data.picture) {
        before.src = data.picture;
        photo = null;
        const asked = data.picture;
        Object.assign(after, { width: data.size, height: data.size });
        readPicture(asked, data.size).then((pixels) => {
          if (asked !== data.picture) return;
          photo = pixels;
          draw();
        });
      }
      before.alt = data.name;
      after.setAttribute("aria-label", data.description);
      unfollow?.();
      channel = openChannel(data.channel);
      channel.give(data.values);
      unfollow = channel.follow((since) => {
        if (shownDetail !== channel.values[data.detail]) draw();
        ask(since);
      });
      showWipe();
      ask(0);
    },
    destroy() {
      unfollow?.();
      model.close();
    },
  };
}
