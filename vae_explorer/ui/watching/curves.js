/* Loss, reconstruction and KL: a faint line of the batches, and a line each of the training and of
 * the validation pictures, epoch by epoch. The numbers stand above; a pointer reads an epoch's. */

const PANELS = { loss: "Loss", reconstruction: "Reconstruction", kl: "KL" };
const HIGH = 82; // px of a panel
const EDGE = { left: 44, right: 8, top: 6, bottom: 20 };
const SETTLED = 0.1; // share of the values, from the first on, that the axis does not fit

const readable = (value) => (Math.abs(value) >= 100 ? value.toFixed(1) : value.toPrecision(3)).replace("-", "−");

/** Some three round values within an interval. */
function ticksOf(low, high) {
  const rough = (high - low) / 2.5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((multiple) => multiple * power >= rough) * power;
  const ticks = [];
  for (let k = Math.ceil(low / step); k * step <= high; k++) ticks.push(Number((k * step).toPrecision(6)));
  return ticks;
}

function createCurves(host) {
  let data = null, pointed = null;
  const panels = {};

  function panelOf(part) {
    if (panels[part]) return panels[part];
    const figure = element(host, "figure", "watch-panel", { "data-part": part });
    host.insertBefore(figure, note);
    const caption = element(figure, "figcaption", "");
    const svg = document.createElementNS(SVG, "svg");
    figure.append(svg);
    svg.addEventListener("pointermove", (event) => {
      const box = svg.getBoundingClientRect();
      const share = (event.clientX - box.left - EDGE.left) / (box.width - EDGE.left - EDGE.right);
      pointed = Math.round(share * lastOf(data));
      draw();
    });
    svg.addEventListener("pointerleave", () => {
      pointed = null;
      draw();
    });
    return (panels[part] = { figure, caption, svg });
  }

  const lastOf = ({ epochs, at }) => Math.max(1, epochs.at(-1) ?? 0, at.at(-1) ?? 0);

  function draw() {
    const { epochs, at } = data;
    const plain = data.train.kl.every((value) => value === 0) && data.batches.kl.every((value) => value === 0);
    for (const part of Object.keys(PANELS)) {
      const panel = panelOf(part);
      panel.figure.hidden = plain && part !== "loss";
      if (!panel.figure.hidden) drawPanel(panel, part, epochs, at);
    }
  }

  function drawPanel({ caption, svg }, part, epochs, at) {
    const batches = data.batches[part], train = data.train[part], validation = data.validation[part];
    const row = pointed === null ? epochs.length - 1 : epochs.indexOf(pointed);
    const when = pointed !== null && row >= 0 ? `epoch ${pointed}` : "";
    const values = row >= 0
      ? `<span class="watch-train">train ${readable(train[row])}</span><span class="watch-validation">validation ${readable(validation[row])}</span>`
      : batches.length ? `<span class="watch-train">train ${readable(batches.at(-1))}</span>` : "";
    caption.innerHTML = `<b>${PANELS[part]}</b>${values}<span class="watch-when">${when}</span>`;
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", caption.textContent);
    const width = svg.clientWidth || 300;
    const late = (list) => list.slice(Math.floor(list.length * SETTLED));
    const seen = [...late(batches), ...late(train), ...late(validation)];
    if (!seen.length) return void (svg.innerHTML = "");
    const room = Math.max(0.04 * (Math.max(...seen) - Math.min(...seen)), 0.01);
    const [low, high] = [Math.min(...seen) - room, Math.max(...seen) + room];
    const last = lastOf(data);
    const x = (epoch) => EDGE.left + (epoch / last) * (width - EDGE.left - EDGE.right);
    const y = (value) => EDGE.top + (1 - (value - low) / (high - low)) * (HIGH - EDGE.top - EDGE.bottom);
    const path = (places, list) => list.map((value, k) => `${k ? "L" : "M"}${x(places[k]).toFixed(1)} ${y(value).toFixed(1)}`).join("");
    const line = (name, places, list) => list.length > 1
      ? `<path class="${name}" d="${path(places, list)}"/>`
      : list.map((value) => `<circle class="${name}" cx="${x(places[0])}" cy="${y(value)}" r="3"/>`).join("");
    const across = last < 6 ? Array.from({ length: Math.floor(last) + 1 }, (_, k) => k) : ticksOf(0, last).filter(Number.isInteger);
    svg.innerHTML = `<clipPath id="clip-${part}"><rect x="${EDGE.left}" y="0" width="${width - EDGE.left}" height="${HIGH - EDGE.bottom + 2}"/></clipPath>` +
      ticksOf(low, high).map((tick) => `<line class="watch-grid" x1="${EDGE.left}" x2="${width - EDGE.right}" y1="${y(tick)}" y2="${y(tick)}"/>` +
        `<text x="${EDGE.left - 6}" y="${y(tick) + 4}" text-anchor="end">${String(tick).replace("-", "−")}</text>`).join("") +
      across.map((tick) => `<text x="${x(tick)}" y="${HIGH - 4}" text-anchor="middle">${tick}</text>`).join("") +
      `<g clip-path="url(#clip-${part})">${line("watch-batches", at, batches)}${line("watch-train", epochs, train)}${line("watch-validation", epochs, validation)}</g>` +
      (when ? `<line class="watch-pointed" x1="${x(pointed)}" x2="${x(pointed)}" y1="0" y2="${HIGH - EDGE.bottom}"/>` : "");
  }

  const note = element(host, "p", "watch-note");
  note.textContent = "In nats per image, epoch by epoch. The thin line: the batches as they come.";
  const resize = new ResizeObserver(() => data && draw());
  resize.observe(host);
  return {
    update(given) {
      data = given;
      draw();
    },
    destroy: () => resize.disconnect(),
  };
}
