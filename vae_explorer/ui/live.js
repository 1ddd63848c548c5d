/* The stage: every live picture of the app.
 *
 * One component, nine views: a map, a grid of tiles, a strip along a path, the sliders (with a
 * pad) that move them, a box to draw in; and of faces, the photo they are found in, a morph between
 * two, a field between four, and one changed. `live.py` and `live_faces.py` say what each is
 * given. Nothing here makes the script rerun while something moves: a picture comes from
 * `createSource`, z -> pixels, and on release, and only then, state goes to Python.
 *
 * Views of one page share a channel, by name: a slider in the panel moves the grid on the stage.
 */

// ------------------------------------------------------------------ where pictures come from

const SPINNER_AFTER = 300; // ms
const RETRY_AFTER = 1000; // ms, of a server that is gone
const BUSY_FOR = 100; // ms, of a server that has too much to do
const GIVE_UP_AFTER = 10_000; // ms without an answer
const OURS = [409, 413, 422, 503]; // what the route itself refuses with

/** Latents to pixels, over HTTP. Another source need only have the same functions. */
function createSource(checkpoint) {
  const stage = Array.from(crypto.getRandomValues(new Uint32Array(4)), (n) => n.toString(16)).join("");

  async function ask(verb, body, mark) {
    const answer = await fetch(`${appPath()}api/${verb}/${encodeURIComponent(checkpoint)}`, {
      method: "POST",
      body,
      headers: { "X-Stage": stage, "Content-Type": "application/octet-stream" },
      signal: AbortSignal.timeout(GIVE_UP_AFTER),
    });
    // A host that does not pass the route on may answer with a page of its own.
    if (!answer.ok || !answer.headers.has(mark)) {
      throw new Refusal(answer.ok ? 404 : answer.status, answer.ok ? "no answer" : await answer.text());
    }
    return answer;
  }

  return {
    /** z: Float32Array of n latents. Returns {width, height, count, pixels: RGBA bytes}. */
    async decode(z) {
      const answer = await ask("decode", z, "X-Count");
      const [width, height, count] = ["X-Width", "X-Height", "X-Count"].map((name) => Number(answer.headers.get(name)));
      return { width, height, count, pixels: new Uint8ClampedArray(await answer.arrayBuffer()) };
    },
    /** image: Float32Array of one picture in [0, 1]. Returns {zMean, zLogVar (empty if there is none)}. */
    async encode(image) {
      const answer = await ask("encode", image, "X-Latent-Dim");
      const d = Number(answer.headers.get("X-Latent-Dim"));
      const values = new Float32Array(await answer.arrayBuffer());
      return { zMean: values.slice(0, d), zLogVar: values.slice(d) };
    },
  };
}

class Refusal extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

/** The path below which the app is served: page names have no slash. */
function appPath() {
  return location.pathname.replace(/[^/]*$/, "");
}

/** Keeps a request in flight (or so many) and the newest waiting; draws when the answer comes. */
function createFeed(source, notes, draw, whenLost, lanes = 1) {
  let free = lanes;
  let waiting = null;
  let reached = false;

  async function work(compose) {
    const request = compose();
    free--;
    const spinner = setTimeout(() => notes.show("…"), SPINNER_AFTER);
    let pictures = null;
    try {
      pictures = await source.decode(request.z);
    } catch (error) {
      const wait = explain(error);
      if (wait) {
        setTimeout(() => next(() => request), wait);
        return;
      }
    } finally {
      clearTimeout(spinner);
    }
    try {
      if (pictures) {
        reached = true;
        notes.hide();
        draw(pictures, request);
      }
    } finally {
      next(null);
    }
  }

  /** Say what went wrong, and return after how many ms to ask again; 0 for not at all. */
  function explain(error) {
    const refused = error instanceof Refusal;
    // Where the very first answer is none of ours, something between us and the server is.
    if (!reached && !(refused && OURS.includes(error.status))) whenLost();
    if (!refused) {
      // The server is gone. What was last drawn stays.
      notes.show("The server does not answer. Trying again …");
      return RETRY_AFTER;
    }
    const replaced = error.status === 409; // by a newer one
    if (error.status === 503 || (replaced && lanes > 1)) return BUSY_FOR;
    if (!replaced) notes.show(error.message);
    return 0;
  }

  function next(fallback) {
    const compose = waiting ?? fallback;
    waiting = null;
    free++;
    if (compose) work(compose);
  }

  /** compose: makes the request when it is its turn, {z, since: timestamp of what caused it, ...} */
  return (compose) => {
    if (free) work(compose);
    else waiting = compose;
  };
}

// ------------------------------------------------------------------ drawing

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

/** At most `digits` significant digits, without the zeros behind the point. */
const short = (number, digits = 3) => (Math.abs(number) < 0.005 ? "0" : String(Number(number.toPrecision(digits))));

// ------------------------------------------------------------------ the latent space

/** Lift plane coordinates (u, v) to z = origin + u axes[0] + v axes[1]. */
function liftInto(z, offset, plane, u, v) {
  for (let k = 0; k < plane.origin.length; k++) {
    z[offset + k] = plane.origin[k] + u * plane.axes[0][k] + v * plane.axes[1][k];
  }
}

/** Inverse of the normal CDF (Acklam 2003; relative error below 1.2e-9). */
function probit(p) {
  const q = Math.min(p, 1 - p);
  if (q < 0.02425) {
    const r = Math.sqrt(-2 * Math.log(Math.max(q, 1e-12)));
    const tail =
      (((((-7.784894002430293e-3 * r - 3.223964580411365e-1) * r - 2.400758277161838) * r - 2.549732539343734) * r +
        4.374664141464968) * r + 2.938163982698783) /
      ((((7.784695709041462e-3 * r + 3.224671290700398e-1) * r + 2.445134137142996) * r + 3.754408661907416) * r + 1);
    return p < 0.5 ? tail : -tail;
  }
  const s = p - 0.5;
  const t = s * s;
  return (
    ((((((-3.969683028665376e1 * t + 2.209460984245205e2) * t - 2.759285104469687e2) * t + 1.38357751867269e2) * t -
      3.066479806614716e1) * t + 2.506628277459239) * s) /
    (((((-5.447609879822406e1 * t + 1.615858368580409e2) * t - 1.556989798598866e2) * t + 6.680131188771972e1) * t -
      1.328068155288572e1) * t + 1)
  );
}

/** Normal CDF (Abramowitz & Stegun 7.1.26; absolute error below 1.5e-7). */
function normalCdf(x) {
  const t = 1 / (1 + 0.3275911 * Math.abs(x) * Math.SQRT1_2);
  const series = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;
  const upper = 0.5 * series * Math.exp((-x * x) / 2);
  return x < 0 ? upper : 1 - upper;
}

