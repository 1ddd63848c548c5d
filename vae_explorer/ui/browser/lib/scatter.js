// A scatter plot of 2-D points with contours of the standard normal prior, drawn pixel by pixel.

import { toWord } from "./canvas.js";

/** Standard deviations of the prior at which contours are drawn. */
export const SIGMAS = [1, 2, 3];

/** CSS pixels: five pixels of the screen, and four half-covered. */
export const DOT_RADIUS = 1.4;

const MAX_SCALE = 2; // device pixels a CSS pixel: more takes time and is not seen

/** "#rrggbb" colours as RGBA words. */
export function toInks(colours) {
  return colours.map((colour) => toWord([1, 3, 5].map((k) => parseInt(colour.slice(k, k + 2), 16))));
}

/** Coordinates to pixels in a square `side` wide that shows x ± half, y ± half; y points upwards. */
export function projection({ x, y, half }, side) {
  const zoom = side / (2 * half);
  return { left: side / 2 - x * zoom, top: side / 2 + y * zoom, zoom };
}

/** The pixel of a point; see `projection`. */
export function project({ left, top, zoom }, [x, y]) {
  return [left + x * zoom, top - y * zoom];
}

/** The point of a pixel. */
export function unproject({ left, top, zoom }, [x, y]) {
  return [(x - left) / zoom, (top - y) / zoom];
}

/** Offsets of a dot's pixels in an image `width` pixels wide, and of its half-covered rim. */
export function dotOffsets(radius, width) {
  const [inside, rim] = [[], []];
  const reach = Math.ceil(radius);
  for (let y = -reach; y <= reach; y++) {
    for (let x = -reach; x <= reach; x++) {
      const outside = Math.hypot(x, y) - radius;
      if (outside <= 0.5) (outside <= 0 ? inside : rim).push(y * width + x);
    }
  }
  return { inside, rim, reach };
}

/** A scatter plot on a square canvas.
 *
 * `radius` of a dot and `lines`, the widths of the contours, in CSS pixels; no `lines`, no contours.
 */
export function createScatter(canvas, { radius = DOT_RADIUS, lines = null, opacity = 1 }) {
  let side = 0; // CSS pixels
  let scale = 1;
  let image, words, dot;

  /** Follow the size of the canvas on the page; returns it. */
  function measure() {
    side = canvas.clientWidth;
    scale = Math.min(window.devicePixelRatio || 1, MAX_SCALE);
    const size = Math.max(1, Math.round(side * scale));
    if (size === canvas.width && image) return side;
    canvas.width = canvas.height = size;
    image = new ImageData(size, size);
    words = new Uint32Array(image.data.buffer);
    dot = dotOffsets(radius * scale, size);
    return side;
  }

  /** As pixels, not paths: 10,000 paths take longer than a frame. */
  function drawDots({ left, top, zoom }, { from, to, share, unit, labels, inks, hidden }) {
    const size = image.width;
    const { inside, rim, reach } = dot;
    const [a, b] = [(1 - share) * unit * zoom, share * unit * zoom];
    words.fill(0);
    for (let i = 0, k = 0; k < from.length; i++, k += 2) {
      const label = labels ? labels[i] : 0;
      if (hidden?.has(label)) continue;
      const x = Math.round(left + from[k] * a + to[k] * b);
      const y = Math.round(top - from[k + 1] * a - to[k + 1] * b);
      if (x < reach || y < reach || x >= size - reach || y >= size - reach) continue;
      const ink = inks[label % inks.length];
      const middle = y * size + x;
      for (let j = 0; j < inside.length; j++) words[middle + inside[j]] = ink;
      const soft = ((ink & 0xffffff) | 0x80000000) >>> 0;
      for (let j = 0; j < rim.length; j++) words[middle + rim[j]] ||= soft;
    }
    canvas.getContext("2d").putImageData(image, 0, 0);
  }

  function drawContours({ left, top, zoom }) {
    const context = canvas.getContext("2d");
    context.strokeStyle = getComputedStyle(canvas).color;
    context.globalAlpha = opacity;
    SIGMAS.forEach((sigma, k) => {
      context.lineWidth = lines[k] * scale;
      context.beginPath();
      context.arc(left, top, sigma * zoom, 0, 2 * Math.PI);
      context.stroke();
    });
    context.globalAlpha = 1;
  }

  return {
    measure,
    /** Draw points, `share` of the way from `from` to `to` (x, y, x, y, ... in units of `unit`).
     *
     * `frame`: {x, y, half}, what the square shows. `labels` choose from `inks`, those in `hidden` are
     * left out. Returns whether the canvas has a size.
     */
    draw({ frame, from, to = from, share = 0, unit = 1, labels = null, inks, hidden = null }) {
      if (!side && !measure()) return false;
      const shown = projection(frame, image.width);
      drawDots(shown, { from, to, share, unit, labels, inks, hidden });
      if (lines) drawContours(shown);
      return true;
    },
  };
}
