// View: several maps under one cursor.

const LINKED_KEY_STEP = 0.04; // of half a map's side
const DOT = 1.5; // px, radius of a point
const RINGS = [1, 2, 3]; // σ of the prior

function createLinked(host) {
  host.tabIndex = 0;
  const notes = createNotes(host);
  let data, labels, lost;
  let maps = [];
  let at = [0, 0]; // of the cursor, in half sides from a map's middle, up is positive
  let over = 0; // the map that it is moved on

  function addMap(given) {
    const cell = element(host, "figure", "vae-linked");
    const heading = element(cell, "figcaption", "");
    const title = element(heading, "b", "");
    const note = element(heading, "span", "");
    const field = element(cell, "div", "vae-linked-map");
    const points = element(field, "canvas", "");
    const cross = element(field, "div", "vae-cross");
    const side = element(cell, "div", "vae-linked-side");
    const picture = element(side, "canvas", "vae-picture");
    const near = element(side, "div", "vae-caption");
    const map = { cell, title, note, field, points, cross, picture, near, checkpoint: given.checkpoint };
    map.feed = createFeed(createSource(given.checkpoint), notes, (pictures, request) => {
      paint(picture, pictures, 1, map.ink);
      picture.style.width = `${pictures.width * wholeMultiple(pictures.width, 100)}px`;
      announce(host, request);
    }, () => lost());
    const follow = (event) => {
      const box = points.getBoundingClientRect();
      over = maps.indexOf(map);
      at = [(2 * (event.clientX - box.left)) / box.width - 1, 1 - (2 * (event.clientY - box.top)) / box.height];
      look(event.timeStamp);
    };
    points.addEventListener("pointermove", (event) => (event.pointerType !== "touch" || event.buttons) && follow(event));
    points.addEventListener("pointerdown", (event) => {
      host.focus({ preventScroll: true }); // for the keys
      follow(event);
    });
    return map;
  }

  const toLatent = (map, place) => place.map((value, k) => map.middle[k] + map.half * value);
  const toPlace = (map, z) => z.map((value, k) => (value - map.middle[k]) / map.half);

  function nearest(map, z) {
    let best = { distance: Infinity };
    for (let row = 0; row < labels.length; row++) {
      const distance = Math.hypot(map.z[2 * row] - z[0], map.z[2 * row + 1] - z[1]);
      if (distance < best.distance) best = { distance, row };
    }
    return best.row;
  }

  /** Move the cursor of every map, and ask each model for the picture there. */
  function look(since) {
    at = at.map((value) => Math.max(-1, Math.min(1, value)));
    const same = data.link === "picture" ? nearest(maps[over], toLatent(maps[over], at)) : null;
    maps.forEach((map) => {
      const z = same === null ? toLatent(map, at) : [map.z[2 * same], map.z[2 * same + 1]];
      const [x, y] = toPlace(map, z);
      map.cross.style.transform = `translate(${((x + 1) / 2) * map.side}px, ${((1 - y) / 2) * map.side}px)`;
      const label = labels[same ?? nearest(map, z)];
      map.near.textContent = `${same === null ? "near " : ""}${data.label_names[label] ?? ""}`;
      map.near.style.setProperty("--class-colour", data.colours[label % data.colours.length]);
      map.feed(() => ({ z: Float32Array.from(z), since }));
    });
  }

  function drawPoints(map) {
    map.side = map.field.clientWidth;
    const scale = window.devicePixelRatio || 1;
    map.points.width = map.points.height = Math.round(map.side * scale);
    const context = map.points.getContext("2d");
    context.scale(scale, scale);
    const toScreen = (z) => toPlace(map, z).map((value, k) => ((k ? 1 - value : 1 + value) / 2) * map.side);
    labels.forEach((label, row) => {
      const [x, y] = toScreen([map.z[2 * row], map.z[2 * row + 1]]);
      context.fillStyle = data.colours[label % data.colours.length];
      context.beginPath();
      context.arc(x, y, DOT, 0, 2 * Math.PI);
      context.fill();
    });
    const [x, y] = toScreen([0, 0]);
    context.strokeStyle = getComputedStyle(host).color;
    for (const sigma of RINGS) {
      context.lineWidth = sigma === 1 ? 2 : 1;
      context.beginPath();
      context.arc(x, y, (sigma / map.half / 2) * map.side, 0, 2 * Math.PI);
      context.stroke();
    }
  }

  host.addEventListener("keydown", (event) => {
    const step = LINKED_KEY_STEP * (event.shiftKey ? 0.25 : 1);
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] };
    if (!moves[event.key]) return;
    at = at.map((value, k) => value + moves[event.key][k]);
    look(event.timeStamp);
    event.preventDefault();
  });
  const redraw = () => {
    maps.forEach(drawPoints);
    if (maps.length) look(0);
  };
  const resize = new ResizeObserver(redraw);
  resize.observe(host);

  return {
    update(component) {
      data = component.data;
      lost = () => component.setStateValue("unreachable", true);
      labels = data.labels;
      host.setAttribute("aria-label", data.description);
      if (maps.map((map) => map.checkpoint).join() !== data.maps.map((map) => map.checkpoint).join()) {
        maps.forEach((map) => map.cell.remove());
        maps = data.maps.map(addMap);
        over = 0;
      }
      maps.forEach((map, k) => {
        const { title, note, z, middle, half, ink } = data.maps[k];
        map.title.textContent = title;
        map.note.textContent = note;
        Object.assign(map, { z: floats(z), middle, half, ink });
      });
      redraw();
    },
    destroy: () => resize.disconnect(),
  };
}
