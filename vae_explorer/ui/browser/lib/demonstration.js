// The demonstration cursor: a view that moves by itself until somebody touches the page.

import { element } from "./dom.js";

const SPEED = 90; // px a second
const STEP = 80; // ms between two places: a class of idle pages asks the server for little
const LASTS = 30_000; // ms, then it rests where it is
const SEEN = "vae-explorer-hint-seen";

const TOUCHES = ["pointermove", "pointerdown", "keydown", "wheel", "touchstart"];

let touched = false; // in this document, by pointer, finger or key
let listens = false;
const callbacks = new Set();

function touch() {
  touched = true;
  callbacks.forEach((callback) => callback());
  TOUCHES.forEach((name) => window.removeEventListener(name, touch, { capture: true }));
}

const wantsStill = () => window.matchMedia("(prefers-reduced-motion: reduce)").matches;

/** The place [x, y] after a way of `length` px along the closed line through `points`. */
export function alongLoop(points, length) {
  const sides = points.map((from, k) => {
    const to = points[(k + 1) % points.length];
    return { from, to, length: Math.hypot(to[0] - from[0], to[1] - from[1]) };
  });
  const around = sides.reduce((sum, side) => sum + side.length, 0);
  if (!around) return points[0];
  let left = length % around;
  const side = sides.find((each) => (left -= each.length) < 0) ?? sides.at(-1);
  const share = 1 + left / side.length;
  // Slower at the corners: the eye has time for the image there.
  const eased = share * share * (3 - 2 * share);
  return side.from.map((from, axis) => from + eased * (side.to[axis] - from));
}

/**
 * Move a view until the first touch: `go(x, y)` every few frames, along the loop of `places()`.
 * Returns what ends it.
 */
export function demonstrate(places, go) {
  if (touched || wantsStill()) return () => {};
  if (!listens) TOUCHES.forEach((name) => window.addEventListener(name, touch, { capture: true, passive: true }));
  listens = true;
  const began = performance.now();
  const timer = setInterval(() => {
    const points = document.hidden ? [] : places();
    if (points.length) go(...alongLoop(points, ((performance.now() - began) / 1000) * SPEED));
    if (performance.now() - began > LASTS) clearInterval(timer);
  }, STEP);
  const stop = () => {
    clearInterval(timer);
    callbacks.delete(stop);
  };
  callbacks.add(stop);
  return stop;
}

/**
 * Show a sentence on a view until the first use of it, in this browser: `words.pointer`, or
 * `words.touch` where the page is used with fingers.
 */
export function showHint(host, words) {
  let seen = false;
  try {
    seen = Boolean(localStorage.getItem(SEEN));
  } catch {
    // no storage in this frame: shown each time
  }
  if (seen) return;
  const hint = element(host, "div", "vae-hint");
  hint.textContent = window.matchMedia("(pointer: coarse)").matches ? words.touch : words.pointer;
  const dismiss = () => {
    hint.remove();
    try {
      localStorage.setItem(SEEN, "1");
    } catch {
      // as above
    }
  };
  for (const name of ["pointermove", "pointerdown", "keydown"]) {
    host.addEventListener(name, () => setTimeout(dismiss, 1_500), { once: true });
  }
}
