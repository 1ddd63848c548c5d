// The latent space.

/** Lift plane coordinates (u, v) to z = origin + u axes[0] + v axes[1]. */
function liftInto(z, offset, plane, u, v) {
  for (let k = 0; k < plane.origin.length; k++) {
    z[offset + k] = plane.origin[k] + u * plane.axes[0][k] + v * plane.axes[1][k];
  }
}

/** Inverse of the normal CDF (Acklam 2003; relative error below 1.2e-9). */
function probit(p) {
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
function normalCdf(x) {
  const t = 1 / (1 + 0.3275911 * Math.abs(x) * Math.SQRT1_2);
  const series = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;
  const upper = 0.5 * series * Math.exp((-x * x) / 2);
  return x < 0 ? upper : 1 - upper;
}

/** n steps from -extent to extent, evenly in z or in the prior's probability. */
function gridSteps(extent, n, spacing) {
  if (n === 1) return [0];
  const even = Array.from({ length: n }, (_, i) => i / (n - 1));
  if (spacing === "linear") return even.map((t) => (2 * t - 1) * extent);
  const low = normalCdf(-extent);
  const inner = even.slice(1, -1).map((t) => probit(low + t * (1 - 2 * low)));
  return [-extent, ...inner, extent]; // so far out, p is too rough to find them from
}
