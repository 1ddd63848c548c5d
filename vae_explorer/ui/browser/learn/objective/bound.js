// Figure: the ELBO step by step, for a model with known evidence and posterior.

import { drawNormals } from "../../lib/random.js";
import { DIVERGENCE, GAP, INK, QUIET, RECONSTRUCTION, TOUCH, box, curve, dot, legend, line, number, plot, text } from "../../lib/svg.js";
import { boundParts, importanceBound, logWeights, meanOf, normalDensity } from "./maths.js";

const DRAWS = 8192;
const SHOWN = 10; // samples that are drawn
const DEEPEST = -1024;
const [EVIDENCE, JENSEN, BARS, WEIGHTS] = [1, 2, 3, 4];

const draws = new Map();
const drawsOf = (seed) => draws.get(seed) ?? draws.set(seed, drawNormals(DRAWS, seed)).get(seed);
const partsOf = ({ values: { mu, sigma, x }, data }) => boundParts(mu, sigma, x, data.constants.noise);
const weightsOf = ({ values: { mu, sigma, x }, data, seed }, count = DRAWS) =>
  logWeights(mu, sigma, x, data.constants.noise, drawsOf(seed).subarray(0, count));

function drawDensities(state, width, height, joint) {
  const { values: { mu, sigma, x }, data: { constants: { noise } } } = state;
  const { posterior } = partsOf(state);
  const view = plot({ left: 8, top: joint ? 60 : 52, width: width - 16, height: height - (joint ? 90 : 82) }, [-4, 4],
    [0, joint ? 0.62 : Math.max(0.85, Math.min(2.2, 0.42 / sigma))]);
  const prior = (z) => normalDensity(z, 0, 1);
  const curves = joint
    ? view.line((z) => normalDensity(x, z, noise), { stroke: RECONSTRUCTION, width: 4 }) +
      view.area((z) => prior(z) * normalDensity(x, z, noise), { fill: GAP, opacity: 0.35 }) +
      view.line((z) => prior(z) * normalDensity(x, z, noise), { stroke: GAP, width: 4 })
    : view.line((z) => normalDensity(z, posterior.mean, posterior.std), { stroke: GAP, width: 4, dash: "8 6" }) +
      view.area((z) => normalDensity(z, mu, sigma), { fill: TOUCH, opacity: 0.25 }) +
      view.line((z) => normalDensity(z, mu, sigma), { stroke: TOUCH, width: 4 });
  const names = joint
    ? [[QUIET, "p(z)"], [RECONSTRUCTION, "p(x | z)"], [GAP, "p(x, z): its area is p(x)"]]
    : [[QUIET, "p(z)"], [GAP, "p(z | x)", "8 6"], [TOUCH, "q(z)"]];
  return view.line(prior, { stroke: QUIET }) + curves + view.across([-4, -2, 0, 2, 4], "z", 0) + legend(8, 22, width - 50, names);
}

/** How deep the axis goes: doubled until all is on it, so that it does not swim. */
function depth(...values) {
  let floor = -4;
  while (floor > Math.min(...values) && floor > DEEPEST) floor *= 2;
  return floor;
}

function drawBars(state, width, height, top) {
  const { reconstruction, elbo, evidence } = partsOf(state);
  const floor = depth(reconstruction, elbo);
  const view = plot({ left: 52, top: top + 34, width: width - 60, height: height - top - 66 }, [0, 4], [floor, 0]);
  const bar = (i, from, to, fill, words, value) =>
    box(view.x(i + 0.14), view.y(from), view.x(0.72) - view.x(0), view.y(to) - view.y(from), { fill }) +
    line(view.x(i + 0.14), view.y(to), view.x(i + 1.14 + (i === 3 ? -0.28 : 0)), view.y(to), { stroke: INK, width: 2 }) +
    text(view.x(i + 0.5), top + 16, words, { anchor: "middle", size: width < 480 ? 13 : 16 }) +
    text(view.x(i + 0.5), view.top + view.height + 24, number(value), { anchor: "middle", size: 19, weight: 600 });
  const narrow = width < 480;
  return view.up([0, floor / 4, floor / 2, (3 * floor) / 4, floor]) +
    line(view.left, view.y(evidence), view.left + view.width, view.y(evidence), { stroke: GAP, dash: "6 5" }) +
    bar(0, 0, reconstruction, RECONSTRUCTION, narrow ? "E log p(x|z)" : "E log p(x | z)", reconstruction) +
    bar(1, reconstruction, elbo, DIVERGENCE, narrow ? "− KL(q‖p)" : "− KL(q ‖ p(z))", elbo - reconstruction) +
    bar(2, elbo, evidence, GAP, narrow ? "+ gap" : "+ KL(q ‖ p(z | x))", evidence - elbo) +
    bar(3, 0, evidence, QUIET, "= log p(x)", evidence);
}

