// View: a face, changed.

const FEATHER = 0.16; // these are those of faces/editing.py
const [UNSEEN, SEEN] = [0.01, 0.05];
const SPREAD = 0.03;
const FACE = [0.4, 0.8, 0.32, 0.68];
const COLOUR = 2 / 64;
const [FORM, BLUR] = [3 / 64, 1.2 / 64];
const [KEPT, LOST] = [0.06, 0.2];
const REPLACED = 0.85;

const smooth = (t) => {
  const within = Math.max(0, Math.min(1, t));
  return within * within * (3 - 2 * within);
};

/** 1 in the middle of a crop and 0 at its border. */
function cropWindow(size) {
  const edge = Array.from({ length: size }, (_, i) => smooth(Math.min((i + 0.5) / size, 1 - (i + 0.5) / size) / FEATHER));
  return Float32Array.from({ length: size * size }, (_, i) => edge[Math.floor(i / size)] * edge[i % size]);
}

/** Filter a map (size x size) along its rows, then along its columns; its border goes on for ever.
 *
 * `filter(line, to, reach)` is given a line with `reach` more at each end, and fills `to` (size).
 */
function filterBoth(map, size, reach, filter) {
  const line = new Float32Array(size + 2 * reach);
  const filtered = new Float32Array(size);
  const along = (from, start, stride) => {
    const to = new Float32Array(size * size);
    for (let k = 0; k < size; k++) {
      const first = k * start;
      for (let i = 0; i < line.length; i++) {
        line[i] = from[first + Math.max(0, Math.min(size - 1, i - reach)) * stride];
      }
      filter(line, filtered, reach);
      for (let i = 0; i < size; i++) to[first + i * stride] = filtered[i];
    }
    return to;
  };
  return along(along(map, size, 1), 1, size);
}

/** How much of a change (size x size, its strength) is one, with room around it. */
function whereChanged(strength, size) {
  const reach = Math.max(1, Math.round(SPREAD * size));
  const largest = filterBoth(strength, size, reach, (line, to) => {
    for (let i = 0; i < size; i++) {
      let most = 0;
      for (let k = 0; k <= 2 * reach; k++) most = Math.max(most, line[i + k]);
      to[i] = most;
    }
  });
  return blurred(largest, size, reach).map((value) => smooth((value - UNSEEN) / (SEEN - UNSEEN)));
}

/** A Gaussian filter, of a standard deviation in pixels. */
function blurred(map, size, deviation) {
  const reach = Math.ceil(3 * deviation);
  const weights = Array.from({ length: 2 * reach + 1 }, (_, k) => Math.exp(-((k - reach) ** 2) / (2 * deviation ** 2)));
  const whole = weights.reduce((sum, weight) => sum + weight);
  return filterBoth(map, size, reach, (line, to) => {
    for (let i = 0; i < size; i++) {
      let sum = 0;
      for (let k = 0; k <= 2 * reach; k++) sum += weights[k] * line[i + k];
      to[i] = sum / whole;
    }
  });
}

/** The largest of three bands' absolute values, in each place. */
function largestOf(bands) {
  const [red, green, blue] = bands;
  return red.map((value, i) => Math.max(Math.abs(value), Math.abs(green[i]), Math.abs(blue[i])));
}

/** How much a change is one of forms, not of light or colour. */
function whereFormsChange(change, size) {
  const rough = change.map((band) => {
    const light = blurred(band, size, FORM * size);
    return band.map((value, i) => value - light[i]);
  });
  return blurred(largestOf(rough), size, BLUR * size).map((value) => smooth((value - KEPT) / (LOST - KEPT)));
}

/** The change (three bands) without the light that most of the face shares, its colour softened. */
function withoutLight(change, size, detail) {
  const [top, bottom, left, right] = FACE.map((share) => Math.floor(share * size));
  const rows = Array.from({ length: bottom - top }, (_, i) => (top + i) * size);
  const [red, green, blue] = change.map((band) => {
    const face = Float32Array.from(rows.flatMap((row) => [...band.subarray(row + left, row + right)])).sort();
    const shared = face[face.length >> 1];
    const [low, high] = [Math.min(shared, 0), Math.max(shared, 0)];
    return band.map((value) => value - detail * Math.max(low, Math.min(high, value)));
  });
  const grey = red.map((value, i) => (value + green[i] + blue[i]) / 3);
  const [reds, greens] = [red, green].map((band) => blurred(band.map((value, i) => value - grey[i]), size, COLOUR * size));
  const blues = reds.map((value, i) => -value - greens[i]); // colours add up to none
  return [[red, reds], [green, greens], [blue, blues]].map(([band, soft]) =>
    band.map((value, i) => value + detail * (grey[i] + soft[i] - value)));
}

/** Add three layers (size x size each) to a picture, enlarged smoothly; `taken` of it goes. */
function layOver(photo, layers, taken, size, target) {
  const { width: side, data: out } = target;
  const places = Array.from({ length: side }, (_, i) => {
    const at = Math.max(0, Math.min(size - 1, ((i + 0.5) * size) / side - 0.5));
    const low = Math.min(Math.floor(at), size - 2);
    return [low, smooth(at - low)];
  });
  const maps = [...layers, taken];
  const lines = maps.map(() => new Float32Array(size)); // between two rows of each
  for (let y = 0; y < side; y++) {
    const [row, v] = places[y];
    maps.forEach((map, m) => {
      for (let k = 0, i = row * size; k < size; k++, i++) lines[m][k] = map[i] + v * (map[i + size] - map[i]);
    });
    const [red, green, blue, gone] = lines;
    for (let x = 0, i = 4 * y * side; x < side; x++, i += 4) {
      const [column, u] = places[x];
      const next = column + 1;
      const kept = 1 - gone[column] - u * (gone[next] - gone[column]);
      out[i] = kept * photo[i] + red[column] + u * (red[next] - red[column]);
      out[i + 1] = kept * photo[i + 1] + green[column] + u * (green[next] - green[column]);
      out[i + 2] = kept * photo[i + 2] + blue[column] + u * (blue[next] - blue[column]);
      out[i + 3] = 255;
    }
  }
}

