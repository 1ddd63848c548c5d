/* The latent map: after each epoch the points glide from where they were to where they are. */

const GLIDE = 190; // ms
const RADIUS = 1.6; // px
const SIGMAS = [1, 2, 3];

/** Turn or mirror points about the origin so that they lie as near as can be to others: principal
 *  components have no direction of their own. */
function turnTo(points, others) {
  const m = [0, 0, 0, 0]; // sum of other × pointᵀ
  for (let k = 0; k < points.length; k += 2)
    for (let i = 0; i < 2; i++) for (let j = 0; j < 2; j++) m[2 * i + j] += others[k + i] * points[k + j];
  const turned = [m[0] + m[3], m[2] - m[1]], mirrored = [m[0] - m[3], m[2] + m[1]];
  const sign = Math.hypot(...turned) >= Math.hypot(...mirrored) ? 1 : -1;
  const [c, s] = sign > 0 ? turned : mirrored, size = Math.hypot(c, s) || 1;
  return points.map((_, k) => (k % 2
    ? (s * points[k - 1] + sign * c * points[k]) / size
    : (c * points[k] - sign * s * points[k + 1]) / size));
}

function createMap(host) {
  const heading = element(host, "figcaption", "");
  const canvas = element(host, "canvas", "", { role: "img" });
  const legend = element(host, "div", "watch-legend");
  let data = null, epoch = null, timer = 0;
  let shown = null, from = null, to = null; // {points, half}
  const still = matchMedia("(prefers-reduced-motion: reduce)");

  function draw() {
    const side = canvas.clientWidth, scale = window.devicePixelRatio || 1;
    if (!side || !shown) return;
    if (canvas.width !== Math.round(side * scale)) canvas.width = canvas.height = Math.round(side * scale);
    const context = canvas.getContext("2d");
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, side, side);
    const place = (value) => (value / shown.half / 2) * side;
    if (data.rings) {
      context.strokeStyle = getComputedStyle(host).color;
      context.globalAlpha = 0.45;
      for (const sigma of SIGMAS) {
        context.beginPath();
        context.arc(side / 2, side / 2, place(sigma), 0, 2 * Math.PI);
        context.stroke();
      }
      context.globalAlpha = 1;
    }
    for (let k = 0; k < shown.points.length; k += 2) {
      context.fillStyle = data.colours[(data.labels ? data.labels[k / 2] : 0) % data.colours.length];
      context.beginPath();
      context.arc(side / 2 + place(shown.points[k]), side / 2 - place(shown.points[k + 1]), RADIUS, 0, 2 * Math.PI);
      context.fill();
    }
    host.dispatchEvent(new CustomEvent("vae-drawn", { bubbles: true, composed: true, detail: { epoch, z: shown.points, since: 0 } }));
  }

  function glide(began) {
    const step = (now) => {
      const t = Math.max(0, Math.min(1, (now - began) / GLIDE)), eased = t * t * (3 - 2 * t);
      shown = {
        half: from.half + eased * (to.half - from.half),
        points: to.points.map((value, k) => from.points[k] + eased * (value - from.points[k])),
      };
      draw();
      timer = t < 1 ? requestAnimationFrame(step) : 0;
    };
    cancelAnimationFrame(timer);
    timer = requestAnimationFrame(step);
  }

  const resize = new ResizeObserver(draw);
  resize.observe(canvas);
  return {
    update(given, number) {
      const news = number !== epoch;
      data = given;
      epoch = number;
      heading.innerHTML = `<b>Latent map</b><span>after epoch ${number}</span>`;
      canvas.setAttribute("aria-label", `Latent map after epoch ${number}: ${data.axes.join(" and ")}`);
      legend.replaceChildren(...data.label_names.map((name, k) => {
        const entry = document.createElement("span");
        entry.style.setProperty("--class-colour", data.colours[k % data.colours.length]);
        entry.textContent = name;
        return entry;
      }));
      if (!news) return draw();
      const points = floats(data.points);
      const same = shown && shown.points.length === points.length;
      to = { points: same && data.turns ? turnTo(points, to.points) : points, half: data.half };
      if (!same || still.matches) {
        shown = to;
        return draw();
      }
      from = shown;
      return glide(performance.now());
    },
    destroy() {
      cancelAnimationFrame(timer);
      resize.disconnect();
    },
  };
}
