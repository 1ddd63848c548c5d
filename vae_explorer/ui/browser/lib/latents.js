// Latent-space arithmetic: planes, interpolation, normal quantiles, grid steps.

/** Write z = origin + u axes[0] + v axes[1] into `z`, from `offset` on. */
export function planeToLatent(z, offset, plane, u, v) {
  for (let k = 0; k < plane.origin.length; k++) {
    z[offset + k] = plane.origin[k] + u * plane.axes[0][k] + v * plane.axes[1][k];
  }
}

/** The coordinates [u, v] of a latent on a plane, at right angles to it. */
export function latentToPlane(plane, z) {
  return plane.axes.map((axis) => axis.reduce((sum, part, k) => sum + part * (z[k] - plane.origin[k]), 0));
}

/** Linear interpolation. */
export function lerp(a, b, t) {
  return a.map((value, k) => (1 - t) * value + t * b[k]);
}

/** Spherical interpolation, the norm apart from the direction; the same as `slerp` in Python. */
export function slerp(a, b, t) {
  const norm = (z) => Math.hypot(...z);
  const [from, to] = [norm(a), norm(b)];
  const cosine = a.reduce((sum, value, k) => sum + (value / from) * (b[k] / to), 0);
  const angle = Math.acos(Math.max(-1, Math.min(1, cosine)));
  const sine = Math.sin(angle);
  if (!(sine >= 1e-4)) return lerp(a, b, t); // nearly parallel or opposite, or a norm of 0
  const length = (1 - t) * from + t * to;
  const [p, q] = [(Math.sin((1 - t) * angle) * length) / sine / from, (Math.sin(t * angle) * length) / sine / to];
  return a.map((value, k) => p * value + q * b[k]);
}

/** z at t in [0, 1] along a path of points (k x d), linear between them. */
export function alongPath(path, t, d) {
  const last = path.length / d - 1;
  const position = t * last;
  const from = Math.min(Math.floor(position), Math.max(last - 1, 0));
  const share = position - from;
  const to = Math.min(from + 1, last);
  return Float32Array.from({ length: d }, (_, k) => path[from * d + k] * (1 - share) + path[to * d + k] * share);
}

/** Inverse of the normal CDF (Acklam 2003; relative error below 1.2e-9). */
export function probit(p) {
  const q = Math.min(p, 1 - p);
  if (q < 0.02425) {
    const r = Math.sqrt(-2 * Math.log(Math.max(q, 1e-12)));
    const tail =
      (((((-7.784894002430293e-3 * r - 3.223964580411365e-1) * r - 2.400758277161838) * r - 2.549732539343734) * r +
        4.374664141464968) * r + 2.938163982698783) /
      ((((7.784695709041462e-3 * r + 3.224671290700398e-1) * r + 2.445134137142996) * r + 3.754408661907416) * r + 1);
    return p < 0.5 ? tail : -tail;
  }
  const s = p - 0.5;
  const t = s * s;
  return (
    ((((((-3.969683028665376e1 * t + 2.209460984245205e2) * t - 2.759285104469687e2) * t + 1.38357751867269e2) * t -
      3.066479806614716e1) * t + 2.506628277459239) * s) /
    (((((-5.447609879822406e1 * t + 1.615858368580409e2) * t - 1.556989798598866e2) * t + 6.680131188771972e1) * t -
      1.328068155288572e1) * t + 1)
  );
}

/** Normal CDF (Abramowitz & Stegun 7.1.26; absolute error below 1.5e-7). */
export function normalCdf(x) {
  const t = 1 / (1 + 0.3275911 * Math.abs(x) * Math.SQRT1_2);
  const series = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;
  const upper = 0.5 * series * Math.exp((-x * x) / 2);
  return x < 0 ? upper : 1 - upper;
}

/** n steps from -extent to extent, evenly spaced in z ("linear") or in the prior's probability. */
export function gridSteps(extent, n, spacing) {
  if (n === 1) return [0];
  const even = Array.from({ length: n }, (_, i) => i / (n - 1));
  if (spacing === "linear") return even.map((t) => (2 * t - 1) * extent);
  const low = normalCdf(-extent);
  const inner = even.slice(1, -1).map((t) => probit(low + t * (1 - 2 * low)));
  return [-extent, ...inner, extent]; // at the ends, p is too imprecise for its inverse
}
