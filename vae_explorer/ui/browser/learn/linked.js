// View: several latent maps under one cursor, each decoded by its own model.

import { announce, paint, wholeMultiple } from "../lib/canvas.js";
import { openChannel } from "../lib/channel.js";
import { addFullScreen, arrowDirection, clamp, createNotes, element, toFloats } from "../lib/dom.js";
import { latentToPlane, planeToLatent } from "../lib/latents.js";
import { createHolder } from "../lib/model.js";
import { createScatter, project, projection, toInks, unproject } from "../lib/scatter.js";
import { createFeed } from "../lib/source.js";

const KEY_STEP = 0.04; // of half a map's side
const PICTURE = 100; // px, of the decoded image, at most; `data.picture` may say another
const CONTOURS = [2, 1, 1]; // px, line widths
const UNIT = { x: 0, y: 0, half: 1 }; // the frame of the cursor

export function createLinked(host) {
  host.tabIndex = 0;
  const notes = createNotes(host);
  addFullScreen(host, host);
  let data, labels, lost, unfollow;
  let channel = null; // on which a drawing or an upload comes
  let shown = ""; // the models of the maps
  let maps = [];
  let at = [0, 0]; // the cursor on a map that shows -1 ... 1
  let over = 0; // the map under the pointer

  function addMap(given) {
    const cell = element(host, "figure", "vae-linked");
    const heading = element(cell, "figcaption");
    const title = element(heading, "b");
    const note = element(heading, "span");
    const field = element(cell, "div", "vae-linked-map");
    const points = element(field, "canvas");
    const cross = element(field, "div", "vae-cross");
    const visitor = element(field, "div", "vae-visitor");
    visitor.hidden = true;
    const side = element(cell, "div", "vae-linked-side");
    const picture = element(side, "canvas", "vae-picture");
    const near = element(side, "div", "vae-caption");
    const map = { cell, title, note, cross, near, visitor, model: createHolder(cell) };
    map.model.take(given);
    map.scatter = createScatter(points, { lines: CONTOURS });
    map.feed = createFeed(map.model.source(), notes, (images, request) => {
      paint(picture, images, 1, map.ink);
      picture.style.width = `${images.width * wholeMultiple(images.width, data.picture ?? PICTURE)}px`;
      announce(host, request);
    }, () => lost());
    const follow = (event) => {
      const box = points.getBoundingClientRect();
      over = maps.indexOf(map);
      at = unproject(projection(UNIT, box.width), [event.clientX - box.left, event.clientY - box.top]);
      look(event.timeStamp);
    };
    points.addEventListener("pointermove", (event) => (event.pointerType !== "touch" || event.buttons) && follow(event));
    points.addEventListener("pointerdown", (event) => {
      host.focus({ preventScroll: true }); // for the keys
      follow(event);
    });
    return map;
  }

  const toPlace = ({ frame: { x, y, half } }, [across, up]) => [x + half * across, y + half * up];

  /** The latent of a place on a map: the same numbers, unless the map shows a plane of more dimensions. */
  function toLatent({ plane }, place) {
    if (!plane) return Float32Array.from(place);
    const z = new Float32Array(plane.origin.length);
    planeToLatent(z, 0, plane, ...place);
    return z;
  }

  function nearest(map, z) {
    let best = { distance: Infinity };
    for (let row = 0; row < labels.length; row++) {
      if (data.hidden?.includes(labels[row])) continue;
      const distance = Math.hypot(map.z[2 * row] - z[0], map.z[2 * row + 1] - z[1]);
      if (distance < best.distance) best = { distance, row };
    }
    return best.row;
  }

  /** Move the cursor of every map, and decode its location by each model. */
  function look(since) {
    at = at.map((value) => clamp(value, -1, 1));
    const same = data.link === "picture" ? nearest(maps[over], toPlace(maps[over], at)) : null;
    maps.forEach((map) => {
      const z = same === null ? toPlace(map, at) : [map.z[2 * same], map.z[2 * same + 1]];
      const [x, y] = project(projection(map.frame, map.side), z);
      map.cross.style.transform = `translate(${x}px, ${y}px)`;
      const label = labels[same ?? nearest(map, z)];
      map.near.textContent = `${same === null ? "nearest: " : ""}${data.label_names[label] ?? ""}`;
      map.near.style.setProperty("--class-colour", data.colours[label % data.colours.length]);
      map.feed(() => ({ z: toLatent(map, z), since }));
    });
  }

  function drawPoints(map) {
    map.side = map.scatter.measure();
    map.scatter.draw({
      frame: map.frame, from: map.z, labels, inks: toInks(data.colours), hidden: data.hidden && new Set(data.hidden),
    });
  }

  /** Mark the encoding of a drawing or an upload. */
  function placeVisitor() {
    const z = channel?.values.z;
    for (const map of maps) {
      map.visitor.hidden = !z;
      if (!z) continue;
      const [x, y] = project(projection(map.frame, map.side), map.plane ? latentToPlane(map.plane, z) : z);
      map.visitor.style.transform = `translate(${x}px, ${y}px)`;
    }
  }

  host.addEventListener("keydown", (event) => {
    const arrow = arrowDirection(event);
    if (!arrow) return;
    const step = KEY_STEP * (event.shiftKey ? 0.25 : 1);
    at = at.map((value, k) => value + step * arrow[k]);
    look(event.timeStamp);
    event.preventDefault();
  });
  const redraw = () => {
    maps.forEach(drawPoints);
    if (maps.length) look(0);
    placeVisitor();
  };
  const resize = new ResizeObserver(redraw);
  resize.observe(host);

  return {
    update(component) {
      data = component.data;
      lost = () => component.setStateValue("unreachable", true);
      labels = data.labels;
      host.setAttribute("aria-label", data.description);
      const models = JSON.stringify(data.maps.map(({ checkpoint, fingerprint }) => [checkpoint, fingerprint]));
      if (models !== shown) {
        shown = models;
        maps.forEach((map) => {
          map.model.close();
          map.cell.remove();
        });
        maps = data.maps.map(addMap);
        over = 0;
      }
      maps.forEach((map, k) => {
        const { title, note, z, middle, half, ink, plane } = data.maps[k];
        map.title.textContent = title;
        map.note.textContent = note;
        Object.assign(map, { z: toFloats(z), frame: { x: middle[0], y: middle[1], half }, ink, plane });
      });
      unfollow?.();
      channel = data.channel ? openChannel(data.channel) : null;
      unfollow = channel?.follow(placeVisitor);
      redraw();
    },
    destroy() {
      unfollow?.();
      resize.disconnect();
      maps.forEach((map) => map.model.close());
      shown = "";
    },
  };
}
