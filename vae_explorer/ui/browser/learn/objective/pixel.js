// Figure: the loss of one pixel, cross-entropy and squared error; sum or mean over pixels.

import { DIVERGENCE, INK, RECONSTRUCTION, TOUCH, box, dot, escapeText, legend, line, number, plot, text } from "../../lib/svg.js";
import { bernoulliNll, gaussianNll, logit, pixelGradients } from "./maths.js";

const REACH = 0.1; // how far to both sides of the target a miss is priced
const loss = {
  bernoulli: (p, target) => bernoulliNll(logit(p), target),
  gaussian: (p, target, variance) => gaussianNll(logit(p), target, variance),
};
const inside = (p) => Math.max(1e-4, Math.min(1 - 1e-4, p));

function excess(target, variance, side) {
  const p = inside(target + side * REACH);
  const floor = inside(target);
  return {
    p,
    bernoulli: loss.bernoulli(p, target) - loss.bernoulli(floor, target),
    gaussian: loss.gaussian(p, target, variance),
  };
}

function drawLosses({ values: { target, prediction }, data }, width, height) {
  const { variance } = data.constants;
  const view = plot({ left: 34, top: 40, width: width - 44, height: height * 0.52 - 40 }, [0, 1], [0, 2.5]);
  const bce = (p) => loss.bernoulli(inside(p), target);
  const squared = (p) => loss.gaussian(inside(p), target, variance);
  const missed = [-1, 1].filter((side) => target + side * REACH > 0.005 && target + side * REACH < 0.995).map((side) => {
    const { p } = excess(target, variance, side);
    return line(view.x(p), view.y(0), view.x(p), view.y(bce(p)), { dash: "3 4" }) + dot(view.x(p), view.y(bce(p)), 6, { fill: RECONSTRUCTION }) +
      text(view.x(p) + 8 * side, view.y(bce(p)) - 14, `+${number(excess(target, variance, side).bernoulli)}`, { size: 18, weight: 600, anchor: side > 0 ? "start" : "end" });
  }).join("");
  return view.up([0, 1, 2]) + view.across([0, 0.2, 0.4, 0.6, 0.8, 1], "prediction p", 0) +
    view.line(squared, { stroke: DIVERGENCE, width: 4 }) + view.line(bce, { stroke: RECONSTRUCTION, width: 4 }) +
    line(view.x(target), view.top, view.x(target), view.y(0), { stroke: INK, dash: "6 5" }) +
    text(view.x(target) + (target > 0.8 ? -6 : 6), view.top + 14, `target ${number(target)}`, { anchor: target > 0.8 ? "end" : "start", size: 17 }) +
    missed + line(view.x(prediction), view.y(0), view.x(prediction), view.y(Math.min(2.5, bce(prediction))), { stroke: TOUCH, width: 2 }) +
    dot(view.x(prediction), view.y(Math.min(2.5, squared(prediction))), 9) + dot(view.x(prediction), view.y(Math.min(2.5, bce(prediction))), 9) +
    legend(0, 22, width - 40, [[RECONSTRUCTION, "binary cross-entropy"], [DIVERGENCE, "squared error, 2 (p − x)²"]]);
}

function drawGradients({ values: { target, prediction }, data }, width, height) {
  const { variance } = data.constants;
  const view = plot({ left: 34, top: height * 0.52 + 68, width: width * 0.44 - 34, height: height * 0.48 - 100 }, [0, 1], [-1, 1]);
  const slope = (kind) => (p) => pixelGradients(inside(p), target, variance)[kind].logit;
  return text(0, height * 0.52 + 52, "∂ loss / ∂ logit", { size: 17 }) +
    view.up([-1, 0, 1]) + view.across([0, 0.5, 1], "p") +
    view.line(slope("gaussian"), { stroke: DIVERGENCE, width: 4 }) + view.line(slope("bernoulli"), { stroke: RECONSTRUCTION, width: 4 }) +
    dot(view.x(prediction), view.y(slope("gaussian")(prediction)), 8) + dot(view.x(prediction), view.y(slope("bernoulli")(prediction)), 8);
}

