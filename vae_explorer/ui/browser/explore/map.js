// View: the latent map, a Plotly scatter plot that is decoded under the pointer.

import { announce, paint, wholeMultiple } from "../lib/canvas.js";
import { openChannel } from "../lib/channel.js";
import { demonstrate, showHint } from "../lib/demonstration.js";
import { addFullScreen, arrowDirection, clamp, createNotes, element, toFloats } from "../lib/dom.js";
import { normalCdf, planeToLatent, probit } from "../lib/latents.js";
import { createHolder } from "../lib/model.js";
import { appPath, createFeed } from "../lib/source.js";

let plotly = null; // the promise of its script

function loadPlotly(version) {
  plotly ??= new Promise((resolve, reject) => {
    if (window.Plotly) return resolve(window.Plotly);
    const script = element(document.head, "script", "", { src: `${appPath()}api/plotly.min.js?v=${version}` });
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => {
      plotly = null;
      script.remove();
      reject(new Error("plotly.min.js did not load"));
    };
  });
  return plotly;
}

const LENS = 132; // px: room for the image beside the pointer
const CLICK_REACH = 12; // px: a click within this distance of a point means the point
const KEY_STEP = 8; // px

export function createMap(host) {
  host.tabIndex = 0;
  const plot = element(host, "div", "vae-plot");
  const lens = element(host, "div", "vae-lens");
  const canvas = element(lens, "canvas", "vae-picture");
  const caption = element(lens, "div", "vae-caption");
  const kept = element(host, "div", "vae-lens vae-kept");
  const keptCanvas = element(kept, "canvas", "vae-picture");
  const keptCaption = element(kept, "div", "vae-caption");
  const cross = element(host, "div", "vae-cross");
  const visitor = element(host, "div", "vae-visitor");
  const spread = element(host, "div", "vae-spread");
  const notes = createNotes(host);
  lens.hidden = kept.hidden = cross.hidden = visitor.hidden = spread.hidden = true;
  addFullScreen(host, host);
  const model = createHolder(host);

  let data, send, feed, figure, latents, channel, unfollow;
  let stopDemonstration = null;
  let at = null; // {px, py} of the crosshair in the plot area
  let away = true; // whether the pointer is outside the plot area
  let frame = 0; // the animation frame that moves the crosshair
  let finger = null;
  let pinned = null; // the z that the corner shows

  const area = () => plot.querySelector(".nsewdrag")?.getBoundingClientRect();
  const axes = () => [plot._fullLayout.xaxis.range, plot._fullLayout.yaxis.range];

  /** Pixels in the plot area to axis coordinates. */
  function toShown(px, py, box) {
    const [x, y] = axes();
    return [x[0] + (px / box.width) * (x[1] - x[0]), y[1] - (py / box.height) * (y[1] - y[0])];
  }

  /** Axis coordinates to coordinates of the plane. */
  const toPlane = (shown) => (data.p_values ? shown.map((p) => probit(clamp(p, 0, 1))) : shown);

  /** The nearest point of the visible classes. */
  function nearest(shown, box) {
    const [x, y] = axes();
    const scale = [box.width / (x[1] - x[0]), box.height / (y[1] - y[0])];
    let best = { distance: Infinity };
    plot._fullData.forEach((trace) => {
      if (trace.visible !== true || !trace.customdata) return;
      for (let i = 0; i < trace.x.length; i++) {
        const dx = (trace.x[i] - shown[0]) * scale[0];
        const dy = (trace.y[i] - shown[1]) * scale[1];
        const distance = dx * dx + dy * dy;
        if (distance < best.distance) {
          best = { distance, row: trace.customdata[i], name: trace.name, colour: trace.marker.color };
        }
      }
    });
    return { ...best, distance: Math.sqrt(best.distance) };
  }

  /** The z of a location; where the plane has no inverse (t-SNE), that of the nearest point. */
  function toLatent(shown, box) {
    if (data.plane) {
      const z = new Float32Array(data.plane.origin.length);
      planeToLatent(z, 0, data.plane, ...toPlane(shown));
      return z;
    }
    const index = data.rows.indexOf(nearest(shown, box).row);
    return latents.slice(index * data.latent_dim, (index + 1) * data.latent_dim);
  }

  /** Decode a location of the plot area. */
  function look(px, py, since) {
    const box = area();
    if (!box || !feed) return;
    at = { px: clamp(px, 0, box.width), py: clamp(py, 0, box.height) };
    const shown = toShown(at.px, at.py, box);
    const z = toLatent(shown, box);
    if (z.length) feed(() => ({ z, since, shown }));
    away = false;
    frame ||= requestAnimationFrame(place);
  }

  /** Move crosshair and lens to the pointer, the lens to the side with room. */
  function place() {
    frame = 0;
    const box = area();
    if (!box || away) return;
    const home = host.getBoundingClientRect();
    const x = box.left - home.left + at.px;
    const y = box.top - home.top + at.py;
    cross.hidden = false;
    cross.style.transform = `translate(${x}px, ${y}px)`;
    const left = x + 20 + LENS > home.width ? x - 24 - lens.offsetWidth : x + 20;
    const top = Math.max(0, Math.min(home.height - lens.offsetHeight, y - lens.offsetHeight / 2));
    lens.style.transform = `translate(${left}px, ${top}px)`;
  }

  /** Mark the encoding of a drawing with its posterior at 2σ, or of an upload. */
  function placeVisitor() {
    const { logVar } = channel.values;
    const z = channel.values.z ?? data.visitor;
    const box = area();
    visitor.hidden = spread.hidden = !z || !data.plane || !box;
    if (visitor.hidden) return;
    const [x, y] = axes();
    const home = host.getBoundingClientRect();
    const along = (axis) => axis.reduce((sum, part, k) => sum + part * (z[k] - data.plane.origin[k]), 0);
    const plane = data.plane.axes.map(along);
    const shown = data.p_values ? plane.map(normalCdf) : plane;
    const px = box.left - home.left + ((shown[0] - x[0]) / (x[1] - x[0])) * box.width;
    const py = box.top - home.top + ((y[1] - shown[1]) / (y[1] - y[0])) * box.height;
    visitor.style.transform = `translate(${px}px, ${py}px)`;
    spread.hidden = data.p_values || !channel.values.z || !logVar?.length;
    if (spread.hidden) return;
    // The posterior's covariance on the plane, A diag(σ²) Aᵀ, and its principal axes.
    const [first, second] = data.plane.axes;
    const covariance = (p, q) => logVar.reduce((sum, value, k) => sum + p[k] * q[k] * Math.exp(value), 0);
    const [a, b, c] = [covariance(first, first), covariance(first, second), covariance(second, second)];
    const root = Math.hypot((a - c) / 2, b);
    const scale = box.width / (x[1] - x[0]);
    const [long, small] = [1, -1].map((sign) => 2 * scale * Math.sqrt(Math.max(0, (a + c) / 2 + sign * root)));
    spread.style.width = `${2 * long}px`;
    spread.style.height = `${2 * small}px`;
    spread.style.transform = `translate(${px - long}px, ${py - small}px) rotate(${-Math.atan2(2 * b, a - c) / 2}rad)`;
  }

  /** Where the demonstration goes, in px of the plot area: a point of each visible class. */
  function landmarks() {
    const box = area();
    if (!box) return [];
    const [x, y] = axes();
    return plot._fullData
      .filter((trace) => trace.visible === true && trace.customdata && trace.x.length)
      .map((trace) => [
        ((trace.x[0] - x[0]) / (x[1] - x[0])) * box.width,
        ((y[1] - trace.y[0]) / (y[1] - y[0])) * box.height,
      ])
      .filter(([px, py]) => px > 0 && py > 0 && px < box.width && py < box.height);
  }

  function draw(images, request) {
    paint(canvas, images, 1, data.ink);
    canvas.style.width = `${images.width * wholeMultiple(images.width, LENS)}px`;
    const box = area();
    if (!box) return;
    const near = nearest(request.shown, box);
    caption.textContent = `${data.plane ? "nearest: " : ""}${near.name}`;
    caption.style.setProperty("--class-colour", near.colour);
    const appears = lens.hidden && !away;
    lens.hidden = away;
    if (appears) place(); // it has a size only now
    announce(host, request);
  }

  /** Pin what is under the crosshair: a point if one is near, else the location on the plane. */
  function pin() {
    const box = area();
    if (!box || !at) return;
    const shown = toShown(at.px, at.py, box);
    const near = nearest(shown, box);
    showPinned(toLatent(shown, box));
    const onPoint = near.distance <= CLICK_REACH || !data.plane;
    send("pin", onPoint ? { row: Number(near.row) } : { at: toPlane(shown) });
  }

  /** Show what is pinned in a corner, decoded for itself: the pointer may have come in a jump. */
  async function showPinned(z) {
    kept.hidden = true;
    pinned = z;
    const images = await model.source().decode(z).catch(() => null);
    if (!images || pinned !== z) return; // unreachable, freed, or another location pinned meanwhile
    paint(keptCanvas, images, 1, data.ink);
    keptCanvas.style.width = `${images.width * wholeMultiple(images.width, LENS)}px`;
    keptCaption.textContent = "Pinned";
    kept.hidden = false;
  }

  function free() {
    kept.hidden = true;
    pinned = null;
    send("pin", {});
  }

  const inArea = (event) => event.target.closest?.(".nsewdrag");
  const within = (event) => {
    const box = area();
    return [event.clientX - box.left, event.clientY - box.top];
  };

  let pressed = null;
  let followed = ""; // the last pointer position that was decoded
  function follow(event) {
    const place = `${event.clientX},${event.clientY}`;
    if (place === followed || !(event.pointerType === "touch" ? finger !== null : inArea(event))) return;
    followed = place;
    look(...within(event), event.timeStamp);
  }
  const listeners = {
    // Raw pointer events come up to 16 ms before the frame; not every browser sends them.
    pointerrawupdate: follow,
    pointermove: follow,
    pointerdown(event) {
      if (!inArea(event)) return;
      pressed = [event.clientX, event.clientY];
      host.focus({ preventScroll: true }); // for the keys
      if (event.pointerType === "touch") {
        finger = event.pointerId;
        look(...within(event), event.timeStamp);
      }
    },
    pointerup(event) {
      finger = null;
      // Plotly covers the page during a drag, so the target is of no use here.
      const still = pressed && Math.hypot(event.clientX - pressed[0], event.clientY - pressed[1]) < 4;
      pressed = null;
      if (still && data.clicks_pin && area()) {
        look(...within(event), event.timeStamp);
        pin();
      }
    },
    pointercancel() {
      finger = pressed = null;
    },
    pointerleave(event) {
      followed = "";
      if (event.pointerType !== "touch") away = lens.hidden = cross.hidden = true;
    },
    keydown(event) {
      const box = area();
      const step = event.shiftKey ? 1 : KEY_STEP;
      const arrow = arrowDirection(event);
      if (arrow && box) {
        at ??= { px: box.width / 2, py: box.height / 2 };
        look(at.px + step * arrow[0], at.py - step * arrow[1], event.timeStamp);
      } else if (event.key === "Enter") pin();
      else if (event.key === "Escape") free();
      else return;
      event.preventDefault();
    },
    // A finger decodes, where Plotly would pan.
    touchstart(event) {
      if (inArea(event) && event.touches.length === 1) event.stopPropagation();
    },
    touchmove(event) {
      if (finger !== null) event.preventDefault();
    },
  };
  for (const [name, listener] of Object.entries(listeners)) {
    host.addEventListener(name, listener, { capture: true, passive: false });
  }
  const onRelease = (event) => pressed && listeners.pointerup(event);
  window.addEventListener("pointerup", onRelease);

  return {
    async update(component) {
      data = component.data;
      send = component.setTriggerValue;
      host.setAttribute("aria-label", data.description);
      if (model.take(data)) {
        feed = createFeed(model.source(), notes, draw, () => component.setStateValue("unreachable", true));
      }
      latents = data.latents ? toFloats(data.latents) : null;
      unfollow?.();
      channel = openChannel(data.channel);
      unfollow = channel.follow(placeVisitor);
      if (window.Plotly && plot._fullLayout) placeVisitor();
      kept.hidden = kept.hidden || !data.pinned;
      if (figure === data.figure) return;
      figure = data.figure;
      try {
        const Plotly = await loadPlotly(data.plotly_version);
        const { data: traces, layout } = JSON.parse(figure);
        const config = { ...data.config, responsive: true };
        // The frame of a selection goes with the tools that draw it.
        const selectionrevision = ["select", "lasso"].includes(layout.dragmode);
        await Plotly.react(plot, traces, { ...layout, selectionrevision, hovermode: false, autosize: true }, config);
      } catch {
        component.setStateValue("unreachable", true);
        return;
      }
      plot.removeAllListeners?.("plotly_selected");
      plot.removeAllListeners?.("plotly_deselect");
      plot.on("plotly_selected", (event) => {
        const rows = (event?.points ?? []).filter((point) => point.customdata !== undefined);
        component.setStateValue("selected", rows.map((point) => Number(point.customdata)));
      });
      plot.on("plotly_deselect", () => component.setStateValue("selected", []));
      for (const moved of ["plotly_relayout", "plotly_relayouting"]) {
        plot.removeAllListeners(moved);
        plot.on(moved, placeVisitor);
      }
      placeVisitor();
      if (stopDemonstration) return;
      stopDemonstration = demonstrate(landmarks, (px, py) => look(px, py, performance.now()));
      if (data.hint) showHint(host, data.hint);
    },
    destroy() {
      stopDemonstration?.();
      unfollow?.();
      model.close();
      window.removeEventListener("pointerup", onRelease);
      window.Plotly?.purge(plot);
    },
  };
}
