// Figure: the reparameterisation trick, z = μ + σ ε with fixed noise, and two gradient estimators.

import { drawNormals } from "../../lib/random.js";
import { ARROWS, INK, QUIET, RECONSTRUCTION, TOUCH, dot, line, number, plot, text } from "../../lib/svg.js";
import { gradientDeviations, gradientEstimates, normalDensity } from "./maths.js";

const REPEATS = 60;
const MOST_SAMPLES = 256;
const STEP_LENGTH = 0.2;
const noiseOf = (state) => {
  if (state.noiseSeed !== state.seed) {
    state.noise = drawNormals(REPEATS * MOST_SAMPLES, state.seed);
    state.noiseSeed = state.seed;
  }
  return state.noise;
};
const estimate = ({ values: { mu, sigma, samples }, data }, noise) =>
  gradientEstimates(mu, sigma, data.constants.target, noise, samples, MOST_SAMPLES);

function drawCloud(state, width, height) {
  const { mu, sigma, samples } = state.values;
  const { target } = state.data.constants;
  const noise = noiseOf(state).subarray(0, samples);
  const room = { left: 8, width: width - 16 };
  const upper = plot({ ...room, top: 34, height: 58 }, [-5, 5], [0, 0.42]);
  const lower = plot({ ...room, top: 150, height: 88 }, [-5, 5], [0, Math.max(0.42, 0.42 / sigma)]);
  const [from, to] = [88, 234];
  const shown = Array.from(noise.subarray(0, 24));
  const radius = samples > 64 ? 4 : 6;
  const drift = (i, tall) => ((i * 0.618) % 1) * tall;
  const gradient = estimate(state, noise).pathwise[0];
  return upper.area((x) => normalDensity(x, 0, 1), { fill: QUIET, opacity: 0.25 }) +
    lower.area((x) => normalDensity(x, mu, sigma), { fill: TOUCH, opacity: 0.25 }) +
    shown.map((e) => line(upper.x(e), from, lower.x(mu + sigma * e), to, { width: 1.5, stroke: "var(--faint)" })).join("") +
    Array.from(noise, (e, i) => dot(upper.x(e), from - drift(i, 44), radius, { fill: QUIET })).join("") +
    line(lower.x(target), 136, lower.x(target), 282, { stroke: RECONSTRUCTION, width: 3, dash: "6 5" }) +
    text(lower.x(target) - 6, 150, "target", { anchor: "end", size: 16 }) +
    Array.from(noise, (e, i) => dot(lower.x(mu + sigma * e), to - drift(i, 60), radius)).join("") +
    lower.across([-4, -2, 0, 2, 4], "", 0) +
    line(lower.x(mu), 272, lower.x(mu - 0.5 * gradient), 272, { stroke: TOUCH, width: 5, arrow: "touch" }) +
    text(lower.x(mu) + (gradient > 0 ? 8 : -8), 278, "−∂L/∂μ", { anchor: gradient > 0 ? "start" : "end" }) +
    text(8, 24, "ε ~ N(0, 1)", { size: 18, weight: 600 }) +
    text(8, 176, "z = μ + σ ε", { size: 18, weight: 600 });
}

function drawStrips(state, width, height) {
  const { mu, samples } = state.values;
  const exact = mu - state.data.constants.target;
  const { pathwise, score } = estimate(state, noiseOf(state));
  const axis = plot({ left: 8, width: width - 16, top: 296, height: height - 326 }, [-12, 16], [0, 2]);
  const strip = (values, row, fill) => values.map((value, i) =>
    dot(axis.x(Math.max(-12, Math.min(16, value))), axis.y(row + 0.14 + ((i * 0.618) % 1) * 0.42), 5, { fill, stroke: "none", opacity: 0.75 })).join("");
  return line(axis.x(exact), axis.top, axis.x(exact), axis.top + axis.height, { stroke: INK, dash: "5 4" }) +
    strip(pathwise, 1, TOUCH) + strip(score, 0, QUIET) +
    text(8, axis.y(1.72), `Reparameterised: ${REPEATS} estimates, n = ${samples}`, { size: 16, weight: 600 }) +
    text(8, axis.y(0.72), `Score function: ${REPEATS} estimates, n = ${samples}`, { size: 16, weight: 600 }) +
    axis.across([-10, -5, 0, 5, 10, 15], "∂L/∂μ");
}

