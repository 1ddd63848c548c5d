// View: map.

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
