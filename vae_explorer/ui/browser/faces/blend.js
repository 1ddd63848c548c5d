// Blending a model's output into a photo: residual, replaced share, masks. As faces/editing.py and morphs.py.
//
// `constants` are those of the Python code, under its names, sent with the data of each view. A band is
// one colour channel of a square image, or a mask of its size, as float32.

const smoothstep = (t) => {
  const within = Math.max(0, Math.min(1, t));
  return within * within * (3 - 2 * within);
};

// ------------------------------------------------------------------ morph

/** What a reconstruction lacks of a photo, both RGBA bytes of one size. */
export function residual(photo, reconstruction) {
  return Int16Array.from(photo, (value, k) => value - reconstruction[k]);
}

/** Add the residuals of both ends to a frame at t in [0, 1] of the morph, faded with the distance. */
export function addResiduals(image, [first, last], t, amount, { fade_power: power }) {
  const [a, b] = [amount * (1 - t) ** power, amount * t ** power];
  for (let i = 0; i < first.length; i++) image.data[i] += a * first[i] + b * last[i];
}

// ------------------------------------------------------------------ filters

/** Filter a band along its rows, then along its columns; the border is repeated.
 *
 * `filter(line, to, reach)` gets a line with `reach` more values at each end, and fills `to` (size).
 */
function filterBand(band, size, reach, filter) {
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
  return along(along(band, size, 1), 1, size);
}

/** Gaussian filter; the standard deviation in pixels. */
function gaussianFilter(band, size, deviation) {
  const reach = Math.ceil(3 * deviation);
  const weights = Array.from({ length: 2 * reach + 1 }, (_, k) => Math.exp(-((k - reach) ** 2) / (2 * deviation ** 2)));
  const total = weights.reduce((sum, weight) => sum + weight);
  return filterBand(band, size, reach, (line, to) => {
    for (let i = 0; i < size; i++) {
      let sum = 0;
      for (let k = 0; k <= 2 * reach; k++) sum += weights[k] * line[i + k];
      to[i] = sum / total;
    }
  });
}

function maximumFilter(band, size, reach) {
  return filterBand(band, size, reach, (line, to) => {
    for (let i = 0; i < size; i++) {
      let most = 0;
      for (let k = 0; k <= 2 * reach; k++) most = Math.max(most, line[i + k]);
      to[i] = most;
    }
  });
}

/** The largest absolute value of three bands, pixel by pixel. */
function magnitude([red, green, blue]) {
  return red.map((value, i) => Math.max(Math.abs(value), Math.abs(green[i]), Math.abs(blue[i])));
}

// ------------------------------------------------------------------ masks

/** 1 in the middle of a crop, fading to 0 at its border. */
function cropWindow(size, { feather }) {
  const edge = Array.from({ length: size }, (_, i) => {
    const place = (i + 0.5) / size;
    return smoothstep(Math.min(place, 1 - place) / feather);
  });
  return Float32Array.from({ length: size * size }, (_, i) => edge[Math.floor(i / size)] * edge[i % size]);
}

/** Where the change is large enough to count, with a margin around it. */
function changeMask(change, size, { spread, unseen, seen }) {
  const reach = Math.max(1, Math.round(spread * size));
  const widened = maximumFilter(magnitude(change), size, reach);
  return gaussianFilter(widened, size, reach).map((value) => smoothstep((value - unseen) / (seen - unseen)));
}

/** Where shapes change, as opposed to light or colour. */
function shapeMask(change, size, { form, blur, kept, lost }) {
  const rough = change.map((band) => {
    const light = gaussianFilter(band, size, form * size);
    return band.map((value, i) => value - light[i]);
  });
  return gaussianFilter(magnitude(rough), size, blur * size).map((value) => smoothstep((value - kept) / (lost - kept)));
}

// ------------------------------------------------------------------ edit

/** Remove the change of light that most of the face shares, and soften the change of colour. */
function evenOut(change, size, detail, { face, colour }) {
  const [top, bottom, left, right] = face.map((share) => Math.floor(share * size));
  const rows = Array.from({ length: bottom - top }, (_, i) => (top + i) * size);
  const [red, green, blue] = change.map((band) => {
    const values = Float32Array.from(rows.flatMap((row) => [...band.subarray(row + left, row + right)])).sort();
    const median = values[values.length >> 1];
    const [low, high] = [Math.min(median, 0), Math.max(median, 0)];
    return band.map((value) => value - detail * Math.max(low, Math.min(high, value)));
  });
  const gray = red.map((value, i) => (value + green[i] + blue[i]) / 3);
  const soften = (band) => gaussianFilter(band.map((value, i) => value - gray[i]), size, colour * size);
  const [reds, greens] = [soften(red), soften(green)];
  const blues = reds.map((value, i) => -value - greens[i]); // the three add up to 0
  return [[red, reds], [green, greens], [blue, blues]].map(([band, soft]) =>
    band.map((value, i) => value + detail * (gray[i] + soft[i] - value)));
}

/** Blend three layers and the replaced share of the photo (size x size each) into `target`, enlarged smoothly. */
function blendLayers(photo, layers, replaced, size, target) {
  const { width: side, data: out } = target;
  const places = Array.from({ length: side }, (_, i) => {
    const at = Math.max(0, Math.min(size - 1, ((i + 0.5) * size) / side - 0.5));
    const low = Math.min(Math.floor(at), size - 2);
    return [low, smoothstep(at - low)];
  });
  const bands = [...layers, replaced];
  const lines = bands.map(() => new Float32Array(size)); // between two rows of each
  for (let y = 0; y < side; y++) {
    const [row, v] = places[y];
    bands.forEach((band, b) => {
      for (let k = 0, i = row * size; k < size; k++, i++) lines[b][k] = band[i] + v * (band[i + size] - band[i]);
    });
    const [red, green, blue, share] = lines;
    for (let x = 0, i = 4 * y * side; x < side; x++, i += 4) {
      const [column, u] = places[x];
      const next = column + 1;
      const kept = 1 - share[column] - u * (share[next] - share[column]);
      out[i] = kept * photo[i] + red[column] + u * (red[next] - red[column]);
      out[i + 1] = kept * photo[i + 1] + green[column] + u * (green[next] - green[column]);
      out[i + 2] = kept * photo[i + 2] + blue[column] + u * (blue[next] - blue[column]);
      out[i + 3] = 255;
    }
  }
}

/** Add the difference of two decoded images to a photo, into `target` (ImageData of the photo's size).
 *
 * `before`, `after`: RGBA bytes, size x size. `detail`: the share of the photo's own detail that is kept.
 */
export function blendChange(photo, before, after, size, detail, target, constants) {
  const window = cropWindow(size, constants);
  const difference = [0, 1, 2].map((c) =>
    Float32Array.from({ length: size * size }, (_, i) => (after[4 * i + c] - before[4 * i + c]) / 255));
  const change = evenOut(difference, size, detail, constants);
  const where = changeMask(change, size, constants);
  // Where shapes change, the photo's own detail would show through: teeth behind closed lips.
  const share = shapeMask(change, size, constants).map((shape) => 1 - detail * (1 - constants.replaced * shape));
  const replaced = window.map((w, i) => w * share[i]);
  const layers = change.map((band, c) => band.map((value, i) =>
    window[i] * Math.max(detail * where[i] + 1 - detail, share[i]) * 255 * value + replaced[i] * before[4 * i + c]));
  blendLayers(photo, layers, replaced, size, target);
}