export const trick = {
  sentence: "Change μ and σ: the noise ε stays the same, and the samples z move with them. z is a differentiable function of μ and σ.",
  description: "Samples of ε; below them, z = μ + σε for each sample; at the bottom, 60 gradient estimates for each of two estimators.",
  formula: () => `
    <math display="block"><mrow><mi>z</mi><mo>=</mo><mi data-part="mu">μ</mi><mo>+</mo><mi data-part="sigma">σ</mi><mo>⋅</mo><mi>ε</mi><mtext>,&nbsp;&nbsp;</mtext><mi>ε</mi><mo>∼</mo><mi>N</mi><mo>(</mo><mn>0</mn><mo>,</mo><mn>1</mn><mo>)</mo></mrow></math>
    <svg viewBox="0 0 300 116" width="100%" role="img" aria-label="Computation graph: the gradient flows from the loss through z to μ and σ, but not to ε">
      ${ARROWS}
      ${[[34, 26, "ε"], [34, 90, "σ"], [118, 26, "×"], [118, 90, "μ"], [192, 26, "z"], [266, 26, "L"]].map(([x, y, word]) =>
        `<circle cx="${x}" cy="${y}" r="22" fill="var(--st-secondary-background-color)" stroke="${word === "ε" ? QUIET : TOUCH}" stroke-width="2"/>` +
        text(x, y + 6, word, { anchor: "middle", size: 20, weight: 600 })).join("")}
      ${line(242, 26, 220, 26, { stroke: TOUCH, width: 4, arrow: "touch" })}
      ${line(168, 26, 146, 26, { stroke: TOUCH, width: 4, arrow: "touch" })}
      ${line(176, 44, 142, 73, { stroke: TOUCH, width: 4, arrow: "touch" })}
      ${line(101, 43, 58, 73, { stroke: TOUCH, width: 4, arrow: "touch" })}
      ${line(94, 26, 62, 26, { dash: "4 4" })}
      <path d="M70 18L84 34M84 18L70 34" stroke="${INK}" stroke-width="3"/>
      ${text(156, 104, "gradient path", { size: 16 })}
    </svg>`,
  buttons: [
    ["Resample ε", (frame) => { frame.state.seed++; frame.draw(); }],
    ["One gradient step", (frame) => {
      const { mu, sigma } = frame.state.values;
      const found = estimate(frame.state, noiseOf(frame.state));
      frame.state.seed++; // the next step has noise of its own, as in training
      frame.move({ mu: mu - STEP_LENGTH * found.pathwise[0], sigma: sigma - STEP_LENGTH * found.ofSigma[0] });
      frame.commit();
    }],
  ],
  numbers(state) {
    const { mu, sigma, samples } = state.values;
    const { target } = state.data.constants;
    const { pathwise, ofSigma } = estimate(state, noiseOf(state).subarray(0, MOST_SAMPLES));
    const spread = gradientDeviations(mu, sigma, target, samples);
    return [
      ["of-mu", "∂L/∂μ", `${number(pathwise[0])} (exact ${number(mu - target)})`, "mu"],
      ["of-sigma", "∂L/∂σ", `${number(ofSigma[0])} (exact ${number(sigma)})`, "sigma"],
      ["pathwise", "Std. dev. of ∂L/∂μ, σ/√n", number(spread.pathwise), "samples sigma"],
      ["score", "Std. dev., score function", number(spread.score), "samples"],
    ];
  },
  drag: (_state, x, y, width) => (y < 285 ? { mu: ((x - 8) / (width - 16)) * 10 - 5 } : null),
  draw: (state, width, height) => drawCloud(state, width, height) + drawStrips(state, width, height),
  why: `
    <p>Here L is the mean of ½ (z − target)² over n samples z ~ N(μ, σ²); training minimises its expectation.
    Drawing z directly from N(μ, σ²) gives a number without a derivative with respect to μ and σ. Writing
    z = μ + σε moves the randomness into the input ε. Then z is a differentiable function of μ and σ, with
    ∂z/∂μ = 1 and ∂z/∂σ = ε. The numbers above are computed from the samples in the figure.</p>
    <p>The dashed line is the exact gradient, μ − target. Both estimators are unbiased, and their standard
    deviation decreases as 1/√n. The score-function estimator averages ½ (z − target)² · ∂ log q(z)/∂μ. It does
    not differentiate the loss, and its variance is much larger. With reparameterisation, one sample per image
    is usually enough in training, since gradients are averaged over a batch.</p>
    <p><a href="https://arxiv.org/abs/1312.6114" target="_blank" rel="noopener">Kingma &amp; Welling 2014</a>,
    <a href="https://arxiv.org/abs/1401.4082" target="_blank" rel="noopener">Rezende et al. 2014</a></p>`,
};
