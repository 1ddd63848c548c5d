// One training on the stage of playback: its map, its decoded grid, its pictures.

const DOT_RADIUS = 1.4; // px
const FEW_DOTS = 800;
const FEW_RADIUS = 2.6; // px, of so few or fewer
const MOST_SCALE = 2; // device pixels a pixel: more cost time that nobody sees

/** A picture that holds many, drawn one or two at a time; `ready` once it is there. */
function createSheet({ src, columns, width, height }, whenReady) {
  const picture = new Image();
  let ready = false;
  picture.src = src;
  picture.decode().then(() => {
    ready = true;
    whenReady();
  }, () => {});
  const put = (context, index) => {
    const [x, y] = [(index % columns) * width, Math.floor(index / columns) * height];
    context.drawImage(picture, x, y, width, height, 0, 0, width, height);
  };
  return {
    /** Fade from one of its pictures to another, `share` of the way. */
    draw(canvas, from, to, share) {
      if (!ready) return;
      if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
      const context = canvas.getContext("2d");
      context.globalAlpha = 1;
      put(context, from);
      if (!share) return;
      context.globalAlpha = share;
      put(context, to);
    },
  };
}

const bytes = (base64) => Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));

/** Where an epoch lies among ascending ones: between which two, and at what share of the way. */
function placeOf(numbers, epoch) {
  let to = numbers.findIndex((number) => number > epoch);
  if (to === 0) return { from: 0, to: 0, share: 0 };
  if (to < 0) return { from: numbers.length - 1, to: numbers.length - 1, share: 0 };
  const from = to - 1;
  const share = (epoch - numbers[from]) / (numbers[to] - numbers[from]);
  return { from, to: share ? to : from, share };
}

/** Offsets of the pixels of a dot in an image so many pixels wide, and of its rim, half covered. */
function dotOffsets(radius, width) {
  const [inside, rim] = [[], []];
  const reach = Math.ceil(radius);
  for (let y = -reach; y <= reach; y++) {
    for (let x = -reach; x <= reach; x++) {
      const far = Math.hypot(x, y) - radius;
      if (far <= 0.5) (far <= 0 ? inside : rim).push(y * width + x);
    }
  }
  return { inside, rim, reach };
}

function createRecording(parent, given, whenReady) {
  const cell = element(parent, "section", "vae-recording");
  const heading = element(cell, "header", "");
  element(heading, "b", "", { title: given.title }).textContent = given.title;
  const told = element(heading, "output", "vae-epoch");
  const figure = (name) => {
    const made = element(element(cell, "figure", `vae-${name}`), "canvas", "", { role: "img" });
    return { canvas: made, words: element(made.parentElement, "figcaption", "") };
  };
  const map = figure("played");
  const grid = given.grid && figure("decoded");
  const strip = element(cell, "div", "vae-reconstructions");
  const row = (name) => {
    element(strip, "span", "").textContent = name;
    return element(strip, "canvas", "vae-picture", { role: "img", "aria-label": `${name} of held-out pictures` });
  };
  const originals = given.originals && row("originals");
  const redrawn = row("redrawn");

  const points = new Int16Array(bytes(given.points).buffer);
  const labels = new Int16Array(bytes(given.labels).buffer);
  const count = labels.length;
  const sheets = {
    originals: given.originals && createSheet(given.originals, () => sheets.originals.draw(originals, 0, 0, 0)),
    strips: createSheet(given.strips, whenReady),
    grid: given.grid && createSheet(given.grid.sheet, whenReady),
  };
  if (grid) {
    grid.words.textContent = "decoded all over the square";
    grid.canvas.setAttribute("aria-label", "Grid of decoded pictures");
  }
  let side = 0;
  let scale = 1;
  let image, words, dot;

  function measure() {
    side = map.canvas.clientWidth;
    scale = Math.min(window.devicePixelRatio || 1, MOST_SCALE);
    const size = Math.max(1, Math.round(side * scale));
    if (size === map.canvas.width && image) return;
    map.canvas.width = map.canvas.height = size;
    image = new ImageData(size, size);
    words = new Uint32Array(image.data.buffer);
    dot = dotOffsets((count > FEW_DOTS ? DOT_RADIUS : FEW_RADIUS) * scale, size);
  }

  /** Pixel by pixel: as paths, 10,000 points would take longer than a frame has. */
  function drawPoints(place, frame, inks, hidden) {
    const size = image.width;
    const [x0, y0, half] = frame;
    const { inside, rim, reach } = dot;
    const zoom = size / (2 * half);
    const [a, b] = [(1 - place.share) * given.unit * zoom, place.share * given.unit * zoom];
    const [left, top] = [size / 2 - x0 * zoom, size / 2 + y0 * zoom];
    let from = 2 * count * place.from;
    let to = 2 * count * place.to;
    words.fill(0);
    for (let i = 0; i < count; i++, from += 2, to += 2) {
      if (hidden.has(labels[i])) continue;
      const x = Math.round(left + points[from] * a + points[to] * b);
      const y = Math.round(top - points[from + 1] * a - points[to + 1] * b);
      if (x < reach || y < reach || x >= size - reach || y >= size - reach) continue;
      const ink = inks[labels[i] % inks.length];
      const middle = y * size + x;
      for (let k = 0; k < inside.length; k++) words[middle + inside[k]] = ink;
      const soft = ((ink & 0xffffff) | 0x80000000) >>> 0;
      for (let k = 0; k < rim.length; k++) words[middle + rim[k]] ||= soft;
    }
    const context = map.canvas.getContext("2d");
    context.putImageData(image, 0, 0);
    if (!given.rings) return;
    context.strokeStyle = getComputedStyle(cell).color;
    for (const sigma of RINGS) {
      context.lineWidth = (sigma === 1 ? 1.5 : 0.75) * scale;
      context.beginPath();
      context.arc(left, top, sigma * zoom, 0, 2 * Math.PI);
      context.stroke();
    }
  }

  const mixed = (list, { from, to, share }) => list[from].map((value, k) => value + share * (list[to][k] - value));

  return {
    cell, measure,
    first: given.numbers[0],
    last: given.numbers.at(-1),
    draw(epoch, { inks, hidden, follow }) {
      if (!side) measure();
      if (!side) return;
      const place = placeOf(given.numbers, epoch);
      const frame = follow ? mixed(given.frames, place) : given.frame;
      drawPoints(place, frame, inks, hidden);
      sheets.strips.draw(redrawn, place.from, place.to, place.share);
      if (grid) {
        const near = placeOf(given.grid.epochs, epoch);
        sheets.grid.draw(grid.canvas, near.from, near.to, near.share);
      }
      told.textContent = `epoch ${Math.round(epoch)} of ${given.numbers.at(-1)}`;
      const ends = [0, 1].map((k) => `${given.axes[k]} ${short(frame[k] - frame[2], 2)} … ${short(frame[k] + frame[2], 2)}`);
      map.words.textContent = [...ends, ...(given.rings ? [`circles: ${RINGS.join(", ")} σ of the prior`] : [])].join(", ");
      map.canvas.setAttribute("aria-label", `${count} encodings at epoch ${Math.round(epoch)}`);
    },
  };
}
