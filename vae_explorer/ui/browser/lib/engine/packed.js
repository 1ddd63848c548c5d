// A packed model, as vae_explorer/weights.py writes it, and the steps that a backend computes.
//
// What is exported here also runs in a worker, whose source is these functions' own text: they use each other and
// nothing else of this module.

/** A model that cannot be computed here: malformed, too large, or the graphics context is gone. */
export class EngineError extends Error {
  name = "EngineError";
}

/** Read what a packed model says of itself: {imageShape, latentDim, encoded, networks, count, start: of the values}. */
export function readHeader(buffer) {
  const check = (right, wrong) => {
    if (!right) throw new EngineError(`This is no packed model: ${wrong}.`);
  };
  check(buffer.byteLength >= 4, "it is too short");
  const length = new DataView(buffer).getUint32(0, true);
  const start = 4 + length;
  check(length % 4 === 0 && start <= buffer.byteLength, `its header cannot have ${length} bytes`);
  let header = null;
  try {
    header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(new Uint8Array(buffer, 4, length)));
  } catch {
    // it stays null
  }
  check(header?.constructor === Object, "its header is not a JSON object");
  check(header.format_version === 1, `its format is ${header.format_version}, not 1`);
  const count = header.values;
  check(Number.isInteger(count) && 2 * count === buffer.byteLength - start, "it has too few or too many values");
  const isShape = (shape) =>
    Array.isArray(shape) && shape.length > 0 && shape.every((side) => Number.isInteger(side) && side > 0);
  check(isShape(header.image_shape) && header.image_shape.length === 3, "image_shape is missing");
  check(isShape([header.latent_dim]), "latent_dim is missing");
  check(Array.isArray(header.encoded), "encoded is missing");
  check(header.networks?.constructor === Object, "networks is missing");
  for (const network of Object.values(header.networks)) {
    check(isShape(network?.input) && Array.isArray(network.layers), "a network has no input or no layers");
    check(network.layers.every((layer) => isShape(layer?.shape)), "a layer has no shape");
  }
  const { image_shape: imageShape, latent_dim: latentDim, encoded, networks } = header;
  return { imageShape, latentDim, encoded, networks, count, start };
}

/** Read a packed model: its header, and its `values` as a Float32Array. */
export function readPacked(buffer) {
  const header = readHeader(buffer);
  const { count, start } = header;
  const values = new Float32Array(count);
  const bits = new Uint32Array(values.buffer);
  const bytes = new Uint8Array(buffer, start);
  for (let i = 0; i < count; i++) {
    // The bits of a float16, moved to a float32's places, are its value times 2^-112; subnormal ones too.
    const half = bytes[i] | (bytes[count + i] << 8);
    bits[i] = ((half & 0x8000) << 16) | ((half & 0x7fff) << 13);
    values[i] *= 2 ** 112;
  }
  return { ...header, values };
}

/** Turn a network's layers into steps, of which each is one pass of a backend.
 *
 * Returns {input, shape, steps, isSigmoid, multiplyAdds}; shapes are (channels, height, width), (n, 1, 1) for n
 * values. Every step has the shapes `input` and `shape`, and one of three kinds:
 * - dense: weights (outputs, inputs) in the order of the shapes, bias, slope;
 * - convolution: stride, bias, slope; output pixel (up y + a, up x + b) is a sum over `phases[a].count` rows of
 *   input from stride y + phases[a].offset on, columns likewise, by `kernels[up a + b]` (outputs, inputs, rows,
 *   columns). Transposed convolutions have up = 2, and so have convolutions of pixels doubled by nearest neighbours,
 *   where taps of equal pixels are one;
 * - enlarge: doubles pixels; `blur`: then [1 2 1] / 4 along both sides, edges repeated.
 * `slope` is the activation's below zero: 1 for none, 0 for ReLU.
 */