function createEdit(host) {
  const frame = element(host, "div", "vae-wipe");
  const before = element(frame, "img", "");
  const after = element(frame, "canvas", "", { role: "img" });
  const line = element(frame, "i", "");
  const bar = element(host, "div", "vae-player");
  element(bar, "span", "").textContent = "Before";
  const wipe = element(bar, "input", "", {
    type: "range", min: 0, max: 1, step: 0.01, value: 0.5, "aria-label": "Wipe between before and after",
  });
  element(bar, "span", "").textContent = "After";
  const apart = element(bar, "button", "", { type: "button", "aria-pressed": false });
  apart.textContent = "Side by side";
  apart.addEventListener("click", () => {
    const on = host.classList.toggle("vae-apart");
    apart.setAttribute("aria-pressed", on);
    showWipe();
  });
  const notes = createNotes(host);
  let data, channel, unfollow, checkpoint, feed, z, vectors;
  let photo = null; // pixels of the picture
  let unmoved = null; // pixels of z as it is, decoded
  let answer = null; // the last picture, of z as it was moved
  let shownDetail = null;
  let known = ""; // which face it is
  let [asked, drawnNumber] = [0, 0];

  function showWipe() {
    const share = `${host.classList.contains("vae-apart") ? 0 : 100 * Number(wipe.value)}%`;
    after.style.clipPath = `inset(0 0 0 ${share})`;
    line.style.left = share;
  }

  function moveTo(event) {
    if (!event.buttons && event.type !== "pointerdown") return;
    const box = frame.getBoundingClientRect();
    wipe.value = (event.clientX - box.left) / box.width;
    showWipe();
  }

  wipe.addEventListener("input", showWipe);
  frame.addEventListener("pointerdown", (event) => {
    frame.setPointerCapture(event.pointerId);
    moveTo(event);
  });
  frame.addEventListener("pointermove", moveTo);

  function ask(since) {
    const d = data.latent_dim;
    const moved = z.slice();
    for (const [name, vector] of Object.entries(vectors)) {
      const amount = channel.values[name] ?? 0;
      if (amount) for (let k = 0; k < d; k++) moved[k] += amount * vector[k];
    }
    // The face as it is has to be decoded once only.
    const number = ++asked;
    feed(() => ({ z: unmoved ? moved : Float32Array.of(...z, ...moved), of: z, number, since }));
  }

  function draw() {
    if (!answer || !unmoved || !photo) return;
    const { width: size } = answer;
    const detail = (shownDetail = channel.values[data.detail] ?? 1);
    const window = cropWindow(size);
    const [a, b] = [unmoved, answer.pixels];
    const change = withoutLight([0, 1, 2].map((c) =>
      Float32Array.from({ length: size * size }, (_, i) => (b[4 * i + c] - a[4 * i + c]) / 255)), size, detail);
    const where = whereChanged(largestOf(change), size);
    const forms = whereFormsChange(change, size);
    const gone = forms.map((form) => 1 - detail * (1 - REPLACED * form));
    const taken = window.map((w, i) => w * gone[i]);
    const layers = change.map((band, c) => band.map((value, i) =>
      window[i] * Math.max(detail * where[i] + 1 - detail, gone[i]) * 255 * value + taken[i] * a[4 * i + c]));
    const image = new ImageData(data.size, data.size);
    layOver(photo, layers, taken, size, image);
    after.getContext("2d").putImageData(image, 0, 0);
  }

  return {
    update(component) {
      data = component.data;
      const packed = data.z + data.checkpoint;
      if (packed !== known) {
        known = packed;
        z = floats(data.z);
        unmoved = answer = null;
      }
      vectors = Object.fromEntries(Object.entries(data.vectors).map(([name, packed]) => [name, floats(packed)]));
      if (checkpoint !== data.checkpoint) {
        checkpoint = data.checkpoint;
        feed = createFeed(createSource(checkpoint), notes, (pictures, request) => {
          if (request.of !== z || request.number < drawnNumber) return; // of another face, or overtaken
          drawnNumber = request.number;
          const one = 4 * pictures.width * pictures.height;
          if (pictures.count === 2) unmoved = pictures.pixels.subarray(0, one);
          answer = { width: pictures.width, pixels: pictures.pixels.subarray(-one) };
          draw();
          announce(host, request);
        }, () => component.setStateValue("unreachable", true), LANES);
      }
      if (before.src !== data.picture) {
        before.src = data.picture;
        photo = null;
        const asked = data.picture;
        Object.assign(after, { width: data.size, height: data.size });
        readPicture(asked, data.size).then((pixels) => {
          if (asked !== data.picture) return;
          photo = pixels;
          draw();
        });
      }
      before.alt = data.name;
      after.setAttribute("aria-label", data.description);
      unfollow?.();
      channel = openChannel(data.channel);
      channel.give(data.values);
      unfollow = channel.follow((since) => {
        if (shownDetail !== channel.values[data.detail]) draw();
        ask(since);
      });
      showWipe();
      ask(0);
    },
    destroy() {
      unfollow?.();
    },
  };
}
