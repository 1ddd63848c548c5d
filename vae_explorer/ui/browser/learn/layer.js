// View: details of the chosen layer: what it computes, its parameters, all of its channels.

import { openChannel } from "../lib/channel.js";
import { element, formatNumber, formatShare } from "../lib/dom.js";
import { drawTiles, formatCount, formatShape, product } from "./network.js";

export function createLayer(host) {
  host.classList.add("vae-layer");
  const title = element(host, "h3");
  const lines = element(host, "ul");
  const count = element(host, "p", "vae-count");
  const frame = element(host, "div", "vae-all", { tabindex: 0, role: "group", "aria-label": "All channels" });
  const canvas = element(frame, "canvas", "vae-picture", { role: "img" });
  frame.hidden = true; // until there is something to show
  const caption = element(host, "p", "vae-scale");
  let shown, unfollow;
  let seen = {};
  let room = 0; // px

  function show() {
    const { answer, layer } = shown.values;
    if (!answer) return;
    const step = answer.steps[Math.min(layer, answer.steps.length - 1)];
    if (seen.layer !== layer || seen.checkpoint !== answer.checkpoint || seen.sampled !== answer.sampled) explain(step, answer);
    else if (seen.answer === answer) return;
    seen = { ...answer, layer, answer };
    if (step.values) caption.textContent = describe(step);
    if (frame.hidden) return;
    const order = Array.from({ length: step.shape[0] }, (_, channel) => channel);
    drawTiles(canvas, step, order, [room, 100_000]);
    caption.textContent = `All ${formatCount(step.shape[0])} ${step.shape.length === 1 ? "units" : "channels"}. ` +
      `White is 0, black is ${formatNumber(127 * step.unit)}${step.bytes.some((value) => value < 0) ? ", orange is below 0" : ""}.`;
  }

  function explain(step, answer) {
    title.textContent = step.kind ? `${step.name}: ${step.kind}` : step.name;
    lines.replaceChildren();
    const size = step.shape.length === 1 ? "" : `${formatShape(step.shape)} = `;
    for (const line of [...step.lines, `Output: ${size}${formatCount(product(step.shape))} values`]) {
      element(lines, "li").textContent = line;
    }
    count.replaceChildren();
    element(count, "b").textContent = "Parameters";
    for (const sum of step.arithmetic) element(count, "span").textContent = sum;
    const all = answer.steps.reduce((sum, each) => sum + each.parameters, 0);
    const share = step.parameters / all;
    element(count, "small").textContent = step.parameters
      ? `${step.arithmetic.length > 1 ? `Total ${formatCount(step.parameters)}: ` : ""}${formatShare(share)} of the model's ${formatCount(all)} parameters.`
      : "None: nothing is learned here.";
    frame.hidden = step.part !== "encoder" && step.part !== "decoder";
    caption.hidden = frame.hidden && !step.values;
    room = frame.clientWidth - 8;
    canvas.setAttribute("aria-label", `All activations of ${step.name}`);
  }

  function describe({ name, values }) {
    const [low, high] = [Math.min(...values), Math.max(...values)].map((value) => formatNumber(value));
    const line = name === "σ" ? " The line marks 1, the σ of the prior." : " The line marks 0.";
    return `From ${low} to ${high}.${line}`;
  }

  return {
    update({ data }) {
      unfollow?.();
      shown = openChannel(`${data.channel}-shown`);
      unfollow = shown.follow(show);
      show();
    },
    destroy() {
      unfollow?.();
    },
  };
}