export function toSteps(packed, name) {
  const network = packed.networks[name];
  if (!network) throw new EngineError(`This packed model has no ${name}.`);
  const fail = (layer, wrong) => {
    throw new EngineError(`The layer ${layer.type} ${wrong}.`);
  };
  const size = (shape) => shape.reduce((product, side) => product * side, 1);
  const spatial = (shape) => (shape.length === 3 ? shape : [size(shape), 1, 1]);
  const read = (layer, field, count) => {
    const { start, scale } = layer[field] ?? {};
    const fits = Number.isInteger(start) && start >= 0 && start + count <= packed.values.length;
    if (!fits || !(scale > 0 && scale < Infinity)) fail(layer, `has no ${count} ${field}`);
    return packed.values.slice(start, start + count).map((value) => value * scale);
  };
  const whole = (layer, ...fields) => {
    for (const field of fields) if (!(Number.isInteger(layer[field]) && layer[field] > 0)) fail(layer, `has no ${field}`);
  };

  /** Rows of a kernel that each phase of the output needs, by row of the input: [{offset, rows: [[kernel row, …]]}]. */
  const phasesOf = (layer, up, rowsAt) =>
    Array.from({ length: up }, (_, a) => {
      const pairs = Array.from({ length: layer.kernel }, (_, k) => [rowsAt(a, k), k]).filter(([row]) => Number.isInteger(row));
      const offset = pairs.length ? Math.min(...pairs.map(([row]) => row)) : 0;
      const count = pairs.length ? Math.max(...pairs.map(([row]) => row)) - offset + 1 : 0;
      const rows = Array.from({ length: count }, (_, i) => pairs.filter(([row]) => row === offset + i).map(([, k]) => k));
      return { offset, count, rows };
    });

  const convolve = (layer, input, shape, up, stride, rowsAt) => {
    const { inputs, outputs, kernel } = layer;
    const given = read(layer, "weights", outputs * inputs * kernel * kernel);
    const phases = phasesOf(layer, up, rowsAt);
    const kernels = phases.flatMap((vertical) =>
      phases.map((horizontal) => {
        const taps = vertical.count * horizontal.count;
        const weights = new Float32Array(outputs * inputs * taps);
        for (let pair = 0; pair < outputs * inputs; pair++) {
          let at = pair * taps;
          for (const ys of vertical.rows) {
            for (const xs of horizontal.rows) {
              let sum = 0;
              for (const y of ys) for (const x of xs) sum += given[(pair * kernel + y) * kernel + x];
              weights[at++] = sum;
            }
          }
        }
        return weights;
      }),
    );
    const bias = read(layer, "bias", outputs);
    return {
      kind: "convolution", input, shape, up, stride, kernels, bias, slope: 1,
      phases: phases.map(({ offset, count }) => ({ offset, count })),
    };
  };

  const input = spatial(network.input);
  const steps = [];
  let shape = input;
  let isSigmoid = false;
  network.layers.forEach((layer, place) => {
    const given = shape;
    const previous = steps.at(-1);
    const next = spatial(layer.shape);
    if (isSigmoid) fail(layer, "follows a sigmoid");
    if (layer.type === "dense") {
      whole(layer, "inputs", "outputs");
      if (layer.inputs !== size(given) || layer.outputs !== size(next)) fail(layer, "does not fit its neighbours");
      const weights = read(layer, "weights", layer.inputs * layer.outputs);
      steps.push({ kind: "dense", input: given, shape: next, weights, bias: read(layer, "bias", layer.outputs), slope: 1 });
    } else if (layer.type === "convolution" || layer.type === "transposed_convolution") {
      whole(layer, "inputs", "outputs", "kernel", "stride");
      const { kernel, stride } = layer;
      const [before, after] = Array.isArray(layer.padding) ? layer.padding : [];
      if (!Number.isInteger(before) || !Number.isInteger(after)) fail(layer, "has no padding");
      const transposed = layer.type === "transposed_convolution";
      const sideOf = transposed
        ? (side) => (side - 1) * stride + kernel - before - after
        : (side) => Math.floor((side + before + after - kernel) / stride) + 1;
      const wanted = [layer.outputs, sideOf(given[1]), sideOf(given[2])];
      if (layer.inputs !== given[0] || wanted.some((side, i) => side !== next[i])) fail(layer, "does not fit its neighbours");
      if (transposed) {
        if (next[1] !== stride * given[1] || next[2] !== stride * given[2]) fail(layer, "must enlarge by its stride");
        steps.push(convolve(layer, given, next, stride, 1, (a, k) => (a + before - k) / stride));
      } else if (previous?.kind === "enlarge" && !previous.blur && stride === 1 && size(next) / next[0] === size(given) / given[0]) {
        steps.pop();
        steps.push(convolve(layer, previous.input, next, 2, 1, (a, k) => Math.floor((a - before + k) / 2)));
      } else {
        steps.push(convolve(layer, given, next, 1, stride, (_, k) => k - before));
      }
    } else if (layer.type === "upsampling") {
      if (layer.factor !== 2 || next[0] !== given[0] || next[1] !== 2 * given[1] || next[2] !== 2 * given[2]) {
        fail(layer, "does not double its input");
      }
      steps.push({ kind: "enlarge", input: given, shape: next, blur: layer.blur === true });
    } else if (layer.type === "relu" || layer.type === "leaky_relu") {
      const slope = layer.type === "relu" ? 0 : layer.slope;
      if (!(slope >= 0 && slope <= 1)) fail(layer, "has no slope from 0 to 1");
      if (previous?.slope !== 1) fail(layer, "does not follow a layer with weights");
      previous.slope = slope;
    } else if (layer.type === "sigmoid") {
      if (place + 1 !== network.layers.length || previous?.slope !== 1) fail(layer, "is not the last one, after weights");
      isSigmoid = true;
    } else if (layer.type === "reshape") {
      if (size(next) !== size(given)) fail(layer, "changes the number of values");
    } else {
      fail(layer, "is unknown");
    }
    shape = next;
    // Values keep their order, so that the dense layer before or after a reshape can take its shape over.
    if (layer.type === "reshape" && next.some((side, i) => side !== given[i])) {
      if (previous?.kind === "dense" && size(given) === given[0]) previous.shape = next;
      else if (network.layers[place + 1]?.type === "dense") shape = given;
      else fail(layer, "is next to no dense layer");
    }
  });
  if (!steps.length) throw new EngineError(`The ${name} of this packed model has no layers.`);
  const area = ([, height, width]) => height * width;
  const multiplyAdds = steps.reduce((sum, step) => {
    if (step.kind === "dense") return sum + step.weights.length;
    if (step.kind === "enlarge") return sum;
    return sum + (step.kernels.reduce((all, kernel) => all + kernel.length, 0) * area(step.shape)) / step.up ** 2;
  }, 0);
  return { input, shape: steps.at(-1).shape, steps, isSigmoid, multiplyAdds };
}
