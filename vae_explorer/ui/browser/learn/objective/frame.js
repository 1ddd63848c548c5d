// Frame of a figure of the objective: the plot, and a panel with formula, sliders, buttons and numbers.
//
// A figure is
//   sentence, why, description: text (HTML; plain text for the last)
//   formula(state): MathML whose parts wear data-part, the name of a slider
//   draw(state, width, height): SVG as text   or   paint(svg, state, width, height), which keeps its nodes
//   numbers(state): rows of [name, label, value, part?]
// and where it needs them
//   derived: sliders for functions of others, {..., part, read(values), write(value) -> values}
//   buttons: [label or () => label, press(frame, button)]
//   uses(state): names of the sliders in use;   drag(state, x, y, width, height) -> values or null
//   start(frame), moved(state, values), stop(state)

import { addFullScreen, clamp, debounce, element, svgElement } from "../../lib/dom.js";
import { createSlider } from "../../lib/slider.js";
import { ARROWS, number } from "../../lib/svg.js";

const LIT_FOR = 900; // ms after the last move

export function createFrame(host, figure) {
  const sent = []; // values that the server has not answered yet, the oldest first
  let data, send;
  let known = ""; // the values that the server has, as JSON
  let dimming = 0; // the timer that ends the highlight
  const state = { values: {}, seed: 1, data: null };

  host.classList.add("objective");
  element(host, "p", "do").innerHTML = figure.sentence;
  const columns = element(host, "div", "columns");
  const stage = element(columns, "figure", "stage");
  const svg = svgElement(stage, "svg");
  addFullScreen(stage, host);
  const panel = element(columns, "div", "panel");
  const formula = element(panel, "div", "formula");
  const sliders = element(panel, "div", "sliders");
  const buttons = element(panel, "div", "buttons");
  const numbers = element(panel, "dl", "numbers");
  element(panel, "details", "why").innerHTML = `<summary>Explanation</summary>${figure.why}`;
  const rows = new Map(); // sliders by name
  let equation = "";

  // -- drawing

  function draw() {
    if (!data || !svg.clientWidth) return;
    const [width, height] = [svg.clientWidth, svg.clientHeight];
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    if (figure.paint) figure.paint(svg, state, width, height);
    else svg.innerHTML = ARROWS + figure.draw(state, width, height);
    const wanted = figure.formula(state);
    if (equation !== wanted) formula.innerHTML = equation = wanted;
    showNumbers();
    const used = figure.uses?.(state);
    for (const [name, { each, row, show }] of rows) {
      row.hidden = Boolean(used) && !used.includes(name);
      const value = each.read ? each.read(state.values) : state.values[name];
      show(value, each.whole ? `${value} of ${each.high}` : each.doubling ? String(value) : number(value));
    }
  }

  function showNumbers() {
    const found = figure.numbers(state);
    found.forEach(([name, label, value, part = ""], i) => {
      const row = numbers.children[i] ?? addNumber();
      Object.assign(row.dataset, { name, part });
      row.hidden = false;
      row.firstChild.textContent = label;
      row.lastChild.textContent = value;
    });
    Array.from(numbers.children).slice(found.length).forEach((row) => { row.hidden = true; });
  }

  function addNumber() {
    const row = element(numbers, "div");
    element(row, "dt");
    element(row, "dd");
    return row;
  }

  // -- moving

  /** Highlight what belongs to a slider, for a while. */
  function highlight(part) {
    for (const node of host.querySelectorAll("[data-part]")) {
      node.classList.toggle("lit", Boolean(part) && node.dataset.part.split(" ").includes(part));
    }
    clearTimeout(dimming);
    if (part) dimming = setTimeout(() => highlight(""), LIT_FOR);
  }

  function move(moved) {
    for (const [name, value] of Object.entries(moved)) {
      const { low, high } = data.sliders.find((slider) => slider.name === name);
      state.values[name] = Math.round(1000 * clamp(value, low, high)) / 1000;
    }
    figure.moved?.(state, moved);
    draw();
    highlight(Object.keys(moved)[0]);
  }

  const commit = debounce(() => {
    const own = Object.fromEntries(data.sliders.map(({ name }) => [name, state.values[name]]));
    const packed = JSON.stringify(own);
    if (packed === (sent.at(-1) ?? known)) return;
    sent.push(packed);
    send("values", own);
  });

  function addSlider(each) {
    const slider = createSlider(sliders, each, {
      snap: true, commit, move: (value) => move(each.write ? each.write(value) : { [each.name]: value }),
    });
    slider.row.dataset.part = each.part ?? each.name;
    rows.set(each.name, { ...slider, each });
  }

  for (const [label, press] of figure.buttons ?? []) {
    const button = element(buttons, "button", "", { type: "button" });
    button.textContent = typeof label === "function" ? label() : label;
    button.addEventListener("click", () => press(frame, button));
  }

  if (figure.drag) {
    stage.classList.add("draggable");
    let held = false;
    const place = (event) => {
      const edge = svg.getBoundingClientRect();
      return [event.clientX - edge.left, event.clientY - edge.top, svg.clientWidth, svg.clientHeight];
    };
    svg.addEventListener("pointerdown", (event) => {
      const moved = figure.drag(state, ...place(event));
      if (!moved) return;
      held = true;
      svg.setPointerCapture(event.pointerId);
      move(moved);
    });
    svg.addEventListener("pointermove", (event) => {
      const moved = held && figure.drag(state, ...place(event));
      if (moved) move(moved);
    });
    for (const end of ["pointerup", "pointercancel"]) {
      svg.addEventListener(end, () => {
        if (held) commit.now();
        held = false;
      });
    }
  }

  const resize = new ResizeObserver(draw);
  resize.observe(stage);
  const frame = { state, svg, draw, move, commit: commit.now };

  return {
    update(component) {
      const first = !data;
      data = state.data = component.data;
      send = component.setTriggerValue;
      for (const [name, colour] of Object.entries(data.colours)) host.style.setProperty(`--${name}`, colour);
      if (first) {
        for (const each of [...data.sliders, ...(figure.derived ?? [])]) addSlider(each);
        svg.setAttribute("role", figure.paint ? "group" : "img");
        svg.setAttribute("aria-label", figure.description);
      }
      // What comes back after it was sent is known, and may be older than the present values.
      const packed = JSON.stringify(data.values);
      const answered = sent.indexOf(packed);
      if (answered >= 0) {
        sent.splice(0, answered + 1);
        known = packed;
      } else if (packed !== known) {
        sent.length = 0;
        known = packed;
        state.values = { ...data.values };
        figure.moved?.(state, data.values);
      }
      if (first) figure.start?.(frame);
      draw();
    },
    destroy() {
      resize.disconnect();
      clearTimeout(dimming);
      figure.stop?.(state);
    },
  };
}
