// View: strip.

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
