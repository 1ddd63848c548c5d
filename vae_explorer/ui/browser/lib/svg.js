// SVG as text, in CSS pixels: shapes, text, axes, legends.

export const QUIET = "var(--quiet)";
export const INK = "var(--ink)";
export const TOUCH = "var(--touch)";
export const RECONSTRUCTION = "var(--reconstruction)";
export const DIVERGENCE = "var(--divergence)";
export const GAP = "var(--gap)";
const FAR = 1e5; // px: beyond it, browsers draw artefacts

/** Three significant digits, a proper minus sign, no "-0". */
export function number(value) {
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  const size = Math.abs(value);
  if (size < 0.0005) return "0";
  const text = size >= 1e5 ? size.toExponential(1) : size >= 100 ? size.toFixed(0) : size.toPrecision(3);
  return (value < 0 ? "−" : "") + text;
}

export const px = (value) => Math.max(-FAR, Math.min(FAR, value)).toFixed(1);
export const escapeText = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;");

export function text(x, y, words, { anchor = "start", size = 16, fill = INK, weight = 400 } = {}) {
  return `<text x="${px(x)}" y="${px(y)}" text-anchor="${anchor}" font-size="${size}" font-weight="${weight}" fill="${fill}">${escapeText(words)}</text>`;
}

export function line(x1, y1, x2, y2, { stroke = QUIET, width = 2, dash = "", arrow = "" } = {}) {
  return `<line x1="${px(x1)}" y1="${px(y1)}" x2="${px(x2)}" y2="${px(y2)}" stroke="${stroke}" stroke-width="${width}"` +
    `${dash && ` stroke-dasharray="${dash}"`}${arrow && ` marker-end="url(#vae-arrow-${arrow})"`}/>`;
}

export function dot(x, y, radius, { fill = TOUCH, stroke = "var(--paper)", opacity = 1 } = {}) {
  return `<circle cx="${px(x)}" cy="${px(y)}" r="${radius}" fill="${fill}" stroke="${stroke}" stroke-width="2" opacity="${opacity}"/>`;
}

export function box(x, y, width, height, { fill, opacity = 1 }) {
  const [left, top] = [width < 0 ? x + width : x, height < 0 ? y + height : y];
  return `<rect x="${px(left)}" y="${px(top)}" width="${px(Math.abs(width))}" height="${px(Math.abs(height))}" fill="${fill}" opacity="${opacity}"/>`;
}

export function curve(points, { stroke = INK, width = 3, fill = "none", opacity = 1, dash = "" } = {}) {
  const path = points.map(([x, y], i) => `${i ? "L" : "M"}${px(x)} ${px(y)}`).join("");
  return `<path d="${path}" fill="${fill}" fill-opacity="${fill === "none" ? 0 : opacity}" stroke="${stroke}"` +
    ` stroke-width="${width}" stroke-linejoin="round"${dash && ` stroke-dasharray="${dash}"`}/>`;
}

export const ARROWS = `<defs>${[["touch", TOUCH], ["quiet", QUIET], ["push", RECONSTRUCTION], ["pull", DIVERGENCE]].map(([name, fill]) =>
  `<marker id="vae-arrow-${name}" viewBox="0 0 10 10" refX="7" refY="5" markerWidth="10" markerHeight="10" markerUnits="userSpaceOnUse" orient="auto-start-reverse"><path d="M0 0L10 5L0 10z" fill="${fill}"/></marker>`).join("")}</defs>`;

let clips = 0;

/** A plot area: maps values to pixels, and draws curves clipped to it. */
export function plot({ left, top, width, height }, [low, high], [bottom, topValue]) {
  const x = (value) => left + ((value - low) / (high - low)) * width;
  const y = (value) => top + height - ((value - bottom) / (topValue - bottom)) * height;
  const sample = (f, steps = 160) => Array.from({ length: steps + 1 }, (_, i) => {
    const value = low + ((high - low) * i) / steps;
    return [x(value), y(f(value))];
  });
  const clip = (inner) => {
    const id = `vae-clip-${++clips}`;
    return `<clipPath id="${id}"><rect x="${px(left)}" y="${px(top)}" width="${px(width)}" height="${px(height)}"/></clipPath><g clip-path="url(#${id})">${inner}</g>`;
  };
  return {
    x, y, clip, left, top, width, height,
    line: (f, style) => clip(curve(sample(f), style)),
    area: (f, style) => clip(curve([[left, y(0)], ...sample(f), [left + width, y(0)]], { width: 0, ...style })),
    /** The horizontal axis, with ticks below it and a title at its end. */
    across(ticks, title = "", at = bottom) {
      const base = y(at);
      return line(left, base, left + width, base, { width: 1.5 }) +
        ticks.map((tick) => line(x(tick), base, x(tick), base + 5, { width: 1.5 }) +
          text(x(tick), base + 20, String(tick).replace("-", "−"), { anchor: "middle", size: 15, fill: QUIET })).join("") +
        (title && text(left + width, base - 6, title, { anchor: "end", size: 16, fill: QUIET }));
    },
    /** Horizontal grid lines, with numbers on the left. */
    up(ticks) {
      return ticks.map((tick) => line(left, y(tick), left + width, y(tick), { width: 1, stroke: "var(--faint)" }) +
        text(left - 6, y(tick) + 5, String(tick).replace("-", "−"), { anchor: "end", size: 15, fill: QUIET })).join("");
    },
  };
}

/** Swatches with labels, in a row that wraps. */
export function legend(x, y, room, entries) {
  let [across, down] = [x, y];
  return entries.map(([fill, words, dash]) => {
    const wide = 30 + words.length * 7.9 + 14;
    if (across > x && across + wide > x + room) [across, down] = [x, down + 22];
    const mark = line(across, down - 5, across + 22, down - 5, { stroke: fill, width: dash ? 3 : 10, dash: dash ?? "" });
    const entry = mark + text(across + 28, down, words, { size: 16 });
    across += wide;
    return entry;
  }).join("");
}