/** n steps from -extent to extent, evenly in z or in the prior's probability. */
function gridSteps(extent, n, spacing) {
  if (n === 1) return [0];
  const even = Array.from({ length: n }, (_, i) => i / (n - 1));
  if (spacing === "linear") return even.map((t) => (2 * t - 1) * extent);
  const low = normalCdf(-extent);
  const inner = even.slice(1, -1).map((t) => probit(low + t * (1 - 2 * low)));
  return [-extent, ...inner, extent]; // so far out, p is too rough to find them from
}

// ------------------------------------------------------------------ channels between views

const channels = (window.__vaeChannels ??= new Map());

/** Values that several views of a page move and follow. */
function openChannel(name) {
  if (!channels.has(name)) channels.set(name, { values: {}, given: "", followers: new Set() });
  const channel = channels.get(name);
  return {
    values: channel.values,
    /** Values from Python: taken up when they are news, so that a rerun never jerks a drag back. */
    give(values) {
      const given = JSON.stringify(values);
      if (given === channel.given) return;
      channel.given = given;
      this.move(values, 0);
    },
    move(values, since) {
      Object.assign(channel.values, values);
      for (const follow of channel.followers) follow(since);
    },
    follow(callback) {
      channel.followers.add(callback);
      return () => channel.followers.delete(callback);
    },
  };
}

// ------------------------------------------------------------------ view: map

let plotly = null;

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

const LENS = 132; // px: room for the picture beside the pointer
const CLICK_REACH = 12; // px: how near to a point a click means that point
const KEY_STEP = 8; // px

function createMap(host) {
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

  let data, send, feed, figure, source, latents, channel, unfollow;
  let at = null; // {px, py} of the crosshair in the plot area
  let away = true; // the pointer, from the plot area
  let frame = 0; // in which the crosshair is moved next
  let finger = null;

  const area = () => plot.querySelector(".nsewdrag")?.getBoundingClientRect();
  const axes = () => [plot._fullLayout.xaxis.range, plot._fullLayout.yaxis.range];

  /** Pixels in the plot area to what the axes show. */
  function toShown(px, py, box) {
    const [x, y] = axes();
    return [x[0] + (px / box.width) * (x[1] - x[0]), y[1] - (py / box.height) * (y[1] - y[0])];
  }

  /** What the axes show to coordinates of the plane. */
  const toPlane = (shown) => (data.p_values ? shown.map((p) => probit(Math.min(1, Math.max(0, p)))) : shown);

  /** The nearest point among the classes that are shown. */
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

  /** Ask for the picture at a place of the plot area. */
  function look(px, py, since) {
    const box = area();
    if (!box || !feed) return;
    at = { px: Math.max(0, Math.min(box.width, px)), py: Math.max(0, Math.min(box.height, py)) };
    const shown = toShown(at.px, at.py, box);
    let z;
    if (data.plane) {
      z = new Float32Array(data.plane.origin.length);
      liftInto(z, 0, data.plane, ...toPlane(shown));
    } else {
      // No way back from here to z: the picture is the nearest point's own.
      const index = data.rows.indexOf(nearest(shown, box).row);
      z = latents.slice(index * data.latent_dim, (index + 1) * data.latent_dim);
    }
    if (z.length) feed(() => ({ z, since, shown }));
    away = false;
    frame ||= requestAnimationFrame(place);
  }

  /** Put crosshair and lens where the pointer is, the lens on the side that has room. */
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

  /** A drawing that is being encoded, with its posterior at 2 σ; or the point of an upload. */
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
    // The posterior's covariance on the plane, A diag(σ²) Aᵀ, and its own axes.
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

  function draw(pictures, request) {
    paint(canvas, pictures, 1, data.ink);
    canvas.style.width = `${pictures.width * wholeMultiple(pictures.width, LENS)}px`;
    const box = area();
    if (!box) return;
    const near = nearest(request.shown, box);
    caption.textContent = `${data.plane ? "near " : ""}${near.name}`;
    caption.style.setProperty("--class-colour", near.colour);
    const appears = lens.hidden && !away;
    lens.hidden = away;
    if (appears) place(); // only now has it a size
    announce(host, request);
  }

  /** Pin what is under the crosshair: the point if one is near, else the place on the plane. */
  function pin() {
    const box = area();
    if (!box || !at) return;
    const shown = toShown(at.px, at.py, box);
    const near = nearest(shown, box);
    keptCanvas.width = canvas.width;
    keptCanvas.height = canvas.height;
    if (canvas.width) keptCanvas.getContext("2d").drawImage(canvas, 0, 0);
    keptCanvas.style.width = canvas.style.width;
    keptCaption.textContent = "pinned";
    kept.hidden = false;
    const onPoint = near.distance <= CLICK_REACH || !data.plane;
    send("pin", onPoint ? { row: Number(near.row) } : { at: toPlane(shown) });
  }

  function free() {
    kept.hidden = true;
    send("pin", {});
  }

  const inArea = (event) => event.target.closest?.(".nsewdrag");
  const within = (event) => {
    const box = area();
    return [event.clientX - box.left, event.clientY - box.top];
  };

  let pressed = null;
  let followed = ""; // where the pointer was last looked at
  function follow(event) {
    const place = `${event.clientX},${event.clientY}`;
    if (place === followed || !(event.pointerType === "touch" ? finger !== null : inArea(event))) return;
    followed = place;
    look(...within(event), event.timeStamp);
  }
  const listeners = {
    // A movement as it comes, up to 16 ms before the frame: where a browser tells of it, and it does not of each.
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
      // Plotly lays a cover over the page during a drag, so the target says nothing here.
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
      const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
      if (moves[event.key] && box) {
        at ??= { px: box.width / 2, py: box.height / 2 };
        look(at.px + moves[event.key][0], at.py + moves[event.key][1], event.timeStamp);
      } else if (event.key === "Enter") pin();
      else if (event.key === "Escape") free();
      else return;
      event.preventDefault();
    },
    // A finger looks around, where Plotly would pan.
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
      if (source?.checkpoint !== data.checkpoint) {
        source = { checkpoint: data.checkpoint, ...createSource(data.checkpoint) };
        feed = createFeed(source, notes, draw, () => component.setStateValue("unreachable", true));
      }
      latents = data.latents ? floats(data.latents) : null;
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
        await Plotly.react(plot, traces, { ...layout, hovermode: false, autosize: true }, config);
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
    },
    destroy() {
      unfollow?.();
      window.removeEventListener("pointerup", onRelease);
      window.Plotly?.purge(plot);
    },
  };
}

// ------------------------------------------------------------------ view: grid

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

// ------------------------------------------------------------------ view: sliders and a pad

