// A line chart of losses over epochs, as SVG: curves, axes with ticks, and markers.

import { svgElement } from "./dom.js";

/** Linear map from a domain to a range. */
export function linearScale([low, high], [start, end]) {
  return (value) => start + ((value - low) / (high - low || 1)) * (end - start);
}

/** About three round values within an interval. */
export function ticksOf(low, high) {
  const rough = (high - low) / 2.5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((multiple) => multiple * power >= rough) * power;
  const ticks = [];
  for (let k = Math.ceil(low / step); k * step <= high; k++) ticks.push(Number((k * step).toPrecision(6)));
  return ticks;
}

/** An interval with room at both ends: a share of its length, at least 0.01. */
export function padRange([low, high], share) {
  const room = Math.max(share * (high - low), 0.01);
  return [low - room, high + room];
}

let charts = 0; // for the ids of their clip paths

/** A chart that fills its parent's width.
 *
 * `edge`: room for the axes, in pixels; without one, there are no axes. With one, the chart is drawn in
 * pixels of the page and has to be redrawn when the width changes; else it is stretched.
 */
export function createCurves(parent, { width = 0, height, edge = null }) {
  const svg = svgElement(parent, "svg");
  const clip = `vae-curves-${++charts}`;
  const { left, right, top, bottom } = edge ?? { left: 0, right: 0, top: 0, bottom: 0 };
  if (!edge) {
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("preserveAspectRatio", "none");
  }
  let across, up, room; // scales, and the width

  const inner = () => [left, room - right];
  const lineAt = (x) => ({ x1: x, x2: x, y1: 0, y2: height - bottom });

  function drawAxes(span, range) {
    const last = span[1];
    const epochs = last < 6 ? Array.from({ length: Math.floor(last) + 1 }, (_, k) => k) : ticksOf(...span).filter(Number.isInteger);
    for (const tick of ticksOf(...range)) {
      svgElement(svg, "line", { class: "vae-grid-line", x1: left, x2: room - right, y1: up(tick), y2: up(tick) });
      const label = svgElement(svg, "text", { x: left - 6, y: up(tick) + 4, "text-anchor": "end" });
      label.textContent = String(tick).replace("-", "−");
    }
    for (const tick of epochs) {
      svgElement(svg, "text", { x: across(tick), y: height - 4, "text-anchor": "middle" }).textContent = tick;
    }
  }

  /** One curve; a single value is a dot, where the chart is not stretched. */
  function drawCurve(parent, { places, values, className, colour }) {
    const attributes = { class: className, ...(colour && { stroke: colour }) };
    if (edge && values.length === 1) {
      svgElement(parent, "circle", { ...attributes, cx: across(places[0]), cy: up(values[0]), r: 3 });
    } else if (values.length) {
      const d = values.map((value, i) => `${i ? "L" : "M"}${across(places[i]).toFixed(1)} ${up(value).toFixed(1)}`).join("");
      svgElement(parent, "path", { ...attributes, d });
    }
  }

  return {
    svg,
    /** Draw `lines`: [{places, values, className, colour}], over `span` (epochs) and `range` (values). */
    draw(lines, span, range) {
      room = edge ? svg.clientWidth || 300 : width;
      across = linearScale(span, inner());
      up = linearScale(range, [height - bottom, top]);
      svg.replaceChildren();
      if (!edge) {
        for (const line of lines) drawCurve(svg, line);
        return;
      }
      const box = svgElement(svgElement(svg, "clipPath", { id: clip }), "rect");
      for (const [name, value] of Object.entries({ x: left, y: 0, width: room - left, height: height - bottom + 2 })) {
        box.setAttribute(name, value);
      }
      drawAxes(span, range);
      const group = svgElement(svg, "g", { "clip-path": `url(#${clip})` });
      for (const line of lines) drawCurve(group, line);
    },
    /** Add a vertical line; `move(epoch)` puts it there. */
    addMarker(className) {
      const line = svgElement(svg, "line", { class: className, ...lineAt(0) });
      return { move: (epoch) => line.setAttribute("transform", `translate(${across(epoch)})`) };
    },
    /** The epoch at a horizontal place on the page. */
    epochAt(clientX, span) {
      const box = svg.getBoundingClientRect();
      return linearScale([left, box.width - right], span)(clientX - box.left);
    },
    clear: () => svg.replaceChildren(),
  };
}
