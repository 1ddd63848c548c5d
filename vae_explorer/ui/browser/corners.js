// View: between four faces.

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