function createSliders(host) {
  let data, send, channel, unfollow;
  let rows = new Map();
  let pad = null;

  const setting = (name) => data.settings.find((each) => each.name === name);
  const clamp = ({ low, high }, value) => Math.max(low, Math.min(high, value));

  function show() {
    for (const [name, { input, output }] of rows) {
      const value = channel.values[name];
      if (Number(input.value) !== value) input.value = value;
      output.textContent = short(value);
    }
    if (pad) {
      const [x, y] = data.pad.map(setting);
      pad.knob.style.left = `${((channel.values[x.name] - x.low) / (x.high - x.low)) * 100}%`;
      pad.knob.style.bottom = `${((channel.values[y.name] - y.low) / (y.high - y.low)) * 100}%`;
    }
  }

  function commit() {
    send("values", { ...channel.values });
  }

  function step(names, amounts, since) {
    const moved = {};
    names.forEach((name, i) => {
      const each = setting(name);
      moved[name] = clamp(each, channel.values[name] + amounts[i] * each.step);
    });
    channel.move(moved, since);
  }

  let settle = 0;
  function commitSoon() {
    clearTimeout(settle);
    settle = setTimeout(commit, 400);
  }

  function makeSlider(each) {
    const row = element(host, "label", "vae-slider");
    element(row, "span", "").textContent = each.label;
    const output = element(row, "output", "");
    const input = element(row, "input", "", {
      type: "range", min: each.low, max: each.high, step: "any", "aria-label": each.label,
    });
    input.addEventListener("input", (event) => channel.move({ [each.name]: Number(input.value) }, event.timeStamp));
    input.addEventListener("change", commit);
    input.addEventListener("dblclick", () => {
      channel.move({ [each.name]: each.reset }, performance.now());
      commit();
    });
    input.addEventListener("keydown", (event) => {
      const direction = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
      if (!direction) return;
      event.preventDefault();
      step([each.name], [direction * (event.shiftKey ? 10 : 1)], event.timeStamp);
      commitSoon();
    });
    input.addEventListener("wheel", (event) => {
      if (document.activeElement !== input) return; // a page that scrolls must not change values
      event.preventDefault();
      step([each.name], [-Math.sign(event.deltaY)], event.timeStamp);
      commitSoon();
    }, { passive: false });
    if (each.beside?.length) {
      const beside = element(row, "div", "vae-beside", { title: "What else changes, in so many faces" });
      for (const [name, share] of each.beside) {
        const percent = `${Math.round(100 * share)} %`;
        const item = element(beside, "span", "", { title: `${name}: changed in ${percent} of faces` });
        item.textContent = name;
        element(item, "i", "").style.width = percent.replace(" ", "");
      }
    }
    rows.set(each.name, { input, output });
  }

  function makePad([xName, yName]) {
    const field = element(host, "div", "vae-pad", {
      tabindex: 0, role: "application",
      "aria-label": `${setting(xName).label} and ${setting(yName).label}: arrow keys move`,
    });
    const knob = element(field, "i", "");
    element(field, "span", "vae-pad-x").textContent = setting(xName).label;
    element(field, "span", "vae-pad-y").textContent = setting(yName).label;
    let held = false;
    const go = (event) => {
      const box = field.getBoundingClientRect();
      const [x, y] = [setting(xName), setting(yName)];
      const u = (event.clientX - box.left) / box.width;
      const v = 1 - (event.clientY - box.top) / box.height;
      channel.move({
        [xName]: clamp(x, x.low + u * (x.high - x.low)),
        [yName]: clamp(y, y.low + v * (y.high - y.low)),
      }, event.timeStamp);
    };
    field.addEventListener("pointerdown", (event) => {
      held = true;
      field.setPointerCapture(event.pointerId);
      go(event);
    });
    field.addEventListener("pointermove", (event) => held && go(event));
    field.addEventListener("pointerup", () => {
      held = false;
      commit();
    });
    field.addEventListener("dblclick", () => {
      channel.move({ [xName]: setting(xName).reset, [yName]: setting(yName).reset }, performance.now());
      commit();
    });
    field.addEventListener("keydown", (event) => {
      const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
      if (!moves) return;
      event.preventDefault();
      step([xName, yName], moves.map((amount) => amount * (event.shiftKey ? 10 : 1)), event.timeStamp);
      commitSoon();
    });
    field.addEventListener("wheel", (event) => {
      if (document.activeElement !== field) return;
      event.preventDefault();
      const amount = -Math.sign(event.deltaY);
      step([xName, yName], event.shiftKey ? [amount, 0] : [0, amount], event.timeStamp);
      commitSoon();
    }, { passive: false });
    return { knob };
  }

  return {
    update(component) {
      const remake = JSON.stringify([data?.settings, data?.pad, data?.channel]) !==
        JSON.stringify([component.data.settings, component.data.pad, component.data.channel]);
      data = component.data;
      send = component.setTriggerValue;
      unfollow?.();
      channel = openChannel(data.channel);
      if (remake) {
        host.replaceChildren();
        rows = new Map();
        pad = data.pad ? makePad(data.pad) : null;
        for (const each of data.settings) if (!data.pad?.includes(each.name)) makeSlider(each);
      }
      channel.give(data.values);
      unfollow = channel.follow(show);
      show();
    },
    destroy() {
      unfollow?.();
    },
  };
}

// ------------------------------------------------------------------ view: strip

const PLAY_SECONDS = 4;

/** z at t in [0, 1] along a path of stored points. */
function along(path, t, d) {
  const last = path.length / d - 1;
  const position = t * last;
  const from = Math.min(Math.floor(position), Math.max(last - 1, 0));
  const share = position - from;
  const to = Math.min(from + 1, last);
  return Float32Array.from({ length: d }, (_, k) => path[from * d + k] * (1 - share) + path[to * d + k] * share);
}

/** A button that plays there and back, and a slider. `onMove(t, since)`: t in [0, 1]. */
function createPlayer(host, onMove) {
  const bar = element(host, "div", "vae-player");
  const play = element(bar, "button", "", { type: "button" });
  const scrub = element(bar, "input", "", {
    type: "range", min: 0, max: 1, step: "any", value: 0, "aria-label": "Along the path",
  });
  let timer = 0;

  function stop() {
    cancelAnimationFrame(timer);
    timer = 0;
    play.textContent = "Play";
  }

  play.addEventListener("click", () => {
    if (timer) return stop();
    play.textContent = "Pause";
    const began = performance.now() - Number(scrub.value) * PLAY_SECONDS * 1000;
    const tick = (now) => {
      const cycle = ((now - began) / (PLAY_SECONDS * 1000)) % 2;
      scrub.value = cycle < 1 ? cycle : 2 - cycle; // there and back
      onMove(Number(scrub.value), now);
      timer = requestAnimationFrame(tick);
    };
    timer = requestAnimationFrame(tick);
  });
  scrub.addEventListener("input", (event) => {
    stop();
    onMove(Number(scrub.value), event.timeStamp);
  });
  stop();
  return {
    bar,
    stop,
    get at() {
      return Number(scrub.value);
    },
    set at(t) {
      scrub.value = t;
    },
  };
}

