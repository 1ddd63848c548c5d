// View: playback of one or two trainings, epoch by epoch, under one slider.

import { announce } from "../lib/canvas.js";
import { createCurves, padRange } from "../lib/curves.js";
import { clamp, element, formatNumber } from "../lib/dom.js";
import { createPlayer } from "../lib/player.js";
import { toInks } from "../lib/scatter.js";
import { createRecording, placeOf } from "./recording.js";

const EPOCHS_A_SECOND = 3; // unless playing takes too long or too short a time
const PLAY_TIME = [5, 18]; // s, at normal speed
const SPEEDS = { 0.25: "¼ ×", 0.5: "½ ×", 1: "1 ×", 2: "2 ×", 4: "4 ×" };
const CURVES = { width: 600, height: 90 }; // stretched to the width of the page

/** The losses of the trainings, with a marker at the epoch that each shows. */
function createLossCurves(host, colours) {
  const figure = element(host, "figure", "vae-curves");
  const [high, low] = [element(figure, "span", "vae-high"), element(figure, "span", "vae-low")];
  const chart = createCurves(figure, CURVES);
  chart.svg.setAttribute("aria-hidden", "true"); // the caption says it
  const caption = element(figure, "figcaption");
  let runs = [];
  let span;

  return {
    update(recordings) {
      runs = recordings.map((recording) => ({ ...recording.curves })).filter((curves) => curves.epoch?.length);
      figure.hidden = !runs.length;
      chart.clear();
      caption.replaceChildren();
      if (!runs.length) return;
      const epochs = runs.flatMap((run) => run.epoch);
      span = [Math.min(...epochs), Math.max(...epochs)];
      // The training loss of the first epoch, a mean while the weights change, would flatten the rest.
      const losses = runs.flatMap((run) => run.validation);
      const range = padRange([Math.min(...losses, ...runs.flatMap((run) => run.train)), Math.max(...losses)], 0.06);
      high.textContent = formatNumber(range[1]);
      low.textContent = formatNumber(range[0]);
      const lines = runs.flatMap((run, k) => ["train", "validation"].map((part) => (
        { places: run.epoch, values: run[part], className: `vae-${part}`, colour: colours[k] })));
      chart.draw(lines, span, range);
      runs.forEach((run, k) => {
        run.marker = chart.addMarker("vae-marker");
        run.caption = element(caption, "span");
        run.caption.style.setProperty("--class-colour", colours[k]);
      });
      element(caption, "span", "vae-quiet").textContent = "thin line: training loss";
    },
    /** Move the markers to the epochs that are shown. */
    follow(places) {
      runs.forEach((run, k) => {
        const epoch = clamp(places[k], ...span);
        run.marker.move(epoch);
        const { from, to, share } = placeOf(run.epoch, epoch);
        const loss = run.validation[from] + share * (run.validation[to] - run.validation[from]);
        run.caption.textContent = `validation loss ${loss.toFixed(1)} nats per image`;
      });
    },
  };
}

export function createPlayback(host) {
  host.tabIndex = 0;
  const player = createPlayer(host, {
    course, label: "Epoch", title: "Play or pause (space)", className: "vae-playback-bar",
    onMove(at, since) {
      time = at;
      if (player.playing) draw(since);
      else drawSoon(since);
    },
  });
  const told = element(player.bar, "output");
  const speed = element(player.bar, "select", "", { "aria-label": "Speed", title: "Speed" });
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
  let shownAs = ""; // ids of the recordings on the stage
  let time = 0; // of the slider
  let ends = [0, 1];
  let waiting = 0; // the pending animation frame
  const hidden = new Set(); // labels
  const lessMotion = window.matchMedia("(prefers-reduced-motion: reduce)");

  const byShare = () => data.align === "share" && recordings.length > 1;
  const epochOf = (recording, t) => (byShare()
    ? recording.first + t * (recording.last - recording.first)
    : clamp(t, recording.first, recording.last));

  /** Times at which an epoch is shown as it was saved, ascending. */
  function stops() {
    const times = data.recordings.flatMap(({ numbers }) => numbers.map((number) => (byShare()
      ? (number - numbers[0]) / (numbers.at(-1) - numbers[0] || 1)
      : number)));
    return [...new Set(times)].sort((a, b) => a - b);
  }

  function draw(since) {
    cancelAnimationFrame(waiting);
    waiting = 0;
    const places = recordings.map((recording) => epochOf(recording, time));
    recordings.forEach((recording, k) => recording.draw(places[k], { inks, hidden, follow: data.follow }));
    curves.follow(places);
    const text = byShare() ? `${Math.round(100 * time)}%` : `epoch ${Math.round(time)}`;
    told.textContent = text;
    player.slider.setAttribute("aria-valuetext", text);
    announce(host, { since, z: places });
  }

  /** Draw in the next frame, however often it is called. */
  function drawSoon(since = 0) {
    waiting ||= requestAnimationFrame(() => draw(since));
  }

  function moveTo(t, since) {
    time = player.at = clamp(t, ...ends);
    drawSoon(since);
  }

  /** Play to the end, from the start where the end is reached already. */
  function course(from) {
    let at = from >= ends[1] ? ends[0] : from;
    const epochs = Math.max(...recordings.map(({ first, last }) => last - first), 1);
    const seconds = clamp(epochs / EPOCHS_A_SECOND, ...PLAY_TIME);
    const rate = (ends[1] - ends[0]) / seconds / 1000; // of the slider, a millisecond
    return (elapsed) => {
      at += elapsed * rate * Number(speed.value);
      // With reduced motion, one epoch after the other, without interpolation.
      const shown = lessMotion.matches ? stops().findLast((stop) => stop <= at) ?? at : at;
      return { at: Math.min(shown, ends[1]), ended: at >= ends[1] };
    };
  }

  function step(direction, since) {
    player.pause();
    const times = stops();
    const next = direction > 0 ? times.find((t) => t > time + 1e-6) : times.findLast((t) => t < time - 1e-6);
    moveTo(next ?? ends[direction > 0 ? 1 : 0], since);
  }

  host.addEventListener("keydown", (event) => {
    if (event.target === speed || event.ctrlKey || event.metaKey || event.altKey) return;
    const keys = {
      ArrowRight: () => step(1, event.timeStamp), ArrowUp: () => step(1, event.timeStamp),
      ArrowLeft: () => step(-1, event.timeStamp), ArrowDown: () => step(-1, event.timeStamp),
      Home: () => moveTo(ends[0], event.timeStamp), End: () => moveTo(ends[1], event.timeStamp),
    };
    const onButton = event.target.closest("button");
    if (event.key === " " && !onButton) player.toggle();
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
      curves ??= createLossCurves(host, data.colours);
      inks = toInks(data.colours);
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
      player.setRange(...ends);
      // A change of units keeps the share of the range; at first the finished map is shown.
      const share = before.align === undefined ? 1 : (before.time - before.ends[0]) / (before.ends[1] - before.ends[0] || 1);
      const moved = before.ends.join() !== ends.join();
      moveTo(moved ? ends[0] + share * (ends[1] - ends[0]) : time, 0);
    },
    destroy() {
      player.pause();
      cancelAnimationFrame(waiting);
      resize.disconnect();
    },
  };
}