function drawJensen(state, width, height, top) {
  const logs = weightsOf(state, SHOWN);
  const weights = Array.from(logs, Math.exp);
  const far = Math.max(1e-6, ...weights) * 1.12;
  const view = plot({ left: 52, top: top + 12, width: width - 64, height: height - top - 46 }, [0, far], [Math.max(Math.log(far) - 12, Math.min(...logs) - 0.5), Math.log(far) + 0.3]);
  const [meanWeight, meanLog] = [meanOf(weights), meanOf(logs)];
  const [x, above, under] = [view.x(meanWeight), view.y(Math.log(meanWeight)), Math.min(view.y(meanLog), view.top + view.height)];
  const words = x > width * 0.62 ? { anchor: "end", side: -12 } : { anchor: "start", side: 14 };
  return view.across([0, Number((far / 2).toPrecision(2)), Number((far * 0.9).toPrecision(2))], "w = p(x, z) / q(z)") +
    view.line((w) => (w > 0 ? Math.log(w) : -1e3), { width: 4, stroke: QUIET }) +
    view.clip(weights.map((w, i) => dot(view.x(w), view.y(logs[i]), 7)).join("")) +
    line(x, under, x, above, { stroke: GAP, width: 6 }) + dot(x, above, 8, { fill: INK }) + dot(x, under, 8, { fill: GAP }) +
    text(x + words.side, above + 22, `log of the mean: ${number(Math.log(meanWeight))}`, { size: 16, anchor: words.anchor }) +
    text(x + words.side, Math.max(under, above + 44) + 4, `mean of the logs: ${number(meanLog)}`, { size: 16, anchor: words.anchor });
}

function drawWeights(state, width, height, top) {
  const { elbo, evidence } = partsOf(state);
  const logs = weightsOf(state);
  const steps = Array.from({ length: 11 }, (_, i) => [i, i ? importanceBound(logs, 2 ** i) : elbo]);
  const room = Math.max(0.25, evidence - elbo);
  const view = plot({ left: 60, top: top + 14, width: width - 78, height: height - top - 50 }, [0, 10], [evidence - 1.15 * room, evidence + 0.15 * room]);
  const k = Math.log2(state.values.k);
  return [0, 2, 4, 6, 8, 10].map((i) => text(view.x(i), view.top + view.height + 22, 2 ** i, { anchor: "middle", size: 15, fill: QUIET })).join("") +
    text(view.left + view.width, view.top + view.height - 6, "k", { anchor: "end", size: 17 }) +
    line(view.left, view.y(evidence), view.left + view.width, view.y(evidence), { stroke: GAP, width: 3, dash: "8 6" }) +
    text(view.left, view.y(evidence) + 22, "log p(x)", { size: 17 }) + text(view.left + 14, view.y(elbo) + 6, "ELBO", { size: 17 }) +
    curve(steps.map(([i, bound]) => [view.x(i), view.y(bound)]), { stroke: TOUCH, width: 4 }) +
    steps.map(([i, bound]) => dot(view.x(i), view.y(bound), i === k ? 10 : 4)).join("") +
    line(view.left, view.top + view.height, view.left + view.width, view.top + view.height, { width: 1.5 });
}

function draw(state, width, height) {
  const { step } = state.values;
  if (step === EVIDENCE) return drawDensities(state, width, height, true);
  const top = height * 0.4;
  const below = { [JENSEN]: drawJensen, [BARS]: drawBars, [WEIGHTS]: drawWeights }[step];
  return drawDensities(state, width, top, false) + below(state, width, height, top);
}

