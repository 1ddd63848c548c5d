// Canvas drawing: image mosaics, integer scaling, and the event that reports a drawing.

/** Draw decoded images as a mosaic in reading order; greyscale ones are inverted.
 *
 * `tiles`: the positions of the images in the mosaic, where the other tiles stay unchanged.
 */
export function paint(canvas, images, columns, inverted, tiles = null) {
  const { width, height, count, pixels } = images;
  if (inverted) {
    const words = new Uint32Array(pixels.buffer); // RGBA, a word a pixel
    for (let i = 0; i < words.length; i++) words[i] ^= 0x00ffffff;
  }
  const rows = Math.ceil(count / columns);
  if (!tiles && (canvas.width !== columns * width || canvas.height !== rows * height)) {
    canvas.width = columns * width;
    canvas.height = rows * height;
  }
  const context = canvas.getContext("2d");
  const size = width * height * 4;
  for (let i = 0; i < count; i++) {
    const tile = tiles ? tiles[i] : i;
    const image = new ImageData(pixels.subarray(i * size, (i + 1) * size), width, height);
    context.putImageData(image, (tile % columns) * width, Math.floor(tile / columns) * height);
  }
}

/** Put RGBA words, one a pixel, on a canvas of that size. */
export function putWords(canvas, words, width, height) {
  Object.assign(canvas, { width, height });
  const pixels = new Uint8ClampedArray(words.buffer);
  canvas.getContext("2d").putImageData(new ImageData(pixels, width, height), 0, 0);
}

/** The RGBA word of a colour, in the byte order of a little-endian machine. */
export function toWord([red, green, blue]) {
  return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

/** The largest whole multiple of `pixels` that fits into `room`; at least 1. */
export function wholeMultiple(pixels, room) {
  return Math.max(1, Math.floor(room / pixels));
}

/** Dispatch "vae-drawn": the latents that were drawn, and the timestamp of the input that caused it. */
export function announce(host, { since, z, full = true }) {
  const detail = { since, at: performance.now(), z, full };
  host.dispatchEvent(new CustomEvent("vae-drawn", { bubbles: true, composed: true, detail }));
}
