// The VAE objective in closed form: pure functions, in nats. Mirrors objective.py, bubbles.py and losses.py;
// tests/browser/test_objective_maths.py compares the two.

const LOG_2_PI = Math.log(2 * Math.PI);

const logNormal = (x, mean, std) => -0.5 * ((x - mean) / std) ** 2 - Math.log(std) - 0.5 * LOG_2_PI;
export const normalDensity = (x, mean, std) => Math.exp(logNormal(x, mean, std));

export function meanOf(values) {
  let sum = 0;
  for (const value of values) sum += value;
  return sum / values.length;
}

function deviationOf(values) {
  const mean = meanOf(values);
  return Math.sqrt(meanOf(Array.from(values, (value) => (value - mean) ** 2)));
}

// ------------------------------------------------------------------ reparameterisation

/** Estimates of d/dmu E[(z - target)^2 / 2], each from `samples` of the rows of `noise`. */
export function gradientEstimates(mu, sigma, target, noise, samples, stride) {
  const pathwise = [], score = [], ofSigma = [];
  for (let row = 0; row < noise.length; row += stride) {
    let p = 0, s = 0, g = 0;
    for (let i = row; i < row + samples; i++) {
      const error = mu + sigma * noise[i] - target;
      p += error;
      g += error * noise[i];
      s += ((error ** 2 / 2) * noise[i]) / sigma;
    }
    pathwise.push(p / samples);
    ofSigma.push(g / samples);
    score.push(s / samples);
  }
  return { pathwise, score, ofSigma };
}

export function gradientDeviations(mu, sigma, target, samples) {
  const a = mu - target;
  const score = (a ** 4 + 18 * a ** 2 * sigma ** 2 + 15 * sigma ** 4) / (4 * sigma ** 2) - a ** 2;
  return { pathwise: sigma / Math.sqrt(samples), score: Math.sqrt(score / samples) };
}

// ------------------------------------------------------------------ KL

/** The two terms of KL(N(mu, sigma^2) || N(0, 1)), halved, so that they add up to it. */
export function klTerms(mu, logVar) {
  const mean = mu ** 2 / 2;
  const spread = (Math.exp(logVar) - logVar - 1) / 2;
  return { mean, spread, kl: mean + spread };
}

export const reverseKl = (mu, logVar) => 0.5 * ((1 + mu ** 2) * Math.exp(-logVar) + logVar - 1);

/** Monte Carlo estimate: the mean of log q - log p over samples of q, and its standard error. */
export function klMonteCarlo(mu, sigma, noise) {
  const ratios = Float64Array.from(noise, (e) => logNormal(mu + sigma * e, mu, sigma) - logNormal(mu + sigma * e, 0, 1));
  return { value: meanOf(ratios), error: deviationOf(ratios) / Math.sqrt(noise.length) };
}

// ------------------------------------------------------------------ one pixel

export const logit = (p) => Math.log(p / (1 - p));
const sigmoid = (t) => 1 / (1 + Math.exp(-t));
/** Binary cross-entropy of a logit, without overflow. */
export const bernoulliNll = (t, target) => Math.max(t, 0) - t * target + Math.log1p(Math.exp(-Math.abs(t)));
export const gaussianNll = (t, target, variance) => (sigmoid(t) - target) ** 2 / (2 * variance);

/** Gradients of both losses, by the prediction p and by its logit. */
export function pixelGradients(p, target, variance) {
  const slope = p * (1 - p);
  return {
    bernoulli: { prediction: (p - target) / slope, logit: p - target },
    gaussian: { prediction: (p - target) / variance, logit: ((p - target) * slope) / variance },
  };
}

// ------------------------------------------------------------------ the bound

/** z ~ N(0, 1), x | z ~ N(z, noise^2), q = N(mu, sigma^2): all parts of log p(x). */
export function boundParts(mu, sigma, x, noise) {
  const share = 1 / (1 + noise ** 2);
  const posterior = { mean: share * x, std: noise * Math.sqrt(share) };
  const reconstruction = logNormal(x, mu, noise) - sigma ** 2 / (2 * noise ** 2);
  const { kl } = klTerms(mu, 2 * Math.log(sigma));
  const ratio = (sigma / posterior.std) ** 2;
  const gap = 0.5 * (ratio - 1 - Math.log(ratio) + ((mu - posterior.mean) / posterior.std) ** 2);
  const evidence = logNormal(x, 0, Math.sqrt(1 + noise ** 2));
  return { posterior, reconstruction, kl, elbo: reconstruction - kl, gap, evidence };
}

