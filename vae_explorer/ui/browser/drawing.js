// Drawing.

/** Draw pictures as tiles in reading order; grey ones are inverted to ink on paper.
 *  `tiles` says which they are, where the others stay as they stand. */
function paint(canvas, pictures, columns, ink, tiles = null) {
  const { width, height, count, pixels } = pictures;
  if (ink) {
    const words = new Uint32Array(pixels.buffer);
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
    const picture = new ImageData(pixels.subarray(i * size, (i + 1) * size), width, height);
    context.putImageData(picture, (tile % columns) * width, Math.floor(tile / columns) * height);
  }
}

/** Tell whoever measures or tests when what was drawn, and what had caused it. */
function announce(host, request) {
  const detail = { since: request.since, at: performance.now(), z: request.z, full: request.full ?? true };
  host.dispatchEvent(new CustomEvent("vae-drawn", { bubbles: true, composed: true, detail }));
}

/** The largest whole multiple at which `pixels` fit into `room`; at least 1. */
function wholeMultiple(pixels, room) {
  return Math.max(1, Math.floor(room / pixels));
}

const SVG = "http://www.w3.org/2000/svg";

function element(parent, tag, className, attributes = {}) {
  const made = document.createElement(tag);
  made.className = className;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  parent.append(made);
  return made;
}

/** A line on the stage for what the person should know: waiting, refused, lost. */
function createNotes(host) {
  const line = element(host, "div", "vae-note", { role: "status" });
  line.hidden = true;
  return {
    show(text) {
      line.textContent = text;
      line.hidden = false;
    },
    hide() {
      line.hidden = true;
    },
  };
}

function floats(base64) {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  return new Float32Array(bytes.buffer);
}

/** At most `digits` significant digits, without the zeros behind the point, with a true minus. */
const short = (number, digits = 3) => (
  Math.abs(number) < 0.005 ? "0" : String(Number(number.toPrecision(digits))).replace("-", "−")
);
