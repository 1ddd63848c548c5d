// View: sliders, and a two-dimensional pad, for the values of a channel.

import { openChannel } from "../lib/channel.js";
import { arrowDirection, clamp, debounce, element, formatNumber, formatShare } from "../lib/dom.js";
import { createSlider } from "../lib/slider.js";

const FAST = 10; // steps of an arrow key with Shift

export function createSliders(host) {
  let data, send, channel, unfollow;
  let sliders = new Map();
  let pad = null;

  const setting = (name) => data.settings.find((each) => each.name === name);
  const commit = debounce(() => send("values", { ...channel.values }));

  function show() {
    for (const [name, slider] of sliders) slider.show(channel.values[name], formatNumber(channel.values[name]));
    if (pad) {
      const [x, y] = data.pad.map(setting);
      pad.style.left = `${((channel.values[x.name] - x.low) / (x.high - x.low)) * 100}%`;
      pad.style.bottom = `${((channel.values[y.name] - y.low) / (y.high - y.low)) * 100}%`;
    }
  }

  function addSlider(each) {
    const slider = createSlider(host, each, {
      className: "vae-slider", commit, move: (value, since) => channel.move({ [each.name]: value }, since),
    });
    if (each.beside?.length) addSideEffects(slider.row, each.beside);
    sliders.set(each.name, slider);
  }

  /** What else changes with an attribute, as bars. */
  function addSideEffects(row, effects) {
    const beside = element(row, "div", "vae-beside", { title: "Other attributes that change, and in what share of faces" });
    const label = element(beside, "div");
    label.textContent = "Also changes:";
    for (const [name, share] of effects) {
      const item = element(beside, "span", "", { title: `${name}: changed in ${formatShare(share)} of faces` });
      item.textContent = name;
      element(item, "i").style.width = `${100 * share}%`;
    }
  }

  /** Returns the knob of a new pad for two settings. */
  function addPad([xName, yName]) {
    const field = element(host, "div", "vae-pad", {
      tabindex: 0, role: "application",
      "aria-label": `${setting(xName).label} and ${setting(yName).label}. Use the arrow keys to move.`,
    });
    const knob = element(field, "i");
    element(field, "span", "vae-pad-x").textContent = setting(xName).label;
    element(field, "span", "vae-pad-y").textContent = setting(yName).label;

    function moveTo(x, y, since) {
      const limited = (name, value) => clamp(value, setting(name).low, setting(name).high);
      channel.move({ [xName]: limited(xName, x), [yName]: limited(yName, y) }, since);
    }

    function stepBy(across, up, since) {
      const { [xName]: x, [yName]: y } = channel.values;
      moveTo(x + across * setting(xName).step, y + up * setting(yName).step, since);
      commit.soon();
    }

    let held = false;
    const follow = (event) => {
      const box = field.getBoundingClientRect();
      const [x, y] = [setting(xName), setting(yName)];
      const u = (event.clientX - box.left) / box.width;
      const v = 1 - (event.clientY - box.top) / box.height;
      moveTo(x.low + u * (x.high - x.low), y.low + v * (y.high - y.low), event.timeStamp);
    };
    field.addEventListener("pointerdown", (event) => {
      held = true;
      field.setPointerCapture(event.pointerId);
      follow(event);
    });
    field.addEventListener("pointermove", (event) => held && follow(event));
    field.addEventListener("pointerup", () => {
      held = false;
      commit.now();
    });
    field.addEventListener("dblclick", () => {
      moveTo(setting(xName).reset, setting(yName).reset, performance.now());
      commit.now();
    });
    field.addEventListener("keydown", (event) => {
      const arrow = arrowDirection(event);
      if (!arrow) return;
      event.preventDefault();
      const count = event.shiftKey ? FAST : 1;
      stepBy(count * arrow[0], count * arrow[1], event.timeStamp);
    });
    field.addEventListener("wheel", (event) => {
      if (document.activeElement !== field) return;
      event.preventDefault();
      const count = -Math.sign(event.deltaY);
      if (event.shiftKey) stepBy(count, 0, event.timeStamp);
      else stepBy(0, count, event.timeStamp);
    }, { passive: false });
    return knob;
  }

  return {
    update(component) {
      const built = ({ settings, pad, channel }) => JSON.stringify([settings, pad, channel]);
      const rebuild = !data || built(data) !== built(component.data);
      data = component.data;
      send = component.setTriggerValue;
      unfollow?.();
      channel = openChannel(data.channel);
      if (rebuild) {
        host.replaceChildren();
        sliders = new Map();
        pad = data.pad ? addPad(data.pad) : null;
        for (const each of data.settings) if (!data.pad?.includes(each.name)) addSlider(each);
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