function createStrip(host) {
  const canvas = element(host, "canvas", "vae-picture vae-strip");
  const player = createPlayer(host, showAt);
  const screen = element(player.bar, "canvas", "vae-picture vae-screen");
  const notes = createNotes(host);
  let data, source, feed, screenFeed, path;

  function showAt(t, since) {
    screenFeed(() => ({ z: along(path, t, data.latent_dim), since }));
  }

  return {
    update(component) {
      data = component.data;
      path = floats(data.path);
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", data.description);
      if (source?.checkpoint !== data.checkpoint) {
        const lost = () => component.setStateValue("unreachable", true);
        source = { checkpoint: data.checkpoint };
        feed = createFeed(createSource(data.checkpoint), notes, (pictures, request) => {
          paint(canvas, pictures, pictures.count, data.ink);
          announce(host, request);
        }, lost);
        screenFeed = createFeed(createSource(data.checkpoint), notes, (pictures, request) => {
          paint(screen, pictures, 1, data.ink);
          screen.style.width = `${pictures.width * wholeMultiple(pictures.width, 96)}px`;
          announce(host, request);
        }, lost);
      }
      player.stop();
      feed(() => ({ z: path, since: 0 }));
      showAt(player.at, 0);
    },
    destroy: player.stop,
  };
}

// ------------------------------------------------------------------ view: a box to draw in

const BOX = 168; // px
const PEN = 15; // px
const INNER = 20; // the box that MNIST's digits were scaled to
const NEAREST = 6;

/** Scale and centre ink as MNIST's digits were: into 20x20, centre of mass in the middle of 28x28. */
function likeMnist(drawing, size) {
  const { width, height } = drawing;
  const ink = drawing.getContext("2d").getImageData(0, 0, width, height).data;
  let [left, top, right, bottom] = [width, height, -1, -1];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (ink[(y * width + x) * 4 + 3] < 8) continue;
      left = Math.min(left, x);
      right = Math.max(right, x);
      top = Math.min(top, y);
      bottom = Math.max(bottom, y);
    }
  }
  if (right < 0) return null;
  const longest = Math.max(right - left, bottom - top) + 1;
  // Each pixel of the 20x20 is the mean ink of the square it covers.
  const step = longest / INNER;
  const inner = new Float32Array(INNER * INNER);
  let [mass, massX, massY] = [0, 0, 0];
  for (let row = 0; row < INNER; row++) {
    for (let column = 0; column < INNER; column++) {
      let [sum, count] = [0, 0];
      for (let y = Math.floor(top + row * step); y < top + (row + 1) * step; y++) {
        for (let x = Math.floor(left + column * step); x < left + (column + 1) * step; x++) {
          sum += x < width && y < height ? ink[(y * width + x) * 4 + 3] : 0;
          count++;
        }
      }
      const value = sum / count / 255;
      inner[row * INNER + column] = value;
      mass += value;
      massX += value * (column + 0.5);
      massY += value * (row + 0.5);
    }
  }
  const image = new Float32Array(size * size);
  const shiftX = Math.round(size / 2 - massX / mass);
  const shiftY = Math.round(size / 2 - massY / mass);
  for (let row = 0; row < INNER; row++) {
    for (let column = 0; column < INNER; column++) {
      const [x, y] = [column + shiftX, row + shiftY];
      if (x >= 0 && y >= 0 && x < size && y < size) image[y * size + x] = inner[row * INNER + column];
    }
  }
  return image;
}

function createDraw(host) {
  const paper = element(host, "canvas", "vae-paper", { width: BOX, height: BOX, "aria-label": "Draw a digit here" });
  const side = element(host, "div", "vae-side");
  const seen = element(element(side, "figure", ""), "canvas", "vae-picture");
  element(seen.parentElement, "figcaption", "").textContent = "what the model sees";
  const answer = element(element(side, "figure", ""), "canvas", "vae-picture");
  element(answer.parentElement, "figcaption", "").textContent = "its reconstruction";
  const words = element(host, "p", "vae-words", { role: "status" });
  const buttons = element(host, "div", "vae-buttons");
  const undo = element(buttons, "button", "", { type: "button" });
  const clear = element(buttons, "button", "", { type: "button" });
  undo.textContent = "Undo";
  clear.textContent = "Clear";
  const notes = createNotes(host);
  const pen = paper.getContext("2d", { willReadFrequently: true });
  let data, feed, checkpoint, channel, latents;
  let strokes = [];
  let stroke = null;

  function redraw() {
    pen.clearRect(0, 0, BOX, BOX);
    pen.lineWidth = PEN;
    pen.lineCap = pen.lineJoin = "round";
    for (const points of strokes) {
      pen.beginPath();
      pen.moveTo(...points[0]);
      for (const point of points) pen.lineTo(...point);
      pen.stroke();
    }
  }

  function look(since) {
    redraw();
    const image = likeMnist(paper, data.image_size);
    if (image) feed(() => ({ z: image, since }));
    else {
      channel.move({ z: null, logVar: null }, 0);
      seen.width = answer.width = 0;
      words.textContent = "Draw a digit, and watch where it lands.";
    }
  }

  /** Labels of the nearest stored encodings, most frequent first. */
  function nearestLabels(z) {
    const d = z.length;
    const found = data.labels.map((label, i) => {
      let distance = 0;
      for (let k = 0; k < d; k++) distance += (latents[i * d + k] - z[k]) ** 2;
      return [distance, label];
    });
    found.sort((a, b) => a[0] - b[0]);
    const counts = new Map();
    for (const [, label] of found.slice(0, NEAREST)) counts.set(label, (counts.get(label) ?? 0) + 1);
    return [...counts].sort((a, b) => b[1] - a[1]).map(([label, count]) => `${data.label_names[label]} × ${count}`);
  }

  function draw(pictures, { image, zMean, zLogVar, request }) {
    const size = data.image_size;
    const grey = new Uint8ClampedArray(4 * image.length).fill(255);
    image.forEach((value, i) => grey.fill(Math.round(value * 255), 4 * i, 4 * i + 3));
    // Binary cross-entropy from the eight bits that the decoder's answer has.
    let cost = 0;
    for (let i = 0; i < image.length; i++) {
      const p = Math.min(509 / 510, Math.max(1 / 510, pictures.pixels[4 * i] / 255));
      cost -= image[i] * Math.log(p) + (1 - image[i]) * Math.log(1 - p);
    }
    let kl = 0;
    zLogVar.forEach((logVar, k) => (kl += 0.5 * (zMean[k] ** 2 + Math.exp(logVar) - logVar - 1)));
    paint(seen, { width: size, height: size, count: 1, pixels: grey }, 1, true);
    paint(answer, pictures, 1, true);
    const parts = zLogVar.length ? `: reconstruction ${Math.round(cost)}, KL ${short(kl)}` : "";
    const total = `about ${Math.round(cost + kl)} nats${parts}`;
    words.textContent = `Nearest: ${nearestLabels(zMean).join(", ")}. It costs ${total}.`;
    channel.move({ z: Array.from(zMean), logVar: Array.from(zLogVar) }, 0);
    announce(host, { ...request, z: zMean });
  }

  const point = (event) => {
    const box = paper.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * BOX, ((event.clientY - box.top) / box.height) * BOX];
  };
  paper.addEventListener("pointerdown", (event) => {
    paper.setPointerCapture(event.pointerId);
    stroke = [point(event)];
    strokes.push(stroke);
    look(event.timeStamp);
  });
  paper.addEventListener("pointermove", (event) => {
    if (!stroke) return;
    stroke.push(point(event));
    look(event.timeStamp);
  });
  for (const end of ["pointerup", "pointercancel"]) paper.addEventListener(end, () => (stroke = null));
  undo.addEventListener("click", () => {
    strokes.pop();
    look(0);
  });
  clear.addEventListener("click", () => {
    strokes = [];
    look(0);
  });

  return {
    update(component) {
      data = component.data;
      latents = floats(data.latents);
      channel = openChannel(data.channel);
      if (checkpoint === data.checkpoint) return;
      checkpoint = data.checkpoint;
      const source = createSource(checkpoint);
      const encodeAndDecode = {
        async decode(image) {
          const posterior = await source.encode(image);
          return { pictures: await source.decode(posterior.zMean), image, ...posterior };
        },
      };
      feed = createFeed(
        encodeAndDecode, notes, (found, request) => draw(found.pictures, { ...found, request }),
        () => component.setStateValue("unreachable", true),
      );
      look(0);
    },
    destroy() {
      channel?.move({ z: null, logVar: null }, 0);
    },
  };
}

