// View: a traversal, the images along a path through latent space, with a player.

import { announce, paint, wholeMultiple } from "../lib/canvas.js";
import { createNotes, element, toFloats } from "../lib/dom.js";
import { alongPath } from "../lib/latents.js";
import { createHolder } from "../lib/model.js";
import { createPlayer, thereAndBack } from "../lib/player.js";
import { createFeed } from "../lib/source.js";

const SECONDS = 4; // of playing one way

export function createStrip(host) {
  const canvas = element(host, "canvas", "vae-picture vae-strip");
  const player = createPlayer(host, { course: thereAndBack(SECONDS), onMove: showAt, label: "Position along the path" });
  const screen = element(player.bar, "canvas", "vae-picture vae-screen");
  const notes = createNotes(host);
  const model = createHolder();
  let data, feed, screenFeed, path;

  function showAt(t, since) {
    screenFeed(() => ({ z: alongPath(path, t, data.latent_dim), since }));
  }

  return {
    update(component) {
      data = component.data;
      path = toFloats(data.path);
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", data.description);
      if (model.take(data)) {
        const lost = () => component.setStateValue("unreachable", true);
        feed = createFeed(model.source(), notes, (images, request) => {
          paint(canvas, images, images.count, data.ink);
          announce(host, request);
        }, lost);
        screenFeed = createFeed(model.source(), notes, (images, request) => {
          paint(screen, images, 1, data.ink);
          screen.style.width = `${images.width * wholeMultiple(images.width, 96)}px`;
          announce(host, request);
        }, lost);
      }
      player.pause();
      feed(() => ({ z: path, since: 0 }));
      showAt(player.at, 0);
    },
    destroy() {
      player.pause();
      model.close();
    },
  };
}
