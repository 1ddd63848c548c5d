/* What all five views share: the sentence, the picture, and the panel beside it. */

const KEYS_SETTLE = 400; // ms after the last key before the address is written
const LIT_FOR = 900; // ms after the last move

function make(parent, tag, attributes = {}, html = "") {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.innerHTML = html;
  parent.append(node);
  return node;
}

/** Build a view's frame. `view`: see mount.js. Returns what the view is told and asked. */
function createFrame(host, view) {
  const sent = []; // what the server has not answered yet, the oldest first
  let data, send, known = "", settle = 0;
  const state = { values: {}, seed: 1, data: null };
  host.innerHTML = "";
  make(host, "p", { class: "do" }, view.sentence);
  const columns = make(host, "div", { class: "columns" });
  const figure = make(columns, "figure", { class: "stage" });
  const picture = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  figure.append(picture);
  addFullScreen(figure, host);
  const panel = make(columns, "div", { class: "panel" });
  const formula = make(panel, "div", { class: "formula" });
  const sliders = make(panel, "div", { class: "sliders" });
  const buttons = make(panel, "div", { class: "buttons" });
  const numbers = make(panel, "dl", { class: "numbers" });
  make(panel, "details", { class: "why" }, `<summary>Why</summary>${view.why}`);
  const rows = new Map();

  // -- drawing

  function draw() {
    if (!data || !picture.clientWidth) return;
    const [width, height] = [picture.clientWidth, picture.clientHeight];
    picture.setAttribute("viewBox", `0 0 ${width} ${height}`);
    if (view.paint) view.paint(picture, state, width, height);
    else picture.innerHTML = ARROWS + view.draw(state, width, height);
    const equation = view.formula(state);
    if (formula.source !== equation) formula.innerHTML = formula.source = equation;
    showNumbers();
    const used = view.uses?.(state);
    for (const [name, row] of rows) {
      row.input.parentNode.hidden = Boolean(used) && !used.includes(name);
      showRow(row, row.each.read ? row.each.read(state.values) : state.values[name]);
    }
  }

  function showNumbers() {
    const found = view.numbers(state);
    found.forEach(([name, label, value, part = ""], i) => {
      const row = numbers.children[i] ?? make(numbers, "div", {}, "<dt></dt><dd></dd>");
      row.dataset.name = name;
      row.dataset.part = part;
      row.hidden = false;
      row.firstChild.textContent = label;
      row.lastChild.textContent = value;
    });
    Array.from(numbers.children).slice(found.length).forEach((row) => { row.hidden = true; });
  }

  function showRow({ input, output, each }, value) {
    const place = each.doubling ? Math.log2(value) : value;
    if (Math.abs(Number(input.value) - place) > 1e-9 && !input.matches(":active")) input.value = place;
    output.textContent = each.whole ? `${value} of ${each.high}` : each.doubling ? String(value) : number(value);
    input.setAttribute("aria-valuetext", output.textContent);
  }

  // -- moving

  function light(part) {
    for (const node of host.querySelectorAll("[data-part]")) {
      node.classList.toggle("lit", Boolean(part) && node.dataset.part.split(" ").includes(part));
    }
    clearTimeout(state.dimming);
    if (part) state.dimming = setTimeout(() => light(""), LIT_FOR);
  }

  function move(moved) {
    for (const [name, value] of Object.entries(moved)) {
      const each = data.sliders.find((slider) => slider.name === name);
      state.values[name] = Math.round(1000 * Math.max(each.low, Math.min(each.high, value))) / 1000;
    }
    view.moved?.(state, moved);
    draw();
    light(Object.keys(moved)[0]);
  }

  function commit() {
    clearTimeout(settle);
    const own = Object.fromEntries(data.sliders.map(({ name }) => [name, state.values[name]]));
    const words = JSON.stringify(own);
    if (words === (sent.at(-1) ?? known)) return;
    sent.push(words);
    send("values", own);
  }

  function commitSoon() {
    clearTimeout(settle);
    settle = setTimeout(commit, KEYS_SETTLE);
  }

  function addSlider(each) {
    const label = make(sliders, "label", { "data-part": each.part ?? each.name }, "<span></span><output></output>");
    label.firstChild.textContent = each.label;
    const [low, high] = each.doubling ? [Math.log2(each.low), Math.log2(each.high)] : [each.low, each.high];
    const input = make(label, "input", {
      type: "range", min: low, max: high, step: each.doubling ? 1 : each.step, "aria-label": each.label, name: each.name,
    });
    const value = () => (each.doubling ? 2 ** Number(input.value) : Number(input.value));
    input.addEventListener("input", () => move(each.write ? each.write(value()) : { [each.name]: value() }));
    input.addEventListener("change", commitSoon);
    input.addEventListener("pointerup", () => setTimeout(commit));
    input.addEventListener("dblclick", () => {
      move(each.write ? each.write(each.reset) : { [each.name]: each.reset });
      commit();
    });
    rows.set(each.name, { input, output: label.querySelector("output"), each });
  }

  for (const [label, press] of view.buttons ?? []) {
    const button = make(buttons, "button", { type: "button" });
    button.textContent = label;
    button.addEventListener("click", () => press(frame, button));
  }

  if (view.drag) {
    figure.classList.add("draggable");
    let held = false;
    const place = (event) => {
      const edge = picture.getBoundingClientRect();
      return [event.clientX - edge.left, event.clientY - edge.top, picture.clientWidth, picture.clientHeight];
    };
    picture.addEventListener("pointerdown", (event) => {
      const moved = view.drag(state, ...place(event));
      if (!moved) return;
      held = true;
      picture.setPointerCapture(event.pointerId);
      move(moved);
    });
    picture.addEventListener("pointermove", (event) => {
      const moved = held && view.drag(state, ...place(event));
      if (moved) move(moved);
    });
    for (const end of ["pointerup", "pointercancel"]) {
      picture.addEventListener(end, () => {
        if (held) commit();
        held = false;
      });
    }
  }

  const frame = {
    state, picture, draw, move, commit,
    update(component) {
      const first = !data;
      data = state.data = component.data;
      send = component.setTriggerValue;
      for (const [name, colour] of Object.entries(data.colours)) host.style.setProperty(`--${name}`, colour);
      if (first) {
        for (const each of [...data.sliders, ...(view.derived ?? [])]) addSlider(each);
        picture.setAttribute("role", view.paint ? "group" : "img");
        picture.setAttribute("aria-label", view.description);
      }
      // What comes back of what was sent is known, and may be older than what is held now.
      const words = JSON.stringify(data.values);
      const answered = sent.indexOf(words);
      if (answered >= 0) {
        sent.splice(0, answered + 1);
        known = words;
      } else if (words !== known) {
        sent.length = 0;
        known = words;
        state.values = { ...data.values };
        view.moved?.(state, data.values);
      }
      if (first) view.start?.(frame);
      draw();
    },
  };
  new ResizeObserver(draw).observe(figure);
  return frame;
}

function addFullScreen(figure, host) {
  const button = make(figure, "button", { type: "button", class: "full", title: "Full screen (f)", "aria-label": "Full screen" },
    '<svg viewBox="0 0 16 16" width="18" height="18" fill="none" stroke="currentColor" stroke-width="2"><path d="M1 5V1h4M11 1h4v4M15 11v4h-4M5 15H1v-4"/></svg>');
  const toggle = () => (document.fullscreenElement ? document.exitFullscreen() : host.requestFullscreen());
  button.addEventListener("click", toggle);
  host.addEventListener("keydown", (event) => event.key === "f" && !event.ctrlKey && !event.metaKey && toggle());
}