// ------------------------------------------------------------------ view: a photo, and the faces in it

const SVG = "http://www.w3.org/2000/svg";

function createPhoto(host) {
  const frame = element(host, "div", "vae-photo");
  const picture = element(frame, "img", "");
  const overlay = document.createElementNS(SVG, "svg");
  frame.append(overlay);
  let data, send, eyes = [];

  function mark(kind, attributes, className) {
    const made = document.createElementNS(SVG, kind);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.setAttribute("class", className);
    overlay.append(made);
    return made;
  }

  function show() {
    const focused = overlay.contains(document.activeElement) && document.activeElement.getAttribute("aria-label");
    overlay.replaceChildren();
    const dot = Math.max(...data.size) / 160;
    const area = ([left, top, right, bottom]) => (right - left) * (bottom - top);
    // A large box never lies over a small one.
    const order = data.faces.map((face, index) => ({ ...face, index })).sort((a, b) => area(b.box) - area(a.box));
    order.forEach(({ box, landmarks, index }) => {
      const [left, top, right, bottom] = box;
      const chosen = index === data.chosen;
      const outline = mark("rect", {
        x: left, y: top, width: right - left, height: bottom - top, rx: 2 * dot, tabindex: 0, role: "button",
        "aria-label": `Face ${index + 1}`, "aria-pressed": chosen,
      }, chosen ? "vae-face vae-chosen" : "vae-face");
      const choose = () => send("chosen", { face: index });
      outline.addEventListener("click", choose);
      outline.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        choose();
      });
      if (focused === `Face ${index + 1}`) outline.focus();
      if (chosen) for (const [x, y] of landmarks) mark("circle", { cx: x, cy: y, r: dot }, "vae-landmark");
    });
    for (const [x, y] of eyes) mark("circle", { cx: x, cy: y, r: 1.5 * dot }, "vae-landmark");
  }

  frame.addEventListener("click", (event) => {
    if (!data.places) return;
    const box = picture.getBoundingClientRect();
    const place = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    eyes.push([place[0] * data.size[0], place[1] * data.size[1]]);
    show();
    if (eyes.length < 2) return;
    send("eyes", { places: eyes });
    eyes = [];
  });

  /** A pasted picture takes the way of an upload, with all its checks. */
  function paste(event) {
    const file = [...(event.clipboardData?.files ?? [])].find(({ type }) => type.startsWith("image/"));
    const input = document.querySelector("[data-testid=stFileUploader] input[type=file]");
    if (!file || !input) return;
    const files = new DataTransfer();
    files.items.add(file);
    input.files = files.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  }
  document.addEventListener("paste", paste);

  return {
    update(component) {
      ({ data, setTriggerValue: send } = component);
      if (picture.src !== data.picture || !data.places) eyes = [];
      picture.src = data.picture;
      picture.alt = data.description;
      frame.classList.toggle("vae-aiming", data.places);
      overlay.setAttribute("viewBox", `0 0 ${data.size[0]} ${data.size[1]}`);
      show();
    },
    destroy() {
      document.removeEventListener("paste", paste);
    },
  };
}

// ------------------------------------------------------------------ view: a face becoming another

const STRIP_PIXELS = 1600;
const STRIP_COLUMNS = 12; // more steps take another row

/** Pixels of a picture by its address: RGBA, size x size, 0 to 255. */
async function readPicture(address, size) {
  const picture = new Image();
  picture.src = address;
  await picture.decode();
  const context = createBuffer(size);
  context.drawImage(picture, 0, 0, size, size);
  return context.getImageData(0, 0, size, size).data;
}

/** A canvas that is never shown. */
function createBuffer(size) {
  const canvas = Object.assign(document.createElement("canvas"), { width: size, height: size });
  return canvas.getContext("2d", { willReadFrequently: true });
}

