// DOM helpers: elements, full screen, status line, keyboard, debounce, base64, number format.

const SVG = "http://www.w3.org/2000/svg";
const FULL_SCREEN_ICON = `
  <svg viewBox="0 0 16 16" width="16" height="16" fill="none" stroke="currentColor" stroke-width="2">
    <path d="M1 5V1h4M11 1h4v4M15 11v4h-4M5 15H1v-4"/>
  </svg>`;

/** Append an HTML element. */
export function element(parent, tag, className = "", attributes = {}) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  parent.append(made);
  return made;
}

/** Append an SVG element. */
export function svgElement(parent, tag, attributes = {}) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  parent.append(made);
  return made;
}

/** Append a button that shows `host` on the full screen; so does the key f. */
export function addFullScreen(parent, host) {
  const button = element(parent, "button", "vae-full", {
    type: "button", title: "Full screen (f)", "aria-label": "Full screen",
  });
  button.innerHTML = FULL_SCREEN_ICON;
  const toggle = () => (document.fullscreenElement ? document.exitFullscreen() : host.requestFullscreen());
  button.addEventListener("click", toggle);
  host.addEventListener("keydown", (event) => event.key === "f" && !event.ctrlKey && !event.metaKey && toggle());
}

/** A status line over a view: waiting, refused, or no connection. */
export function createNotes(host) {
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

/** The direction of an arrow key as [right, up], each -1, 0 or 1; null for other keys. */
export function arrowDirection({ key }) {
  return { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[key] ?? null;
}

/** `now()` calls back at once; `soon()` when it has not been called for `wait` ms. */
export function debounce(callback, wait = 400) {
  let timer = 0;
  const now = () => {
    clearTimeout(timer);
    callback();
  };
  return {
    now,
    soon() {
      clearTimeout(timer);
      timer = setTimeout(now, wait);
    },
  };
}

/** Base64 to bytes. */
export function toBytes(base64) {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}

/** Base64 of little-endian float32 to numbers. */
export function toFloats(base64) {
  return new Float32Array(toBytes(base64).buffer);
}

/** Numbers to base64 of little-endian float32, as `toFloats` reads it. */
export function packFloats(values) {
  const bytes = new Uint8Array(Float32Array.from(values).buffer);
  let letters = "";
  for (let i = 0; i < bytes.length; i += 8192) letters += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return btoa(letters);
}

/** At most `digits` significant digits, without trailing zeros, with a proper minus sign. */
export function formatNumber(number, digits = 3) {
  return Math.abs(number) < 0.005 ? "0" : String(Number(number.toPrecision(digits))).replace("-", "−");
}

/** A share in [0, 1] in percent: "69%"; "<1%" where a share would be rounded to 0. */
export function formatShare(share) {
  return share > 0 && share < 0.005 ? "<1%" : `${Math.round(100 * share)}%`;
}

/** Limit a value to an interval. */
export function clamp(value, low, high) {
  return Math.max(low, Math.min(high, value));
}