const E = "<msub><mi>E</mi><mi>q</mi></msub>";
const Q = '<mrow data-part="mu sigma"><mi>q</mi></mrow>';
const P = (inner) => `<mrow data-part="x"><mi>p</mi><mo>(</mo><mtext>${inner}</mtext><mo>)</mo></mrow>`;
const FORMULAS = {
  [EVIDENCE]: `<math display="block"><mrow><mi>log</mi><mo>&ApplyFunction;</mo>${P("x")}<mo>=</mo><mi>log</mi><mo>&ApplyFunction;</mo><mo>∫</mo>${P("x | z")}<mspace width="0.2em"/><mi>p</mi><mo>(</mo><mi>z</mi><mo>)</mo><mi>d</mi><mi>z</mi></mrow></math>
    <p><b>Evidence.</b> How likely is x under the model? Every z that could have generated x contributes. Here the integral is known; with a neural network as decoder it is intractable.</p>`,
  [JENSEN]: `<math display="block"><mrow><mi>log</mi><mo>&ApplyFunction;</mo>${E}<mo>[</mo><mi>w</mi><mo>]</mo><mo>≥</mo>${E}<mo>[</mo><mi>log</mi><mo>&ApplyFunction;</mo><mi>w</mi><mo>]</mo><mtext>,&nbsp;&nbsp;</mtext><mi>w</mi><mo>=</mo><mfrac>${P("x, z")}${Q}</mfrac></mrow></math>
    <p><b>Jensen's inequality.</b> The expectation of w is p(x). The figure shows ten samples of q. The logarithm is concave, so the mean of the logs is at most the log of the mean. For which q is there no gap?</p>`,
  [BARS]: `<math display="block"><mrow><mi>log</mi><mo>&ApplyFunction;</mo>${P("x")}<mo>=</mo>${E}<mi>log</mi><mo>&ApplyFunction;</mo>${P("x | z")}<mo>−</mo><mtext>KL(</mtext>${Q}<mtext> ‖ p(z))</mtext></mrow></math>
    <math display="block"><mrow><mspace width="1em"/><mo>+</mo><mtext>KL(</mtext>${Q}<mtext> ‖ </mtext>${P("z | x")}<mtext>)</mtext></mrow></math>
    <p><b>Decomposition.</b> The first two terms are the ELBO. The third is the gap: 0 if q is the posterior.</p>`,
  [WEIGHTS]: `<math display="block"><mrow><msub><mi>L</mi><mi data-part="k">k</mi></msub><mo>=</mo><mi>E</mi><mi>log</mi><mo>&ApplyFunction;</mo><mfrac><mn>1</mn><mi data-part="k">k</mi></mfrac><munderover><mo>∑</mo><mrow><mi>i</mi><mo>=</mo><mn>1</mn></mrow><mi data-part="k">k</mi></munderover><msub><mi>w</mi><mi>i</mi></msub></mrow></math>
    <p><b>More samples.</b> With the mean of k weights inside the logarithm, the bound increases with k and approaches log p(x), for any q. k = 1 is the ELBO.</p>`,
};

export const bound = {
  sentence: "Derive the evidence lower bound in four steps. Drag q: log p(x) does not change, and ELBO + gap always equals it.",
  description: "Densities of z; below them, the bound at the current step.",
  formula: ({ values: { step } }) => FORMULAS[step],
  uses: ({ values: { step } }) => ["step", "x", ...(step > EVIDENCE ? ["mu", "sigma"] : []), ...(step === WEIGHTS ? ["k"] : [])],
  buttons: [
    ["Back", (frame) => { frame.move({ step: frame.state.values.step - 1 }); frame.commit(); }],
    ["Next", (frame) => { frame.move({ step: frame.state.values.step + 1 }); frame.commit(); }],
    ["q = posterior", (frame) => {
      const { posterior } = partsOf(frame.state);
      frame.move({ mu: posterior.mean, sigma: posterior.std });
      frame.commit();
    }],
  ],
  numbers(state) {
    const { elbo, evidence, gap } = partsOf(state);
    const { k, step } = state.values;
    const rows = [["evidence", "log p(x)", `${number(evidence)} nats`, "x"]];
    if (step > EVIDENCE) rows.push(["elbo", "ELBO", `${number(elbo)} nats`, "mu sigma"]);
    if (step === WEIGHTS) rows.push(["weighted", `Bound at k = ${k}`, `${number(k > 1 ? importanceBound(weightsOf(state), k) : elbo)} nats`, "k"]);
    if (step > EVIDENCE) rows.push(["gap", "Gap, KL(q ‖ p(z | x))", `${number(gap)} nats`, "mu sigma"]);
    return rows;
  },
  drag: ({ values: { step } }, x, y, width, height) =>
    (step > EVIDENCE && y < height * 0.4 ? { mu: ((x - 8) / (width - 16)) * 8 - 4 } : null),
  draw,
  why: `
    <p>The model: z ~ N(0, 1) and x | z ~ N(z, 0.7²). For this model p(x) and the posterior p(z | x) have closed
    forms, so the evidence lower bound (ELBO) can be compared with log p(x).</p>
    <p>w = p(x, z) / q(z) is the importance weight of a sample z from q; its expectation is p(x) for any q. If q is
    the posterior, w = p(x) for every z, and the bound is exact for every k. The curve over k is an estimate from
    8,192 samples. If q is much narrower than the posterior, a few samples dominate the estimate, and it is
    unreliable.</p>
    <p>ELBO = log p(x) − gap. A VAE maximises it with respect to both networks: the decoder can increase log p(x),
    and the encoder can reduce the gap.</p>
    <p><a href="https://arxiv.org/abs/1312.6114" target="_blank" rel="noopener">Kingma &amp; Welling 2014</a>,
    <a href="https://arxiv.org/abs/1509.00519" target="_blank" rel="noopener">Burda et al. 2016</a> (k samples),
    <a href="http://approximateinference.org/accepted/HoffmanJohnson2016.pdf" target="_blank" rel="noopener">Hoffman &amp; Johnson 2016</a></p>`,
};
