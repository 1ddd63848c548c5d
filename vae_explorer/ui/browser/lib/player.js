// A player: a play/pause button and a scrub slider.

import { element } from "./dom.js";

/** Goes there and back between 0 and 1, starting upwards. */
export function thereAndBack(seconds) {
  return (start) => {
    let phase = start;
    return (elapsed) => {
      phase = (phase + elapsed / (1000 * seconds)) % 2;
      return { at: phase < 1 ? phase : 2 - phase, ended: false };
    };
  };
}

/** A player between 0 and 1, or what `setRange` says.
 *
 * `course(start)`: begins to play; returns `advance(elapsed ms)` -> {at, ended}.
 * `onMove(at, since)`: called on each frame, and when the slider is moved.
 */
export function createPlayer(host, { course, onMove, label, title = "", className = "" }) {
  const bar = element(host, "div", `vae-player ${className}`.trim());
  const button = element(bar, "button", "", { type: "button", ...(title && { title }) });
  const slider = element(bar, "input", "", {
    type: "range", min: 0, max: 1, step: "any", value: 0, "aria-label": label,
  });
  let frame = 0; // the pending animation frame

  function pause() {
    cancelAnimationFrame(frame);
    frame = 0;
    button.textContent = "Play";
  }

  function play() {
    button.textContent = "Pause";
    const advance = course(Number(slider.value));
    let before = performance.now();
    const tick = (now) => {
      const { at, ended } = advance(Math.max(0, now - before));
      before = now;
      slider.value = at;
      onMove(at, now);
      if (ended) pause();
      else frame = requestAnimationFrame(tick);
    };
    frame = requestAnimationFrame(tick);
  }

  const toggle = () => (frame ? pause() : play());
  button.addEventListener("click", toggle);
  slider.addEventListener("input", (event) => {
    pause();
    onMove(Number(slider.value), event.timeStamp);
  });
  pause();
  return {
    bar, slider, pause, toggle,
    get playing() {
      return frame !== 0;
    },
    get at() {
      return Number(slider.value);
    },
    set at(value) {
      slider.value = value;
    },
    setRange(low, high) {
      [slider.min, slider.max] = [low, high];
    },
  };
}