function createMorph(host) {
  const row = element(host, "div", "vae-morph");
  const [first, screen, last] = ["img", "canvas", "img"].map((tag) => element(element(row, "figure", ""), tag, ""));
  const words = [first, screen, last].map((shown) => element(shown.parentElement, "figcaption", ""));
  const player = createPlayer(host, showAt);
  player.at = 0.5;
  const strip = element(host, "canvas", "vae-strip", { role: "img" });
  const notes = createNotes(host);
  let data, channel, unfollow, path, checkpoint, source, feed, stripFeed;
  let small, large; // buffers of the model's size and of the photos'
  let lacking = null; // the photos minus the reconstructions, of both ends
  let asked = 0; // how many times they were asked for
  let frame = null; // the last answers: {pictures, t}, and the strip's pictures
  let stripes = null;

  function showAt(t, since) {
    feed(() => ({ z: along(path, t, data.latent_dim), t, since }));
  }

  /** One of the pictures, at the size of the photos, with what they have and it lacks at t. */
  function compose(pictures, index, t, amount) {
    const bytes = pictures.width * pictures.height * 4;
    const pixels = pictures.pixels.slice(index * bytes, (index + 1) * bytes);
    small.putImageData(new ImageData(pixels, pictures.width, pictures.height), 0, 0);
    large.imageSmoothingQuality = "high";
    large.drawImage(small.canvas, 0, 0, data.size, data.size);
    const image = large.getImageData(0, 0, data.size, data.size);
    if (lacking && amount) {
      const [a, b] = [amount * fade(t), amount * fade(1 - t)];
      const [from, to] = lacking;
      for (let i = 0; i < from.length; i++) image.data[i] += a * from[i] + b * to[i];
    }
    return image;
  }

  const detail = () => channel.values[data.detail] ?? 0;

  function drawFrame() {
    if (!frame) return;
    screen.getContext("2d").putImageData(compose(frame.pictures, 0, frame.t, detail()), 0, 0);
    screen.setAttribute("aria-label", `${Math.round(100 * frame.t)} % of the way`);
    words[1].textContent = `${Math.round(100 * frame.t)} %`;
  }

  function drawStrip() {
    if (!stripes) return;
    const { count } = stripes;
    const columns = Math.ceil(count / Math.ceil(count / STRIP_COLUMNS));
    const side = Math.min(data.size, Math.floor(STRIP_PIXELS / columns));
    Object.assign(strip, { width: side * columns, height: side * Math.ceil(count / columns) });
    strip.style.maxWidth = `${112 * columns}px`;
    const context = strip.getContext("2d");
    context.imageSmoothingQuality = "high";
    for (let i = 0; i < count; i++) {
      large.putImageData(compose(stripes, i, i / (count - 1), detail()), 0, 0);
      context.drawImage(large.canvas, (i % columns) * side, Math.floor(i / columns) * side, side, side);
    }
  }

  function draw() {
    drawFrame();
    drawStrip();
  }

  async function findLacking() {
    const turn = ++asked;
    lacking = null;
    const d = data.latent_dim;
    const ends = Float32Array.from([...path.subarray(0, d), ...path.subarray(path.length - d)]);
    const [pictures, ...photos] = await Promise.all([
      source.decode(ends), ...data.pictures.map((address) => readPicture(address, data.size)),
    ]);
    if (turn !== asked) return;
    lacking = photos.map((photo, i) => {
      const redrawn = compose(pictures, i, 0, 0).data;
      return Int16Array.from(photo, (value, k) => value - redrawn[k]);
    });
    draw();
  }

  /** Until it is found the model's own pictures are shown. */
  function lookForLacking() {
    const turn = asked + 1;
    findLacking().catch(() => setTimeout(() => turn === asked && lookForLacking(), RETRY_AFTER));
  }

  return {
    update(component) {
      const before = data && JSON.stringify([data.pictures, data.path, data.size]);
      data = component.data;
      path = floats(data.path);
      const moved = checkpoint !== data.checkpoint;
      if (moved) {
        checkpoint = data.checkpoint;
        const lost = () => component.setStateValue("unreachable", true);
        source = createSource(checkpoint);
        small = createBuffer(data.image_size);
        feed = createFeed(createSource(checkpoint), notes, (pictures, request) => {
          frame = { pictures, t: request.t };
          drawFrame();
          announce(host, request);
        }, lost);
        stripFeed = createFeed(createSource(checkpoint), notes, (pictures, request) => {
          stripes = pictures;
          drawStrip();
          announce(host, request);
        }, lost);
      }
      [first, last].forEach((image, i) => {
        image.src = data.pictures[i];
        image.alt = words[2 * i].textContent = data.names[i];
      });
      unfollow?.();
      channel = openChannel(data.channel);
      channel.give(data.values);
      unfollow = channel.follow(draw);
      strip.setAttribute("aria-label", data.description);
      if (moved || before !== JSON.stringify([data.pictures, data.path, data.size])) {
        Object.assign(screen, { width: data.size, height: data.size });
        large = createBuffer(data.size);
        lookForLacking();
      }
      const d = data.latent_dim;
      const stops = Array.from({ length: data.steps }, (_, i) => along(path, i / (data.steps - 1), d));
      stripFeed(() => ({ z: Float32Array.from(stops.flatMap((z) => [...z])), since: 0 }));
      showAt(player.at, 0);
    },
    destroy() {
      asked++;
      player.stop();
      unfollow?.();
    },
  };
}

/** How much of an end's detail is left at t of the way from it; see `fade` in morphs.py. */
const fade = (t) => (1 - t) ** 2;

// ------------------------------------------------------------------ view: between four faces

/** From a to b on an arc, as `slerp` in latent.py. */
function slerp(a, b, t) {
  const norm = (z) => Math.hypot(...z);
  const [from, to] = [norm(a), norm(b)];
  const cosine = a.reduce((sum, value, k) => sum + (value / from) * (b[k] / to), 0);
  const angle = Math.acos(Math.max(-1, Math.min(1, cosine)));
  const sine = Math.sin(angle);
  if (!(sine >= 1e-4)) return a.map((value, k) => (1 - t) * value + t * b[k]); // also where a norm is 0
  const length = (1 - t) * from + t * to;
  const [p, q] = [(Math.sin((1 - t) * angle) * length) / sine / from, (Math.sin(t * angle) * length) / sine / to];
  return a.map((value, k) => p * value + q * b[k]);
}