/** log p(x, z) - log q(z) at z = mu + sigma e. */
export function logWeights(mu, sigma, x, noise, draws) {
  return Float64Array.from(draws, (e) => {
    const z = mu + sigma * e;
    return logNormal(z, 0, 1) + logNormal(x, z, noise) - logNormal(z, mu, sigma);
  });
}

/** The mean of log (w_1 + ... + w_k) / k over groups of k weights. */
export function importanceBound(weights, k) {
  let sum = 0;
  for (let i = 0; i < weights.length; i += k) {
    let largest = -Infinity, total = 0;
    for (let j = i; j < i + k; j++) largest = Math.max(largest, weights[j]);
    for (let j = i; j < i + k; j++) total += Math.exp(weights[j] - largest);
    sum += largest + Math.log(total / k);
  }
  return sum / (weights.length / k);
}

// ------------------------------------------------------------------ bubbles: {x, y, r}

/** Both loss terms of each bubble, and their negative gradients by x, y and log r. */
export function bubbleForces(bubbles, confusion, tail) {
  const n = bubbles.length;
  const pairs = bubbles.map((a) => bubbles.map((b) => {
    const spread = a.r ** 2 + b.r ** 2;
    const apart = [a.x - b.x, a.y - b.y];
    const distance = apart[0] ** 2 + apart[1] ** 2;
    const scaled = distance / (2 * tail * spread);
    return { spread, apart, distance, reach: spread * (1 + scaled), overlap: a === b ? 0 : (1 + scaled) ** -tail };
  }));
  const others = pairs.map((row) => row.reduce((sum, pair) => sum + pair.overlap, 0));
  return bubbles.map((a, i) => {
    const push = { x: 0, y: 0, r: 0 };
    for (let j = 0; j < n; j++) {
      const { spread, apart, distance, reach, overlap } = pairs[i][j];
      const pull = (confusion * overlap * (1 / (1 + others[i]) + 1 / (1 + others[j]))) / reach;
      push.x += pull * apart[0];
      push.y += pull * apart[1];
      push.r -= ((pull * distance) / spread) * a.r ** 2;
    }
    return {
      reconstruction: confusion * Math.log1p(others[i]),
      kl: (a.x ** 2 + a.y ** 2) / 2 + a.r ** 2 - 2 * Math.log(a.r) - 1,
      push,
      pull: { x: -a.x, y: -a.y, r: 2 - 2 * a.r ** 2 },
    };
  });
}

const totalOf = (forces, beta) => forces.reduce((sum, each) => sum + each.reconstruction + beta * each.kl, 0);

/** One step of gradient descent with an adaptive rate; `held`: a bubble whose centre is fixed. */
export function stepBubbles(bubbles, { confusion, tail, farthest }, beta, rate, held = -1) {
  const forces = bubbleForces(bubbles, confusion, tail);
  const along = (force, axis, i) =>
    i === held && axis !== "r" ? 0 : force.push[axis] + (beta ? beta * force.pull[axis] : 0);
  const steepest = Math.max(...forces.flatMap((each, i) => ["x", "y", "r"].map((axis) => Math.abs(along(each, axis, i)))));
  const length = Math.min(rate, farthest / Math.max(steepest, 1e-300));
  const moved = bubbles.map((each, i) => ({
    ...each,
    x: each.x + length * along(forces[i], "x", i),
    y: each.y + length * along(forces[i], "y", i),
    r: each.r * Math.exp(length * along(forces[i], "r", i)),
  }));
  if (totalOf(bubbleForces(moved, confusion, tail), beta) > totalOf(forces, beta)) {
    return { bubbles, rate: length / 2, moved: 0 };
  }
  return { bubbles: moved, rate: 1.1 * length, moved: length * steepest };
}
