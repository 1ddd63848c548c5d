// View: the decoded grid, the decoder's output on a regular grid of a plane or for a list of latents.

import { announce, paint, wholeMultiple } from "../lib/canvas.js";
import { openChannel } from "../lib/channel.js";
import { addFullScreen, clamp, createNotes, debounce, element, formatNumber, toFloats } from "../lib/dom.js";
import { gridSteps, planeToLatent } from "../lib/latents.js";
import { createHolder } from "../lib/model.js";
import { LANES, createFeed } from "../lib/source.js";
import { State, createPasses, tilesOf } from "./passes.js";

export function createGrid(host) {
  host.tabIndex = 0;
  const frame = element(host, "div", "vae-frame");
  const up = element(frame, "div", "vae-axis vae-axis-up");
  const canvas = element(frame, "canvas", "vae-picture");
  const across = element(frame, "div", "vae-axis vae-axis-across");
  const marks = element(frame, "div", "vae-marks");
  const notes = createNotes(host);
  addFullScreen(host, host);
  const model = createHolder(host);
  let data, send, feed, channel, unfollow, latents, centre;
  const passes = createPasses();
  let shown = null; // z of every tile on the canvas
  let moved = 0; // timestamp of the last input that no request has taken up
  let drag = null;

  /** All z of the grid, n along a side, for the channel's values; a "list" grid is given its own. */
  function latentsOf(values, n) {
    if (data.tiles.kind === "list") {
      const t = values[data.tiles.temperature];
      const d = data.latent_dim;
      return latents.map((value, i) =>
        data.tiles.fixed[Math.floor(i / d)] ? value : centre[i] + t * (value - centre[i]));
    }
    const { plane, spacing } = data.tiles;
    const steps = gridSteps(values[data.tiles.extent], n, spacing);
    const d = plane.origin.length;
    const z = new Float32Array(n * n * d);
    const origin = Float64Array.from(plane.origin);
    // Offsets along the other dimensions.
    for (const [name, direction] of Object.entries(data.tiles.others)) {
      direction.forEach((part, k) => (origin[k] += part * (values[name] ?? 0)));
    }
    const here = { origin, axes: plane.axes };
    for (let row = 0; row < n; row++) {
      for (let column = 0; column < n; column++) {
        const u = values[data.tiles.x] + steps[column];
        const v = values[data.tiles.y] + steps[n - 1 - row];
        planeToLatent(z, (row * n + column) * d, here, u, v);
      }
    }
    return z;
  }

  /** Decode the grid again: the values have changed. See `createPasses`. */
  function look(since) {
    passes.outdate();
    moved = since || moved;
    for (let lane = 0; lane < LANES; lane++) ask();
  }

  function ask() {
    host.dataset.state = passes.state;
    if (passes.isOutdated) feed(compose);
  }

  function compose() {
    const all = latentsOf(channel.values, data.columns);
    const d = data.latent_dim;
    const pass = passes.begin(performance.now());
    const tiles = tilesOf(pass.index, pass.count, data.columns, all.length / d);
    const z = new Float32Array(tiles.length * d);
    tiles.forEach((tile, i) => z.set(all.subarray(tile * d, (tile + 1) * d), i * d));
    const request = { z, tiles, all, data, pass, since: moved };
    moved = 0;
    return request;
  }

  function draw(images, { z, tiles, all, since, pass, ...request }) {
    if (request.data !== data) return ask(); // the grid has been replaced
    const d = data.latent_dim;
    if (pass.count === 1) {
      paint(canvas, images, data.columns, data.ink);
      fit(images);
      shown = all;
    } else {
      paint(canvas, images, data.columns, data.ink, tiles);
      tiles.forEach((tile, i) => shown.set(z.subarray(i * d, (i + 1) * d), tile * d));
    }
    const completed = passes.finish(pass, performance.now());
    announce(host, { since, z: shown, full: completed || passes.state === State.IDLE });
    if (completed) {
      passes.adapt(all.length / d, data.columns);
      label();
      frameTiles();
    }
    ask();
  }

  function fit(images) {
    const room = Math.min(frame.parentElement.clientWidth - (hasAxes() ? 56 : 0), data.height);
    const natural = data.columns * images.width;
    const multiple = wholeMultiple(natural, room);
    // Whole multiples look best, unless they leave much of the room empty.
    const width = multiple * natural * 1.4 < room || natural > room ? room : multiple * natural;
    const rows = data.tiles.kind === "plane" ? data.columns : Math.ceil(images.count / data.columns);
    canvas.style.width = `${width}px`;
    canvas.style.height = `${(width / data.columns) * rows}px`;
  }

  const hasAxes = () => data.tiles.kind === "plane" && data.columns > 1;

  function label() {
    if (!hasAxes()) return;
    const values = channel.values;
    const steps = gridSteps(values[data.tiles.extent], data.columns, data.tiles.spacing);
    const last = steps.length - 1;
    const quarter = Math.round(last / 4);
    const ticks = new Set([0, quarter, last / 2, last - quarter, last].filter(Number.isInteger));
    const write = (axis, centreName, name, upwards) => {
      axis.replaceChildren();
      element(axis, "b").textContent = name;
      for (const i of ticks) {
        const tick = element(axis, "span");
        tick.textContent = formatNumber(values[centreName] + steps[i], 2);
        tick.style[upwards ? "bottom" : "left"] = `${((i + 0.5) / steps.length) * 100}%`;
      }
    };
    write(across, data.tiles.x, data.tiles.names[0], false);
    write(up, data.tiles.y, data.tiles.names[1], true);
  }

  function frameTiles() {
    marks.replaceChildren();
    const box = { left: canvas.offsetLeft, top: canvas.offsetTop };
    const side = canvas.offsetWidth / data.columns;
    for (const index of data.framed ?? []) {
      const mark = element(marks, "i");
      mark.style.left = `${box.left + (index % data.columns) * side}px`;
      mark.style.top = `${box.top + Math.floor(index / data.columns) * side}px`;
      mark.style.width = mark.style.height = `${side}px`;
    }
  }

  function tileAt(event) {
    const box = canvas.getBoundingClientRect();
    const side = box.width / data.columns;
    const column = Math.min(data.columns - 1, Math.floor((event.clientX - box.left) / side));
    return Math.floor((event.clientY - box.top) / side) * data.columns + column;
  }

  const commit = debounce(() => send("values", { ...channel.values }));

  canvas.addEventListener("pointerdown", (event) => {
    drag = { x: event.clientX, y: event.clientY, values: { ...channel.values }, moved: false };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!drag || data.tiles.kind !== "plane") return;
    const [dx, dy] = [event.clientX - drag.x, event.clientY - drag.y];
    if (!drag.moved && Math.hypot(dx, dy) < 4) return;
    drag.moved = true;
    const { x, y, extent } = data.tiles;
    const unit = (2 * drag.values[extent]) / canvas.offsetWidth;
    channel.move({ [x]: drag.values[x] - dx * unit, [y]: drag.values[y] + dy * unit }, event.timeStamp);
  });
  canvas.addEventListener("pointerup", (event) => {
    if (!drag) return;
    if (drag.moved) commit.now();
    else {
      const tile = tileAt(event);
      const d = data.latent_dim;
      const z = latentsOf(channel.values, data.columns).slice(tile * d, (tile + 1) * d);
      if (z.length) send("clicked", { tile, z: Array.from(z) });
    }
    drag = null;
  });
  canvas.addEventListener("wheel", (event) => {
    if (data.tiles.kind !== "plane") return;
    event.preventDefault();
    const { extent, limits } = data.tiles;
    const wanted = channel.values[extent] * Math.exp(event.deltaY * 0.001);
    channel.move({ [extent]: clamp(wanted, ...limits) }, event.timeStamp);
    commit.soon();
  }, { passive: false });
  const resize = new ResizeObserver(() => data && channel && frameTiles());
  resize.observe(host);

  return {
    update(component) {
      data = component.data;
      send = component.setTriggerValue;
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", data.description);
      frame.classList.toggle("vae-plain", !hasAxes());
      if (model.take(data)) {
        feed = createFeed(model.source(), notes, draw, () => component.setStateValue("unreachable", true), LANES);
      }
      if (data.tiles.kind === "list") {
        latents = toFloats(data.tiles.z);
        centre = toFloats(data.tiles.centre);
      }
      unfollow?.();
      passes.reset();
      channel = openChannel(data.channel);
      channel.give(data.values);
      unfollow = channel.follow(look);
      look(0);
    },
    destroy() {
      unfollow?.();
      model.close();
      resize.disconnect();
    },
  };
}