function createCorners(host) {
  const row = element(host, "div", "vae-corners");
  const pictures = [0, 1, 2, 3].map((k) => element(row, "img", `vae-corner-${k}`));
  const field = element(row, "div", "vae-field", { tabindex: 0, role: "application" });
  const canvas = element(field, "canvas", "");
  const knob = element(field, "i", "");
  const screen = element(row, "canvas", "vae-screen", { role: "img" });
  const notes = createNotes(host);
  const place = { x: 0.5, y: 0.5 };
  let data, checkpoint, feed, gridFeed, corners;

  function latent(x, y) {
    const between = data.spherical ? slerp : (a, b, t) => a.map((value, k) => (1 - t) * value + t * b[k]);
    const [a, b, c, d] = corners;
    return between(between(a, b, x), between(c, d, x), y);
  }

  function show(since) {
    // The middle of the first tile is the first corner, and so on.
    const inset = (t) => `${100 * (0.5 + t * (data.columns - 1)) / data.columns}%`;
    Object.assign(knob.style, { left: inset(place.x), top: inset(place.y) });
    feed(() => ({ z: latent(place.x, place.y), since }));
  }

  function moveTo(event) {
    const box = field.getBoundingClientRect();
    const n = data.columns;
    const within = (share) => Math.max(0, Math.min(1, (share * n - 0.5) / (n - 1)));
    place.x = within((event.clientX - box.left) / box.width);
    place.y = within((event.clientY - box.top) / box.height);
    show(event.timeStamp);
  }

  field.addEventListener("pointermove", moveTo);
  field.addEventListener("pointerdown", moveTo);
  field.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    ["x", "y"].forEach((axis, k) => (place[axis] = Math.max(0, Math.min(1, place[axis] + step[k] / 20))));
    show(event.timeStamp);
  });

  return {
    update(component) {
      data = component.data;
      const every = floats(data.corners);
      const d = data.latent_dim;
      corners = [0, 1, 2, 3].map((k) => every.slice(k * d, (k + 1) * d));
      if (checkpoint !== data.checkpoint) {
        checkpoint = data.checkpoint;
        const lost = () => component.setStateValue("unreachable", true);
        feed = createFeed(createSource(checkpoint), notes, (answer, request) => {
          paint(screen, answer, 1, data.ink);
          announce(host, request);
        }, lost);
        gridFeed = createFeed(createSource(checkpoint), notes, (answer, request) => {
          paint(canvas, answer, data.columns, data.ink);
          announce(host, request);
        }, lost);
      }
      pictures.forEach((image, k) => Object.assign(image, { src: data.pictures[k], alt: data.names[k], title: data.names[k] }));
      field.setAttribute("aria-label", `${data.description}. Arrow keys move within it.`);
      screen.setAttribute("aria-label", "The face at that place");
      const n = data.columns;
      const tiles = Array.from({ length: n * n }, (_, i) => latent((i % n) / (n - 1), Math.floor(i / n) / (n - 1)));
      gridFeed(() => ({ z: Float32Array.from(tiles.flatMap((z) => [...z])), since: 0 }));
      show(0);
    },
    destroy() {},
  };
}

// ------------------------------------------------------------------ view: a face, changed

const FEATHER = 0.16; // these are those of faces/editing.py
const [UNSEEN, SEEN] = [0.01, 0.05];
const SPREAD = 0.03;
const [FORM, BLUR] = [3 / 64, 1.2 / 64];
const [KEPT, LOST] = [0.06, 0.2];
const REPLACED = 0.85;

const smooth = (t) => {
  const within = Math.max(0, Math.min(1, t));
  return within * within * (3 - 2 * within);
};

/** 1 in the middle of a crop and 0 at its border. */
function cropWindow(size) {
  const edge = Array.from({ length: size }, (_, i) => smooth(Math.min((i + 0.5) / size, 1 - (i + 0.5) / size) / FEATHER));
  return Float32Array.from({ length: size * size }, (_, i) => edge[Math.floor(i / size)] * edge[i % size]);
}

/** Filter a map (size x size) along its rows, then along its columns; its border goes on for ever.
 *
 * `filter(line, to, reach)` is given a line with `reach` more at each end, and fills `to` (size).
 */
function filterBoth(map, size, reach, filter) {
  const line = new Float32Array(size + 2 * reach);
  const filtered = new Float32Array(size);
  const along = (from, start, stride) => {
    const to = new Float32Array(size * size);
    for (let k = 0; k < size; k++) {
      const first = k * start;
      for (let i = 0; i < line.length; i++) {
        line[i] = from[first + Math.max(0, Math.min(size - 1, i - reach)) * stride];
      }
      filter(line, filtered, reach);
      for (let i = 0; i < size; i++) to[first + i * stride] = filtered[i];
    }
    return to;
  };
  return along(along(map, size, 1), 1, size);
}

/** How much of a change (size x size, its strength) is one, with room around it. */
function whereChanged(strength, size) {
  const reach = Math.max(1, Math.round(SPREAD * size));
  const largest = filterBoth(strength, size, reach, (line, to) => {
    for (let i = 0; i < size; i++) {
      let most = 0;
      for (let k = 0; k <= 2 * reach; k++) most = Math.max(most, line[i + k]);
      to[i] = most;
    }
  });
  return blurred(largest, size, reach).map((value) => smooth((value - UNSEEN) / (SEEN - UNSEEN)));
}

/** A Gaussian filter, of a standard deviation in pixels. */
function blurred(map, size, deviation) {
  const reach = Math.ceil(3 * deviation);
  const weights = Array.from({ length: 2 * reach + 1 }, (_, k) => Math.exp(-((k - reach) ** 2) / (2 * deviation ** 2)));
  const whole = weights.reduce((sum, weight) => sum + weight);
  return filterBoth(map, size, reach, (line, to) => {
    for (let i = 0; i < size; i++) {
      let sum = 0;
      for (let k = 0; k <= 2 * reach; k++) sum += weights[k] * line[i + k];
      to[i] = sum / whole;
    }
  });
}

/** The largest of three bands' absolute values, in each place. */
function largestOf(bands) {
  const [red, green, blue] = bands;
  return red.map((value, i) => Math.max(Math.abs(value), Math.abs(green[i]), Math.abs(blue[i])));
}

/** How much a change is one of forms, not of light or colour. */
function whereFormsChange(change, size) {
  const rough = change.map((band) => {
    const light = blurred(band, size, FORM * size);
    return band.map((value, i) => value - light[i]);
  });
  return blurred(largestOf(rough), size, BLUR * size).map((value) => smooth((value - KEPT) / (LOST - KEPT)));
}

/** Add three layers (size x size each) to a picture, enlarged smoothly; `taken` of it goes. */
function layOver(photo, layers, taken, size, target) {
  const { width: side, data: out } = target;
  const places = Array.from({ length: side }, (_, i) => {
    const at = Math.max(0, Math.min(size - 1, ((i + 0.5) * size) / side - 0.5));
    const low = Math.min(Math.floor(at), size - 2);
    return [low, smooth(at - low)];
  });
  const maps = [...layers, taken];
  const lines = maps.map(() => new Float32Array(size)); // between two rows of each
  for (let y = 0; y < side; y++) {
    const [row, v] = places[y];
    maps.forEach((map, m) => {
      for (let k = 0, i = row * size; k < size; k++, i++) lines[m][k] = map[i] + v * (map[i + size] - map[i]);
    });
    const [red, green, blue, gone] = lines;
    for (let x = 0, i = 4 * y * side; x < side; x++, i += 4) {
      const [column, u] = places[x];
      const next = column + 1;
      const kept = 1 - gone[column] - u * (gone[next] - gone[column]);
      out[i] = kept * photo[i] + red[column] + u * (red[next] - red[column]);
      out[i + 1] = kept * photo[i + 1] + green[column] + u * (green[next] - green[column]);
      out[i + 2] = kept * photo[i + 2] + blue[column] + u * (blue[next] - blue[column]);
      out[i + 3] = 255;
    }
  }
}

