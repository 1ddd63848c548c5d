// Figure: KL(N(μ, σ²) ‖ N(0, 1)), as densities, by terms, and in both directions.

import { drawNormals } from "../../lib/random.js";
import { DIVERGENCE, QUIET, RECONSTRUCTION, TOUCH, box, dot, legend, number, plot, text } from "../../lib/svg.js";
import { klMonteCarlo, klTerms, normalDensity, reverseKl } from "./maths.js";

const logVar = ({ sigma }) => 2 * Math.log(sigma);
const DRAWS = 1000;

function drawDensities({ values: { mu, sigma } }, width, height) {
  const top = Math.max(0.85, Math.min(2.2, 0.45 / sigma));
  const view = plot({ left: 8, top: 34, width: width - 16, height: height * 0.36 }, [-5, 5], [0, top]);
  const q = (x) => normalDensity(x, mu, sigma);
  return view.area((x) => normalDensity(x, 0, 1), { fill: QUIET, opacity: 0.22 }) +
    view.line((x) => normalDensity(x, 0, 1), { stroke: QUIET }) +
    view.area(q, { fill: TOUCH, opacity: 0.25 }) + view.line(q, { stroke: TOUCH, width: 4 }) +
    view.across([-4, -2, 0, 2, 4], "z", 0) +
    legend(8, 22, width - 60, [[TOUCH, "q = N(μ, σ²)"], [QUIET, "p = N(0, 1)"]]);
}

function drawTerms({ values: { mu, sigma } }, width, height) {
  const top = height * 0.36 + 92;
  const tall = { top, height: height - top - 100 };
  const half = (width - 70) / 2;
  const spread = plot({ ...tall, left: 22, width: half }, [0, 3], [0, 6]);
  const mean = plot({ ...tall, left: 48 + half, width: half }, [-3, 3], [0, 9]);
  const ofSigma = (s) => s ** 2 - 2 * Math.log(s) - 1;
  return spread.across([0, 1, 2, 3], "σ", 0) + spread.line((s) => ofSigma(Math.max(s, 1e-3)), { stroke: RECONSTRUCTION, width: 4 }) +
    dot(spread.x(sigma), spread.y(Math.min(6, ofSigma(sigma))), 9) +
    text(22, tall.top - 12, `σ² − log σ² − 1 = ${number(ofSigma(sigma))}`, { size: 18 }) +
    mean.across([-3, 0, 3], "μ", 0) + mean.line((m) => m ** 2, { stroke: DIVERGENCE, width: 4 }) +
    dot(mean.x(mu), mean.y(mu ** 2), 9) + text(48 + half, tall.top - 12, `μ² = ${number(mu ** 2)}`, { size: 18 });
}

function drawBars({ values }, width, height) {
  const terms = klTerms(values.mu, logVar(values));
  const reverse = reverseKl(values.mu, logVar(values));
  const name = 84;
  const bar = plot({ left: name, top: 0, width: width - name - 84, height: 1 }, [0, 8], [0, 1]);
  const row = (y, label, parts, value) => {
    let from = 0;
    const drawn = parts.map(([fill, part]) => {
      const [start, end] = [from, Math.min(8, from + part)];
      from = end;
      return box(bar.x(start), y - 15, bar.x(end) - bar.x(start), 20, { fill });
    }).join("");
    return text(0, y, label, { size: 17 }) + drawn + text(bar.x(from) + 8, y, (value > 8 ? "→ " : "") + number(value), { size: 18, weight: 600 });
  };
  return row(height - 40, "KL(q ‖ p)", [[RECONSTRUCTION, terms.spread], [DIVERGENCE, terms.mean]], terms.kl) +
    row(height - 10, "KL(p ‖ q)", [[QUIET, reverse]], reverse);
}

const sampled = (state) => klMonteCarlo(state.values.mu, state.values.sigma, drawNormals(DRAWS, state.seed));

export const kl = {
  sentence: "Change μ and σ, or drag q. How much does each of them contribute to the KL divergence from the prior?",
  description: "The densities of q and of the prior p; the two terms of KL(q ‖ p) as curves; both directions of the divergence as bars.",
  formula: () => `<math display="block"><mrow><mtext>KL(q ‖ p)</mtext><mo>=</mo><mfrac><mn>1</mn><mn>2</mn></mfrac><mo>(</mo>
    <msup data-part="mu"><mi>μ</mi><mn>2</mn></msup><mo>+</mo>
    <mrow data-part="sigma"><msup><mi>σ</mi><mn>2</mn></msup><mo>−</mo><mi>log</mi><mo>&ApplyFunction;</mo><msup><mi>σ</mi><mn>2</mn></msup><mo>−</mo><mn>1</mn></mrow><mo>)</mo></mrow></math>`,
  derived: [{
    name: "log_var", part: "log_var sigma", label: "log σ²", low: -6, high: 2.2, reset: 0, step: 0.05,
    read: logVar, write: (value) => ({ sigma: Math.exp(value / 2) }),
  }],
  buttons: [["Resample", (frame) => { frame.state.seed++; frame.draw(); }]],
  numbers(state) {
    const terms = klTerms(state.values.mu, logVar(state.values));
    const { value, error } = sampled(state);
    return [
      ["kl", "KL(q ‖ p), closed form", `${number(terms.kl)} nats`, "mu sigma"],
      ["monte-carlo", "Monte Carlo, 1,000 samples", `${number(value)} ± ${number(error)} nats`],
      ["reverse", "KL(p ‖ q), closed form", `${number(reverseKl(state.values.mu, logVar(state.values)))} nats`],
    ];
  },
  drag: (_state, x, y, width, height) => (y < height * 0.36 + 50 ? { mu: ((x - 8) / (width - 16)) * 10 - 5 } : null),
  draw: (state, width, height) => drawDensities(state, width, height) + drawTerms(state, width, height) + drawBars(state, width, height),
  why: `
    <p>The Kullback–Leibler divergence KL(q ‖ p) is the expectation of log q(z) − log p(z) over z ~ q: the expected
    number of extra nats needed to encode a sample from q with a code that is optimal for p. It is never negative,
    and 0 only if q = p. One nat is 1.44 bits.</p>
    <p>The encoder outputs μ and log σ². Both can be any real number, and σ = exp(½ log σ²) is always positive.</p>
    <p>The mean contributes ½ μ², the variance ½ (σ² − log σ² − 1), which is 0 only at σ = 1. For small σ the
    logarithm dominates: each halving of σ adds about log 2 = 0.693 nats.</p>
    <p>The divergence is not symmetric. KL(p ‖ q) is large when q does not cover the prior, and grows much faster
    as σ approaches 0. The VAE minimises KL(q ‖ p), whose expectation is over q: it can be estimated from samples
    of q, and has a closed form here.</p>
    <p><a href="https://arxiv.org/abs/1312.6114" target="_blank" rel="noopener">Kingma &amp; Welling 2014</a>, appendix B</p>`,
};
