// View: grid.

const FRAME = 16; // ms
const MOST_LATTICES = 9;
const LANES = 2; // one lattice is decoded while another one is on its way or drawn

/** The tiles of one of several lattices: in each row every so-manieth, shifted from row to row. */
function latticeOf(which, lattices, columns, count) {
  const shift = Math.round(Math.sqrt(lattices));
  const place = (tile) => (tile % columns) + shift * Math.floor(tile / columns);
  return Array.from({ length: count }, (_, tile) => tile).filter((tile) => place(tile) % lattices === which);
}

function createGrid(host) {
  host.tabIndex = 0;
  const frame = element(host, "div", "vae-frame");
  const up = element(frame, "div", "vae-axis vae-axis-up");
  const canvas = element(frame, "canvas", "vae-picture");
  const across = element(frame, "div", "vae-axis vae-axis-across");
  const marks = element(frame, "div", "vae-marks");
  const notes = createNotes(host);
  let data, send, feed, source, channel, unfollow, latents, centre;
  let version = 0; // of what is to be seen
  let lattices = 1; // that the tiles are divided into
  let asked = [0]; // of each lattice, the version last asked for
  let drawn = [0]; // of each lattice, the version that stands on the canvas
  let next = 0; // lattice to ask for
  let fresh = 0; // lattices drawn since all of them were
  let took = 0; // ms, of those
  let last = 0; // time of the last of them
  let shown = null; // z of every tile on the canvas
  let moved = 0; // when the hand did, as long as that is not asked for
  let drag = null;

  /** All z of the grid, n along a side, from the channel's values; `list` grids are given theirs. */
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
    // The other axes, each a direction with a value of its own.
    for (const [name, direction] of Object.entries(data.tiles.others)) {
      direction.forEach((part, k) => (origin[k] += part * (values[name] ?? 0)));
    }
    const here = { origin, axes: plane.axes };
    for (let row = 0; row < n; row++) {
      for (let column = 0; column < n; column++) {
        const u = values[data.tiles.x] + steps[column];
        const v = values[data.tiles.y] + steps[n - 1 - row];
        liftInto(z, (row * n + column) * d, here, u, v);
      }
    }
    return z;
  }

  /** What moved is decoded anew: where all tiles take longer than a frame, a lattice of them a frame, each
   *  where the hand is by then. Together the lattices are the full grid; the first of them is the coarse one. */
  function look(since) {
    version++;
    moved = since || moved;
    for (let lane = 0; lane < LANES; lane++) ask();
  }

  function ask() {
    if (asked.some((each) => each !== version)) feed(compose);
  }

  function compose() {
    const all = latentsOf(channel.values, data.columns);
    const d = data.latent_dim;
    const tiles = latticeOf(next, lattices, data.columns, all.length / d);
    const z = new Float32Array(tiles.length * d);
    tiles.forEach((tile, i) => z.set(all.subarray(tile * d, (tile + 1) * d), i * d));
    const request = { z, tiles, all, data, version, lattices, lattice: next, since: moved, at: performance.now() };
    asked[next] = version;
    next = (next + 1) % lattices;
    moved = 0;
    return request;
  }

  function draw(pictures, { z, tiles, all, since, ...request }) {
    if (request.data !== data) return ask(); // of another grid than the one to be seen
    if (request.lattices === 1) {
      paint(canvas, pictures, data.columns, data.ink);
      fit(pictures);
      shown = all;
    } else {
      paint(canvas, pictures, data.columns, data.ink, tiles);
      const d = data.latent_dim;
      tiles.forEach((tile, i) => shown.set(z.subarray(i * d, (i + 1) * d), tile * d));
    }
    const now = performance.now();
    took += now - Math.max(request.at, last);
    last = now;
    if (request.lattices === lattices) {
      drawn[request.lattice] = request.version;
      fresh++;
    }
    const passed = fresh === lattices;
    announce(host, { since, z: shown, full: passed || drawn.every((each) => each === version) });
    if (passed) {
      const most = Math.min(MOST_LATTICES, data.columns, all.length / data.latent_dim);
      divide(Math.min(most, Math.max(1, Math.ceil(took / FRAME))));
      label();
      frameTiles();
    }
    ask();
  }

  /** Divide the tiles anew, for the next pass over the grid. */
  function divide(count) {
    fresh = took = 0;
    if (count === lattices) return;
    const settled = drawn.every((each) => each === version);
    drawn = Array(count).fill(settled ? version : 0);
    asked = [...drawn];
    lattices = count;
    next = 0;
  }

  function fit(pictures) {
    const room = Math.min(frame.parentElement.clientWidth - (data.tiles.kind === "plane" ? 56 : 0), data.height);
    const natural = data.columns * pictures.width;
    const multiple = wholeMultiple(natural, room);
    // Whole pixels look best, but not where they leave a good part of the room empty.
    const width = multiple * natural * 1.4 < room || natural > room ? room : multiple * natural;
    const rows = data.tiles.kind === "plane" ? data.columns : Math.ceil(pictures.count / data.columns);
    canvas.style.width = `${width}px`;
    canvas.style.height = `${(width / data.columns) * rows}px`;
  }

  function label() {
    if (data.tiles.kind !== "plane") return;
    const values = channel.values;
    const steps = gridSteps(values[data.tiles.extent], data.columns, data.tiles.spacing);
    const last = steps.length - 1;
    const quarter = Math.round(last / 4);
    const ticks = new Set([0, quarter, last / 2, last - quarter, last].filter(Number.isInteger));
    const write = (axis, centreName, name, upwards) => {
      axis.replaceChildren();
      element(axis, "b", "").textContent = name;
      for (const i of ticks) {
        const tick = element(axis, "span", "");
        tick.textContent = short(values[centreName] + steps[i], 2);
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
      const mark = element(marks, "i", "");
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

  function commit() {
    send("values", { ...channel.values });
  }

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
    if (drag.moved) commit();
    else {
      const tile = tileAt(event);
      const d = data.latent_dim;
      const z = latentsOf(channel.values, data.columns).slice(tile * d, (tile + 1) * d);
      if (z.length) send("clicked", { tile, z: Array.from(z) });
    }
    drag = null;
  });
  let settle = 0;
  canvas.addEventListener("wheel", (event) => {
    if (data.tiles.kind !== "plane") return;
    event.preventDefault();
    const { extent, limits } = data.tiles;
    const wanted = channel.values[extent] * Math.exp(event.deltaY * 0.001);
    channel.move({ [extent]: Math.max(limits[0], Math.min(limits[1], wanted)) }, event.timeStamp);
    clearTimeout(settle);
    settle = setTimeout(commit, 400);
  }, { passive: false });
  const resize = new ResizeObserver(() => data && channel && frameTiles());
  resize.observe(host);

  return {
    update(component) {
      data = component.data;
      send = component.setTriggerValue;
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", data.description);
      frame.classList.toggle("vae-plain", data.tiles.kind !== "plane");
      if (source?.checkpoint !== data.checkpoint) {
        source = { checkpoint: data.checkpoint, ...createSource(data.checkpoint) };
        feed = createFeed(source, notes, draw, () => component.setStateValue("unreachable", true), LANES);
      }
      if (data.tiles.kind === "list") {
        latents = floats(data.tiles.z);
        centre = floats(data.tiles.centre);
      }
      unfollow?.();
      divide(1);
      channel = openChannel(data.channel);
      channel.give(data.values);
      unfollow = channel.follow(look);
      look(0);
    },
    destroy() {
      unfollow?.();
      resize.disconnect();
    },
  };
}