function createEdit(host) {
  const frame = element(host, "div", "vae-wipe");
  const before = element(frame, "img", "");
  const after = element(frame, "canvas", "", { role: "img" });
  const line = element(frame, "i", "");
  const bar = element(host, "div", "vae-player");
  element(bar, "span", "").textContent = "Before";
  const wipe = element(bar, "input", "", {
    type: "range", min: 0, max: 1, step: 0.01, value: 0.5, "aria-label": "Wipe between before and after",
  });
  element(bar, "span", "").textContent = "After";
  const apart = element(bar, "button", "", { type: "button", "aria-pressed": false });
  apart.textContent = "Side by side";
  apart.addEventListener("click", () => {
    const on = host.classList.toggle("vae-apart");
    apart.setAttribute("aria-pressed", on);
    showWipe();
  });
  const notes = createNotes(host);
  let data, channel, unfollow, checkpoint, feed, z, vectors;
  let photo = null; // pixels of the picture
  let unmoved = null; // pixels of z as it is, decoded
  let answer = null; // the last picture, of z as it was moved
  let shownDetail = null;
  let known = ""; // which face it is
  let [asked, drawnNumber] = [0, 0];

  function showWipe() {
    const share = `${host.classList.contains("vae-apart") ? 0 : 100 * Number(wipe.value)}%`;
    after.style.clipPath = `inset(0 0 0 ${share})`;
    line.style.left = share;
  }

  function moveTo(event) {
    if (!event.buttons && event.type !== "pointerdown") return;
    const box = frame.getBoundingClientRect();
    wipe.value = (event.clientX - box.left) / box.width;
    showWipe();
  }

  wipe.addEventListener("input", showWipe);
  frame.addEventListener("pointerdown", (event) => {
    frame.setPointerCapture(event.pointerId);
    moveTo(event);
  });
  frame.addEventListener("pointermove", moveTo);

  function ask(since) {
    const d = data.latent_dim;
    const moved = z.slice();
    for (const [name, vector] of Object.entries(vectors)) {
      const amount = channel.values[name] ?? 0;
      if (amount) for (let k = 0; k < d; k++) moved[k] += amount * vector[k];
    }
    // The face as it is has to be decoded once only.
    const number = ++asked;
    feed(() => ({ z: unmoved ? moved : Float32Array.of(...z, ...moved), of: z, number, since }));
  }

  function draw() {
    if (!answer || !unmoved || !photo) return;
    const { width: size } = answer;
    const detail = (shownDetail = channel.values[data.detail] ?? 1);
    const window = cropWindow(size);
    const [a, b] = [unmoved, answer.pixels];
    const change = [0, 1, 2].map((c) => {
      const band = Float32Array.from({ length: size * size }, (_, i) => (b[4 * i + c] - a[4 * i + c]) / 255);
      const shared = band.slice().sort()[size * size / 2]; // other light: the photo keeps its own
      const [low, high] = [Math.min(shared, 0), Math.max(shared, 0)];
      return band.map((value) => value - detail * Math.max(low, Math.min(high, value)));
    });
    const where = whereChanged(largestOf(change), size);
    const forms = whereFormsChange(change, size);
    const gone = forms.map((form) => 1 - detail * (1 - REPLACED * form));
    const taken = window.map((w, i) => w * gone[i]);
    const layers = change.map((band, c) => band.map((value, i) =>
      window[i] * Math.max(detail * where[i] + 1 - detail, gone[i]) * 255 * value + taken[i] * a[4 * i + c]));
    const image = new ImageData(data.size, data.size);
    layOver(photo, layers, taken, size, image);
    after.getContext("2d").putImageData(image, 0, 0);
  }

  return {
    update(component) {
      data = component.data;
      const packed = data.z + data.checkpoint;
      if (packed !== known) {
        known = packed;
        z = floats(data.z);
        unmoved = answer = null;
      }
      vectors = Object.fromEntries(Object.entries(data.vectors).map(([name, packed]) => [name, floats(packed)]));
      if (checkpoint !== data.checkpoint) {
        checkpoint = data.checkpoint;
        feed = createFeed(createSource(checkpoint), notes, (pictures, request) => {
          if (request.of !== z || request.number < drawnNumber) return; // of another face, or overtaken
          drawnNumber = request.number;
          const one = 4 * pictures.width * pictures.height;
          if (pictures.count === 2) unmoved = pictures.pixels.subarray(0, one);
          answer = { width: pictures.width, pixels: pictures.pixels.subarray(-one) };
          draw();
          announce(host, request);
        }, () => component.setStateValue("unreachable", true), LANES);
      }
      if (before.src !== data.picture) {
        before.src = data.picture;
        photo = null;
        const asked = data.picture;
        Object.assign(after, { width: data.size, height: data.size });
        readPicture(asked, data.size).then((pixels) => {
          if (asked !== data.picture) return;
          photo = pixels;
          draw();
        });
      }
      before.alt = data.name;
      after.setAttribute("aria-label", data.description);
      unfollow?.();
      channel = openChannel(data.channel);
      channel.give(data.values);
      unfollow = channel.follow((since) => {
        if (shownDetail !== channel.values[data.detail]) draw();
        ask(since);
      });
      showWipe();
      ask(0);
    },
    destroy() {
      unfollow?.();
    },
  };
}

const VIEWS = {
  map: createMap, grid: createGrid, sliders: createSliders, strip: createStrip, draw: createDraw, photo: createPhoto,
  morph: createMorph, corners: createCorners, edit: createEdit,
};

// ------------------------------------------------------------------ mounting

const CORNERS = `
  <svg viewBox="0 0 16 16" width="16" height="16" fill="none" stroke="currentColor" stroke-width="2">
    <path d="M1 5V1h4M11 1h4v4M15 11v4h-4M5 15H1v-4"/>
  </svg>`;

function addFullScreen(host) {
  const button = element(host, "button", "vae-full", {
    type: "button", title: "Full screen (f)", "aria-label": "Full screen",
  });
  button.innerHTML = CORNERS;
  const toggle = () => (document.fullscreenElement ? document.exitFullscreen() : host.requestFullscreen());
  button.addEventListener("click", toggle);
  host.addEventListener("keydown", (event) => event.key === "f" && !event.ctrlKey && !event.metaKey && toggle());
}

export default function mount(component) {
  const { parentElement, data } = component;
  let host = parentElement.querySelector(":scope > .vae-stage");
  if (host && host.dataset.view !== data.view) {
    host.stage.destroy();
    host.remove();
    host = null;
  }
  if (!host) {
    host = element(parentElement, "div", "vae-stage", { "data-view": data.view });
    host.stage = VIEWS[data.view](host);
    if (data.view === "map" || data.view === "grid") addFullScreen(host);
  }
  if (data.height) host.style.setProperty("--height", `${data.height}px`);
  host.stage.update(component);
  // Streamlit also cleans up between two runs of the script; only what left the page is gone.
  return () => setTimeout(() => host.isConnected || host.stage.destroy());
}
