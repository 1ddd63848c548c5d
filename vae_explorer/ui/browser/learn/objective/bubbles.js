// Figure: posteriors as discs, repelled by the reconstruction term and attracted by the KL term.

import { arrowDirection, svgElement } from "../../lib/dom.js";
import { drawNormals } from "../../lib/random.js";
import { ARROWS, DIVERGENCE, QUIET, RECONSTRUCTION, legend, line, number, px, text } from "../../lib/svg.js";
import { bubbleForces, meanOf, stepBubbles } from "./maths.js";

const STEPS_A_FRAME = 2;
const AT_REST = 2e-3; // stop when no bubble has moved this far within REST_AFTER frames
const REST_AFTER = 30;
const NUDGE = 1e-3; // separates bubbles with the same centre, as the noise of training would
const KEY_STEP = 0.1;
const SMALLEST = 1e-6; // a radius that is too small to be seen
const wantsLessMotion = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

const forcesOf = (state) => bubbleForces(state.bubbles, state.data.constants.confusion, state.data.constants.tail);

function scatter(state) {
  const noise = drawNormals(2 * state.data.constants.start.length, state.seed);
  state.bubbles = state.data.constants.start.map(([x, y, r], i) =>
    state.seed === 1 ? { x, y, r } : { x: 0.7 * noise[2 * i], y: 0.7 * noise[2 * i + 1], r });
  wake(state);
}

function wake(state) {
  const noise = drawNormals(2 * state.bubbles.length, 7);
  state.bubbles.forEach((bubble, i) => {
    bubble.x += NUDGE * noise[2 * i];
    bubble.y += NUDGE * noise[2 * i + 1];
  });
  Object.assign(state, { rate: state.data.constants.rate, quiet: 0, travelled: 0 });
}

function run(frame) {
  const { state } = frame;
  if (!state.running) {
    state.frame = 0;
    return;
  }
  for (let i = 0; i < STEPS_A_FRAME; i++) advance(state);
  frame.draw();
  if (++state.quiet % REST_AFTER === 0) {
    const gone = state.bubbles.some(({ r }) => r < SMALLEST);
    if ((state.travelled < AT_REST || gone) && state.held < 0) state.resting = true;
    state.travelled = 0;
  }
  state.frame = state.resting ? 0 : requestAnimationFrame(() => run(frame));
}

function advance(state) {
  const step = stepBubbles(state.bubbles, state.data.constants, state.values.beta, state.rate, state.held);
  Object.assign(state, { bubbles: step.bubbles, rate: Math.max(step.rate, 1e-6) });
  state.travelled += step.moved;
}

function go(frame) {
  frame.state.resting = false;
  if (frame.state.running && !frame.state.frame) frame.state.frame = requestAnimationFrame(() => run(frame));
}

function toggle(frame, button) {
  frame.state.running = !frame.state.running;
  button.textContent = frame.state.running ? "Pause" : "Run";
  go(frame);
}

/** Build the nodes once: they carry the focus and the pointer capture. */
function build(svg, frame) {
  const { state } = frame;
  svg.innerHTML = `${ARROWS}<g class="rings"></g><g class="discs"></g><g class="forces"></g><g class="words"></g>`;
  const discs = svg.querySelector(".discs");
  state.nodes = state.bubbles.map((_, i) => {
    const group = svgElement(discs, "g", {
      class: "bubble", tabindex: 0, role: "button", "aria-label": `Posterior ${i + 1}. Use the arrow keys to move it.`,
    });
    const colour = state.data.classes[i % state.data.classes.length];
    group.innerHTML = `<circle class="halo" fill="${colour}" fill-opacity="0.14"/><circle class="edge" fill="${colour}" fill-opacity="0.6" stroke="${colour}" stroke-width="2.5"/>`;
    group.addEventListener("pointerdown", (event) => {
      Object.assign(state, { held: i, chosen: i });
      group.setPointerCapture(event.pointerId);
      group.focus();
      event.preventDefault();
    });
    group.addEventListener("pointermove", (event) => {
      if (state.held !== i) return;
      const edge = svg.getBoundingClientRect();
      place(frame, i, (event.clientX - edge.left - edge.width / 2) / state.scale, (edge.height / 2 - (event.clientY - edge.top)) / state.scale);
    });
    for (const end of ["pointerup", "pointercancel"]) group.addEventListener(end, () => { state.held = -1; wake(state); go(frame); });
    group.addEventListener("focus", () => { state.chosen = i; frame.draw(); });
    group.addEventListener("keydown", (event) => {
      const move = arrowDirection(event);
      if (!move) return;
      event.preventDefault();
      const { x, y } = state.bubbles[i];
      place(frame, i, x + KEY_STEP * move[0], y + KEY_STEP * move[1]);
    });
    return group;
  });
}

function place(frame, i, x, y) {
  Object.assign(frame.state.bubbles[i], { x, y });
  frame.state.rate = frame.state.data.constants.rate;
  frame.draw();
  go(frame);
}