function drawShares({ values: { beta }, data: { model } }, width, height) {
  const left = width * 0.5, room = width * 0.5 - 4, top = height * 0.52 + 52;
  const row = (y, label, reconstruction) => {
    const kl = beta * model.kl;
    const cut = (room * reconstruction) / (reconstruction + kl);
    return text(left, y, label, { size: 17 }) + box(left, y + 8, cut, 20, { fill: RECONSTRUCTION }) + box(left + cut, y + 8, room - cut, 20, { fill: DIVERGENCE }) +
      text(left, y + 46, `${room > 260 ? "reconstruction " : ""}${number(reconstruction)}`, { size: 18, weight: 600 }) + text(left + room, y + 46, `β · KL ${number(kl)}`, { size: 18, weight: 600, anchor: "end" });
  };
  return row(top, `Sum of ${model.values.toLocaleString("en")} values`, model.reconstruction) +
    row(top + (height - top) * 0.48, `Mean of ${model.values.toLocaleString("en")} values`, model.reconstruction / model.values);
}

export const pixel = {
  sentence: "Change target and prediction. What does an error cost, what is its gradient, and what does averaging over pixels do to β?",
  description: "Two losses of one pixel as functions of the prediction; their gradients; the share of each term in the total loss.",
  formula: ({ data: { model }, values: { beta } }) => `<math display="block"><mrow><mo>−</mo><mi data-part="target">x</mi><mi>log</mi><mo>&ApplyFunction;</mo><mi data-part="prediction">p</mi><mo>−</mo>
      <mo>(</mo><mn>1</mn><mo>−</mo><mi data-part="target">x</mi><mo>)</mo><mi>log</mi><mo>&ApplyFunction;</mo><mo>(</mo><mn>1</mn><mo>−</mo><mi data-part="prediction">p</mi><mo>)</mo></mrow></math>
    <math display="block"><mrow><msup><mrow><mo>(</mo><mi data-part="prediction">p</mi><mo>−</mo><mi data-part="target">x</mi><mo>)</mo></mrow><mn>2</mn></msup><mo>/</mo><mn>2</mn><mi>v</mi><mtext>,&nbsp;&nbsp;</mtext><mi>v</mi><mo>=</mo><mfrac><mn>1</mn><mn>4</mn></mfrac></mrow></math>
    <p>A mean over pixels with <span data-part="beta">β = ${number(beta)}</span> is equivalent to a sum with
    <span data-part="beta">β = ${Math.round(beta * model.values).toLocaleString("en")}</span>. ${escapeText(model.source)}</p>`,
  numbers({ values: { target, prediction }, data: { constants: { variance } } }) {
    const gradients = pixelGradients(prediction, target, variance);
    const row = (side, name) => {
      const { p, bernoulli, gaussian } = excess(target, variance, side);
      return [name, `Extra cost of p = ${number(p)}`, `${number(bernoulli)} | ${number(gaussian)}`, "target"];
    };
    return [
      ["bce", "Cross-entropy", `${number(loss.bernoulli(prediction, target))} nats`, "target prediction"],
      ["squared", "Squared error, 2 (p − x)²", `${number(loss.gaussian(prediction, target, variance))} nats`, "target prediction"],
      ["slopes", "∂/∂p, BCE | squared", `${number(gradients.bernoulli.prediction)} | ${number(gradients.gaussian.prediction)}`, "target prediction"],
      row(1, "above"), row(-1, "below"),
    ];
  },
  drag: (_state, x, y, width, height) => (y < height * 0.52 + 20 ? { prediction: (x - 34) / (width - 44) } : null),
  draw: (state, width, height) => drawLosses(state, width, height) + drawGradients(state, width, height) + drawShares(state, width, height),
  why: `
    <p>Binary cross-entropy (BCE) treats p as the probability that the pixel is 1. At target 0.7, predicting 0.8
    costs more than predicting 0.6: closer to 1 the model is more confident, and an error costs more. Squared
    error, the negative log-likelihood of a Gaussian with variance v up to a constant, is symmetric. The last two
    numbers show how much more a prediction 0.1 above or below the target costs than p = x, BCE | squared.</p>
    <p>The last layer of the decoder outputs a logit, with p = 1 / (1 + e<sup>−logit</sup>). With respect to the
    logit, the gradient of the cross-entropy is p − x. That of the squared error is (p − x) p (1 − p) / v, which
    vanishes for p near 0 or 1, even if the prediction is wrong.</p>
    <p>The ELBO sums over pixels. A mean divides the reconstruction term by their number, but not the KL term. This
    has the same minimum as a sum with β multiplied by that number, where posteriors collapse.</p>
    <p><a href="https://arxiv.org/abs/1312.6114" target="_blank" rel="noopener">Kingma &amp; Welling 2014</a>, appendix C;
    <a href="https://openreview.net/forum?id=Sy2fzU9gl" target="_blank" rel="noopener">Higgins et al. 2017</a></p>`,
};
