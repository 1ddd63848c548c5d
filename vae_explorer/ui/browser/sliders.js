// View: sliders and a pad.

function createSliders(host) {
  let data, send, channel, unfollow;
  let rows = new Map();
  let pad = null;

  const setting = (name) => data.settings.find((each) => each.name === name);
  const clamp = ({ low, high }, value) => Math.max(low, Math.min(high, value));

  function show() {
    for (const [name, { input, output }] of rows) {
      const value = channel.values[name];
      if (Number(input.value) !== value) input.value = value;
      output.textContent = short(value);
    }
    if (pad) {
      const [x, y] = data.pad.map(setting);
      pad.knob.style.left = `${((channel.values[x.name] - x.low) / (x.high - x.low)) * 100}%`;
      pad.knob.style.bottom = `${((channel.values[y.name] - y.low) / (y.high - y.low)) * 100}%`;
    }
  }

  function commit() {
    send("values", { ...channel.values });
  }

  function step(names, amounts, since) {
    const moved = {};
    names.forEach((name, i) => {
      const each = setting(name);
      moved[name] = clamp(each, channel.values[name] + amounts[i] * each.step);
    });
    channel.move(moved, since);
  }

  let settle = 0;
  function commitSoon() {
    clearTimeout(settle);
    settle = setTimeout(commit, 400);
  }

  function makeSlider(each) {
    const row = element(host, "label", "vae-slider");
    element(row, "span", "").textContent = each.label;
    const output = element(row, "output", "");
    const input = element(row, "input", "", {
      type: "range", min: each.low, max: each.high, step: "any", "aria-label": each.label,
    });
    input.addEventListener("input", (event) => channel.move({ [each.name]: Number(input.value) }, event.timeStamp));
    input.addEventListener("change", commit);
    input.addEventListener("dblclick", () => {
      channel.move({ [each.name]: each.reset }, performance.now());
      commit();
    });
    input.addEventListener("keydown", (event) => {
      const direction = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
      if (!direction) return;
      event.preventDefault();
      step([each.name], [direction * (event.shiftKey ? 10 : 1)], event.timeStamp);
      commitSoon();
    });
    input.addEventListener("wheel", (event) => {
      if (document.activeElement !== input) return; // a page that scrolls must not change values
      event.preventDefault();
      step([each.name], [-Math.sign(event.deltaY)], event.timeStamp);
      commitSoon();
    }, { passive: false });
    if (each.beside?.length) {
      const beside = element(row, "div", "vae-beside", { title: "What else changes, in so many faces" });
      for (const [name, share] of each.beside) {
        const percent = `${Math.round(100 * share)} %`;
        const item = element(beside, "span", "", { title: `${name}: changed in ${percent} of faces` });
        item.textContent = name;
        element(item, "i", "").style.width = percent.replace(" ", "");
      }
    }
    rows.set(each.name, { input, output });
  }

  function makePad([xName, yName]) {
    const field = element(host, "div", "vae-pad", {
      tabindex: 0, role: "application",
      "aria-label": `${setting(xName).label} and ${setting(yName).label}: arrow keys move`,
    });
    const knob = element(field, "i", "");
    element(field, "span", "vae-pad-x").textContent = setting(xName).label;
    element(field, "span", "vae-pad-y").textContent = setting(yName).label;
    let held = false;
    const go = (event) => {
      const box = field.getBoundingClientRect();
      const [x, y] = [setting(xName), setting(yName)];
      const u = (event.clientX - box.left) / box.width;
      const v = 1 - (event.clientY - box.top) / box.height;
      channel.move({
        [xName]: clamp(x, x.low + u * (x.high - x.low)),
        [yName]: clamp(y, y.low + v * (y.high - y.low)),
      }, event.timeStamp);
    };
    field.addEventListener("pointerdown", (event) => {
      held = true;
      field.setPointerCapture(event.pointerId);
      go(event);
    });
    field.addEventListener("pointermove", (event) => held && go(event));
    field.addEventListener("pointerup", () => {
      held = false;
      commit();
    });
    field.addEventListener("dblclick", () => {
      channel.move({ [xName]: setting(xName).reset, [yName]: setting(yName).reset }, performance.now());
      commit();
    });
    field.addEventListener("keydown", (event) => {
      const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
      if (!moves) return;
      event.preventDefault();
      step([xName, yName], moves.map((amount) => amount * (event.shiftKey ? 10 : 1)), event.timeStamp);
      commitSoon();
    });
    field.addEventListener("wheel", (event) => {
      if (document.activeElement !== field) return;
      event.preventDefault();
      const amount = -Math.sign(event.deltaY);
      step([xName, yName], event.shiftKey ? [amount, 0] : [0, amount], event.timeStamp);
      commitSoon();
    }, { passive: false });
    return { knob };
  }

  return {
    update(component) {
      const remake = JSON.stringify([data?.settings, data?.pad, data?.channel]) !==
        JSON.stringify([component.data.settings, component.data.pad, component.data.channel]);
      data = component.data;
      send = component.setTriggerValue;
      unfollow?.();
      channel = openChannel(data.channel);
      if (remake) {
        host.replaceChildren();
        rows = new Map();
        pad = data.pad ? makePad(data.pad) : null;
        for (const each of data.settings) if (!data.pad?.includes(each.name)) makeSlider(each);
      }
      channel.give(data.values);
      unfollow = channel.follow(show);
      show();
    },
    destroy() {
      unfollow?.();
    },
  };
}