function paint(svg, state, width, height) {
  if (!state.nodes) build(svg, state.frameOf);
  const far = Math.max(2.6, ...state.bubbles.map(({ x, y, r }) => 1.08 * (Math.max(Math.abs(x) * (height / width), Math.abs(y)) + r)));
  if (state.held < 0) state.scale = Math.min(width, height) / 2 / far;
  const { scale } = state;
  const [left, top] = [width / 2, height / 2];
  svg.querySelector(".rings").innerHTML = [1, 2].map((r) =>
    `<circle cx="${left}" cy="${top}" r="${px(r * scale)}" fill="none" stroke="${QUIET}" stroke-width="2" stroke-dasharray="6 6"/>`).join("");
  state.nodes.forEach((node, i) => {
    const { x, y, r } = state.bubbles[i];
    node.setAttribute("transform", `translate(${px(left + x * scale)} ${px(top - y * scale)})`);
    node.firstChild.setAttribute("r", px(2 * r * scale));
    node.lastChild.setAttribute("r", px(Math.max(3, r * scale)));
  });
  const forces = forcesOf(state);
  const { push, pull } = forces[state.chosen];
  const { x, y } = state.bubbles[state.chosen];
  const [across, down] = [left + x * scale, top - y * scale];
  const arrow = (force, weight, name, stroke) => {
    const size = Math.hypot(force.x, force.y) * weight;
    if (size < 0.02) return "";
    const long = (110 * size) / (size + 1.5) / Math.hypot(force.x, force.y);
    return line(across, down, across + force.x * long, down - force.y * long, { stroke: "var(--paper)", width: 8 }) +
      line(across, down, across + force.x * long, down - force.y * long, { stroke, width: 5, arrow: name });
  };
  svg.querySelector(".forces").innerHTML = `<g pointer-events="none">${arrow(push, 1, "push", RECONSTRUCTION)}${arrow(pull, state.values.beta, "pull", DIVERGENCE)}</g>`;
  const names = [1, 2].map((r) => text(left + 6, top - r * scale - 5, `${r}σ of the prior`, { size: 15, fill: QUIET })).join("");
  svg.querySelector(".words").innerHTML = names + legend(0, height - 30, width, [[RECONSTRUCTION, "reconstruction term"], [DIVERGENCE, "β · KL term"]]);
}

export const bubbles = {
  sentence: "Each disc is the posterior of one image. Change β: what happens at 8, and what at 0? Drag a disc to see both forces.",
  description: "Twenty posteriors as discs in a two-dimensional latent space, with the 1σ and 2σ circles of the prior",
  formula: () => `<math display="block"><mrow><munder><mo>∑</mo><mi>i</mi></munder><mi>C</mi><mspace width="0.15em"/><mi>log</mi><mo>&ApplyFunction;</mo><msub><mi>S</mi><mi>i</mi></msub>
    <mo>+</mo><mi data-part="beta">β</mi><mspace width="0.2em"/><mtext>KL(</mtext><msub><mi>q</mi><mi>i</mi></msub><mtext> ‖ p)</mtext></mrow></math>
    <p>qᵢ = N(mᵢ, rᵢ² I), drawn as a disc of radius rᵢ around mᵢ. Sᵢ: the effective number of images that a sample of qᵢ could belong to.</p>`,
  buttons: [
    [() => (wantsLessMotion() ? "Run" : "Pause"), toggle],
    ["Step", (frame) => { for (let i = 0; i < 5; i++) advance(frame.state); frame.draw(); }],
    ["Restart", (frame) => { frame.state.seed++; scatter(frame.state); frame.draw(); go(frame); }],
  ],
  start(frame) {
    Object.assign(frame.state, { frameOf: frame, held: -1, chosen: 0, running: !wantsLessMotion(), frame: 0 });
    scatter(frame.state);
    go(frame);
  },
  stop(state) {
    state.running = false;
  },
  moved(state, moved) {
    if ("beta" in moved && state.bubbles) {
      wake(state);
      go(state.frameOf);
    }
  },
  numbers(state) {
    const forces = forcesOf(state);
    const reconstruction = meanOf(forces.map((each) => each.reconstruction));
    const kl = meanOf(forces.map((each) => each.kl));
    const radius = meanOf(state.bubbles.map(({ r }) => r));
    return [
      ["reconstruction", "Reconstruction, mean", `${number(reconstruction)} nats`],
      ["kl", "KL, mean", `${number(kl)} nats`],
      ["loss", "Loss per image", `${number(reconstruction + (state.values.beta ? state.values.beta * kl : 0))} nats`, "beta"],
      ["radius", "Mean radius r", radius < 0.001 ? "< 0.001" : number(radius)],
    ];
  },
  paint,
  why: `
    <p>A simplified model of the VAE loss, with exact gradients. Where two posteriors overlap, the decoder cannot
    tell which image a z belongs to. Sᵢ is 1 plus, for each other disc at distance d,
    (1 + d² / (2ν(rᵢ² + rⱼ²)))<sup>−ν</sup>, with ν = 3. The reconstruction term of an image is C log Sᵢ, with
    C = 4. The arrows on the selected disc show the negative gradients of the two terms.</p>
    <p>The KL term alone is minimal where every disc has its centre at 0 and r = 1. Then all posteriors equal the
    prior, and z carries no information about the image (posterior collapse). The reconstruction term alone has
    no minimum: the discs shrink and move apart without limit, and most of the latent space is never used in
    training, as in a plain autoencoder. For β ≥ C, all posteriors collapse.</p>
    <p>Optimiser: gradient descent. The step size grows by 10% after each step that reduces the loss, and is
    halved otherwise.</p>
    <p><a href="https://openreview.net/forum?id=Sy2fzU9gl" target="_blank" rel="noopener">Higgins et al. 2017</a> (β),
    <a href="http://approximateinference.org/accepted/HoffmanJohnson2016.pdf" target="_blank" rel="noopener">Hoffman &amp; Johnson 2016</a>
    (the KL term and the aggregated posterior)</p>`,
};
