// Figure: the loss of one pixel, cross-entropy and squared error; sum or mean over pixels.

import { DIVERGENCE, INK, RECONSTRUCTION, TOUCH, box, dot, legend, line, number, plot, text } from "../../lib/svg.js";
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
    legend(0, 22, width - 40, [[RECONSTRUCTION, "binary cross-entropy"], [DIVERGENCE, "squared error × 2"]]);
}

function drawGradients({ values: { target, prediction }, data }, width, height) {
  const { variance } = data.constants;
  const view = plot({ left: 34, top: height * 0.52 + 68, width: width * 0.44 - 34, height: height * 0.48 - 100 }, [0, 1], [-1, 1]);
  const slope = (kind) => (p) => pixelGradients(inside(p), target, variance)[kind].logit;
  return text(0, height * 0.52 + 52, "gradient, by the logit", { size: 17 }) +
    view.up([-1, 0, 1]) + view.across([0, 0.5, 1], "") +
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
  return row(top, `Sum over ${model.values.toLocaleString("en")} values`, model.reconstruction) +
    row(top + (height - top) * 0.48, "Mean over them", model.reconstruction / model.values);
}

export const pixel = {
  sentence: "Move target and prediction: what does a miss cost, which way does it pull, and what does a mean over pixels do to β?",
  description: "Both losses of one pixel over its prediction, their gradients, and what share of the whole loss each term has.",
  formula: ({ data: { model }, values: { beta } }) => `<math display="block"><mrow><mo>−</mo><mi data-part="target">x</mi><mi>log</mi><mo>&ApplyFunction;</mo><mi data-part="prediction">p</mi><mo>−</mo>
      <mo>(</mo><mn>1</mn><mo>−</mo><mi data-part="target">x</mi><mo>)</mo><mi>log</mi><mo>&ApplyFunction;</mo><mo>(</mo><mn>1</mn><mo>−</mo><mi data-part="prediction">p</mi><mo>)</mo></mrow></math>
    <math display="block"><mrow><msup><mrow><mo>(</mo><mi data-part="prediction">p</mi><mo>−</mo><mi data-part="target">x</mi><mo>)</mo></mrow><mn>2</mn></msup><mo>/</mo><mn>2</mn><mi>v</mi><mtext>,&nbsp;&nbsp;</mtext><mi>v</mi><mo>=</mo><mfrac><mn>1</mn><mn>4</mn></mfrac></mrow></math>
    <p>The mean with <span data-part="beta">β = ${number(beta)}</span> is the sum with <span data-part="beta">β = ${Math.round(beta * model.values).toLocaleString("en")}</span>.</p>`,
  numbers({ values: { target, prediction }, data: { constants: { variance } } }) {
    const gradients = pixelGradients(prediction, target, variance);
    const row = (side, name) => {
      const { p, bernoulli, gaussian } = excess(target, variance, side);
      return [name, `${number(target)} taken for ${number(p)}`, `${number(bernoulli)} | ${number(gaussian)}`, "target"];
    };
    return [
      ["bce", "Cross-entropy", `${number(loss.bernoulli(prediction, target))} nats`, "target prediction"],
      ["squared", "Squared error × 2", `${number(loss.gaussian(prediction, target, variance))} nats`, "target prediction"],
      ["slopes", "Slopes by p", `${number(gradients.bernoulli.prediction)} | ${number(gradients.gaussian.prediction)}`, "target prediction"],
      row(1, "above"), row(-1, "below"),
    ];
  },
  drag: (_state, x, y, width, height) => (y < height * 0.52 + 20 ? { prediction: (x - 34) / (width - 44) } : null),
  draw: (state, width, height) => drawLosses(state, width, height) + drawGradients(state, width, height) + drawShares(state, width, height),
  why: `
    <p>Cross-entropy reads p as the chance that the pixel is white. With target 0.7, a prediction of 0.8 costs
    more than one of 0.6: nearer to 1 the model claims to be surer, and pays more for being wrong. Squared error
    charges both sides alike. In the two lines above stand what each miss adds, cross-entropy | squared error.</p>
    <p>The decoder's last layer gives a logit, p = 1 / (1 + e<sup>−logit</sup>). By it the slope of the
    cross-entropy is p − x; that of the squared error has a factor p (1 − p) more, and fades where the
    prediction is sure and wrong.</p>
    <p>The ELBO sums over pixels. A mean divides the reconstruction by their number and leaves the KL term as it
    is: the same as a β so many times as large, at which posteriors collapse. The bars show it with the numbers of
    the model in the sidebar (a plain autoencoder has no KL: 10 nats are taken).</p>
    <p><a href="https://arxiv.org/abs/1312.6114" target="_blank" rel="noopener">Kingma &amp; Welling 2014</a>, appendix C;
    <a href="https://openreview.net/forum?id=Sy2fzU9gl" target="_blank" rel="noopener">Higgins et al. 2017</a></p>`,
};
