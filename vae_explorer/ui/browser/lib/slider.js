// A labelled range slider: keyboard, wheel, double click to reset, linear or by powers of two.

import { arrowDirection, clamp, element } from "./dom.js";

const FAST = 10; // steps of an arrow key with Shift

/** Append a slider.
 *
 * `setting`: {label, low, high, step, reset, name, doubling}; a `doubling` one goes through powers of
 * two. `snap`: whether a drag stops at whole steps. `move(value, since)` is called while the value
 * changes, `commit` (see `debounce`) when it is final: at once after a drag, soon after a key.
 */
export function createSlider(parent, setting, { className = "", snap = false, move, commit }) {
  const { label, low, high, step, reset, name, doubling = false } = setting;
  const toPosition = (value) => (doubling ? Math.log2(value) : value);
  const toValue = (position) => (doubling ? 2 ** position : position);
  const [first, last] = [toPosition(low), toPosition(high)];
  const stride = doubling ? 1 : step;

  const row = element(parent, "label", className);
  element(row, "span").textContent = label;
  const output = element(row, "output");
  const input = element(row, "input", "", {
    type: "range", min: first, max: last, step: snap ? stride : "any", "aria-label": label, name,
  });

  function stepBy(count, since) {
    input.value = clamp(Number(input.value) + count * stride, first, last);
    move(toValue(Number(input.value)), since);
    commit.soon();
  }

  input.addEventListener("input", (event) => move(toValue(Number(input.value)), event.timeStamp));
  input.addEventListener("change", commit.now);
  input.addEventListener("dblclick", () => {
    move(reset, performance.now());
    commit.now();
  });
  input.addEventListener("keydown", (event) => {
    const arrow = arrowDirection(event);
    if (!arrow) return;
    event.preventDefault();
    stepBy((arrow[0] + arrow[1]) * (event.shiftKey ? FAST : 1), event.timeStamp);
  });
  input.addEventListener("wheel", (event) => {
    if (document.activeElement !== input) return; // scrolling the page must not change values
    event.preventDefault();
    stepBy(-Math.sign(event.deltaY), event.timeStamp);
  }, { passive: false });

  return {
    row, input,
    /** Show a value, and its text; the handle stays where it is while it is dragged. */
    show(value, text) {
      const position = toPosition(value);
      if (Math.abs(Number(input.value) - position) > 1e-9 && !input.matches(":active")) input.value = position;
      output.textContent = text;
      input.setAttribute("aria-valuetext", text);
    },
  };
}
