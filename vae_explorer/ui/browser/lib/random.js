// Random numbers that are reproducible by their seed, and latents drawn from a prior.

/** A generator of numbers in [0, 1): mulberry32. */
export function createUniform(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Samples of N(0, 1). */
export function drawNormals(count, seed) {
  const uniform = createUniform(seed);
  return Float64Array.from({ length: count }, () =>
    Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform())); // Box & Muller
}

/** Draw `count` latents of d values from a prior: {z at temperature 1, centre at temperature 0}, one after another.
 *
 * prior: {kind: "gaussian", mean, factor: lower triangle of the Cholesky factor in rows}, N(0, I) without these two;
 * or {kind: "box", low, high}. The same seed gives the same latents, and a larger count only adds some at the end.
 */
export function drawLatents(prior, d, count, seed) {
  const z = new Float32Array(count * d);
  const centre = new Float32Array(count * d);
  const isBox = prior.kind === "box";
  const noise = isBox ? Array.from({ length: count * d }, createUniform(seed)) : drawNormals(count * d, seed);
  for (let i = 0; i < count; i++) {
    for (let row = 0, at = 0; row < d; row++) {
      const k = i * d + row;
      if (isBox) {
        centre[k] = (prior.low[row] + prior.high[row]) / 2;
        z[k] = prior.low[row] + noise[k] * (prior.high[row] - prior.low[row]);
      } else {
        centre[k] = prior.mean?.[row] ?? 0;
        let away = prior.factor ? 0 : noise[k];
        if (prior.factor) for (let column = 0; column <= row; column++) away += prior.factor[at++] * noise[i * d + column];
        z[k] = centre[k] + away;
      }
    }
  }
  return { z, centre };
}
