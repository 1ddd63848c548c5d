// View: a training played again, or two, under one slider.

const PLAY_RATE = 3; // epochs a second, where that takes neither too long nor too short
const PLAY_TIME = [5, 18]; // s, at normal speed
const SPEEDS = { 0.25: "¼ ×", 0.5: "½ ×", 1: "1 ×", 2: "2 ×", 4: "4 ×" };

function createPlayback(host) {
  host.tabIndex = 0;
  const bar = element(host, "div", "vae-player vae-playback-bar");
  const play = element(bar, "button", "", { type: "button", title: "Play or pause (space)" });
  const scrub = element(bar, "input", "", { type: "range", step: "any", "aria-label": "Epoch" });
  const told = element(bar, "output", "");
  const speed = element(bar, "select", "", { "aria-label": "Speed", title: "Speed" });
  for (const [value, text] of Object.entries(SPEEDS)) {
    element(speed, "option", "", { value }).textContent = text;
  }
  speed.value = "1";
  const legend = element(host, "div", "vae-legend", { role: "group", "aria-label": "Classes shown" });
  const stages = element(host, "div", "vae-recordings");
  let curves = null;
  let data = null;
  let recordings = [];
  let inks = [];
  let shownAs = ""; // what the stage was built from
  let time = 0; // of the slider
  let ends = [0, 1];
  let playing = 0; // the animation frame that comes next
  let waiting = 0;
  const hidden = new Set();
  const still = window.matchMedia("(prefers-reduced-motion: reduce)");

  const byShare = () => data.align === "share" && recordings.length > 1;
  const epochOf = (recording, t) => (byShare()
    ? recording.first + t * (recording.last - recording.first)
    : Math.min(Math.max(t, recording.first), recording.last));

  /** Times at which a kept epoch is seen as it was, ascending. */
  function stops() {
    const times = data.recordings.flatMap(({ numbers }) => numbers.map((number) => (byShare()
      ? (number - numbers[0]) / (numbers.at(-1) - numbers[0] || 1)
      : number)));
    return [...new Set(times)].sort((a, b) => a - b);
  }

  function draw(since) {
    waiting = 0;
    const places = recordings.map((recording) => epochOf(recording, time));
    recordings.forEach((recording, k) => recording.draw(places[k], { inks, hidden, follow: data.follow }));
    curves.follow(places);
    const words = byShare() ? `${Math.round(100 * time)} %` : `epoch ${Math.round(time)}`;
    told.textContent = words;
    scrub.setAttribute("aria-valuetext", words);
    announce(host, { since, z: places });
  }

  /** Draw in the next frame, however often it is asked for. */
  const drawSoon = (since = 0) => {
    waiting ||= requestAnimationFrame(() => draw(since));
  };

  function moveTo(t, since) {
    time = Math.min(Math.max(t, ends[0]), ends[1]);
    scrub.value = time;
    drawSoon(since);
  }

  function stop() {
    cancelAnimationFrame(playing);
    playing = 0;
    play.textContent = "Play";
  }

  function start() {
    if (time >= ends[1]) moveTo(ends[0], 0);
    play.textContent = "Pause";
    const epochs = Math.max(...recordings.map(({ first, last }) => last - first), 1);
    const seconds = Math.min(Math.max(epochs / PLAY_RATE, PLAY_TIME[0]), PLAY_TIME[1]);
    const rate = (ends[1] - ends[0]) / seconds / 1000; // of the slider, a millisecond
    let [before, at] = [performance.now(), time];
    const tick = (now) => {
      at += Math.max(0, now - before) * rate * Number(speed.value);
      before = now;
      // Whoever wants less motion sees one epoch after the other, and nothing glide.
      time = Math.min(still.matches ? stops().findLast((stop) => stop <= at) ?? at : at, ends[1]);
      scrub.value = time;
      draw(now);
      if (at >= ends[1]) stop();
      else playing = requestAnimationFrame(tick);
    };
    playing = requestAnimationFrame(tick);
  }

  function step(direction, since) {
    stop();
    const times = stops();
    const next = direction > 0 ? times.find((t) => t > time + 1e-6) : times.findLast((t) => t < time - 1e-6);
    moveTo(next ?? ends[direction > 0 ? 1 : 0], since);
  }

  play.addEventListener("click", () => (playing ? stop() : start()));
  scrub.addEventListener("input", (event) => {
    stop();
    moveTo(Number(scrub.value), event.timeStamp);
  });
  host.addEventListener("keydown", (event) => {
    if (event.target === speed || event.ctrlKey || event.metaKey || event.altKey) return;
    const keys = {
      ArrowRight: () => step(1, event.timeStamp), ArrowUp: () => step(1, event.timeStamp),
      ArrowLeft: () => step(-1, event.timeStamp), ArrowDown: () => step(-1, event.timeStamp),
      Home: () => moveTo(ends[0], event.timeStamp), End: () => moveTo(ends[1], event.timeStamp),
    };
    const onButton = event.target.closest("button");
    if (event.key === " " && !onButton) playing ? stop() : start();
    else if (keys[event.key]) keys[event.key]();
    else return;
    event.preventDefault();
  }, { capture: true });

  function fillLegend() {
    legend.replaceChildren();
    const names = data.recordings[0].label_names;
    const same = data.recordings.every((recording) => recording.label_names.join("\n") === names.join("\n"));
    legend.hidden = !names.length || !same;
    if (legend.hidden) hidden.clear();
    names.forEach((name, label) => {
      const button = element(legend, "button", "", { type: "button", "aria-pressed": !hidden.has(label) });
      button.textContent = name;
      button.style.setProperty("--class-colour", data.colours[label % data.colours.length]);
      button.addEventListener("click", () => {
        if (!hidden.delete(label)) hidden.add(label);
        button.setAttribute("aria-pressed", !hidden.has(label));
        drawSoon();
      });
    });
  }

  const resize = new ResizeObserver(() => {
    recordings.forEach((recording) => recording.measure());
    if (recordings.length) drawSoon();
  });
  resize.observe(stages);

  return {
    update(component) {
      const before = { align: data?.align, time, ends };
      data = component.data;
      host.setAttribute("aria-label", data.description);
      curves ??= createCurves(host, data.colours);
      // RGBA as the bytes of a little-endian word
      inks = data.colours.map((colour) => {
        const [r, g, b] = [1, 3, 5].map((k) => parseInt(colour.slice(k, k + 2), 16));
        return ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
      });
      const ids = data.recordings.map(({ id }) => id).join("\n");
      if (ids !== shownAs) {
        shownAs = ids;
        stages.replaceChildren();
        stages.dataset.count = data.recordings.length;
        recordings = data.recordings.map((given) => createRecording(stages, given, () => drawSoon()));
        hidden.clear();
        fillLegend();
        curves.update(data.recordings);
      }
      const [firsts, lasts] = ["first", "last"].map((end) => recordings.map((recording) => recording[end]));
      ends = byShare() ? [0, 1] : [Math.min(...firsts), Math.max(...lasts)];
      [scrub.min, scrub.max] = ends;
      // Another count keeps the share of the way; what is opened first shows the finished map.
      const share = before.align === undefined ? 1 : (before.time - before.ends[0]) / (before.ends[1] - before.ends[0] || 1);
      const moved = before.ends.join() !== ends.join();
      moveTo(moved ? ends[0] + share * (ends[1] - ends[0]) : time, 0);
      if (!playing) play.textContent = "Play";
    },
    destroy() {
      stop();
      cancelAnimationFrame(waiting);
      resize.disconnect();
    },
  };
}
