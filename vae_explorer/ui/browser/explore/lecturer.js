// The lecturer's pointer on a latent map: a second crosshair with its image, decoded here.

import { announce, paint, wholeMultiple } from "../lib/canvas.js";
import { element } from "../lib/dom.js";
import { openLecturerPointer } from "../lib/lecture.js";
import { createFeed } from "../lib/source.js";

const SILENT = { show() {}, hide() {} }; // the map's own status line says what is wrong
const ROOM = 96; // px

/** `locate(z)` gives the place of a latent in px of the host, or null where it is not in the view. */
export function createLecturer(host, locate, whenFirst) {
  const cross = element(host, "div", "vae-cross vae-lecturer");
  const lens = element(host, "div", "vae-lens vae-lecturer", { "data-view": "lecturer" });
  const canvas = element(lens, "canvas", "vae-picture");
  element(lens, "div", "vae-caption").textContent = "Lecturer";
  cross.hidden = lens.hidden = true;
  const pointer = openLecturerPointer();
  let data, feed, first = true;

  const current = () => {
    const { model, z } = pointer.values;
    return z && data?.plane && model === data.checkpoint && z.length === data.plane.origin.length ? z : null;
  };

  function place() {
    const z = current();
    const at = z && locate(z);
    cross.hidden = !at;
    if (!at) lens.hidden = true;
    if (!at || lens.hidden) return;
    const left = at[0] + 16 + lens.offsetWidth > host.offsetWidth ? at[0] - 16 - lens.offsetWidth : at[0] + 16;
    const top = Math.max(0, Math.min(host.offsetHeight - lens.offsetHeight, at[1] + 16));
    lens.style.transform = `translate(${left}px, ${top}px)`;
  }

  function show(since) {
    const z = current();
    const at = z && locate(z);
    if (at) cross.style.transform = `translate(${at[0]}px, ${at[1]}px)`;
    place();
    if (!at) return;
    if (first) whenFirst();
    first = false;
    feed(() => ({ z: Float32Array.from(z), since }));
  }

  function draw(images, request) {
    if (!current()) return; // the pointer has left meanwhile
    paint(canvas, images, 1, data.ink);
    canvas.style.width = `${images.width * wholeMultiple(images.width, ROOM)}px`;
    lens.hidden = false;
    place();
    announce(lens, request);
  }

  const unfollow = pointer.follow(show);
  return {
    /** `source`: a decoder of its own; the server answers only the newest request of each. */
    update(given, source) {
      data = given;
      if (source) feed = createFeed(source, SILENT, draw, () => {});
    },
    /** Call it when the axes have changed. */
    show,
    destroy: unfollow,
  };
}
