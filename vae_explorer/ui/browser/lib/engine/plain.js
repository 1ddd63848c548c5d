// Backend on the processor: WebAssembly with 128-bit SIMD, or JavaScript.
//
// Feature maps are stored pixel by pixel, each pixel's channels together, padded to a multiple of four. A step is a
// matrix product of four pixels at a time: a table has their addresses, of the input pixels below every tap of the
// kernel and of the output pixel. So nothing is copied, and pixels outside the image are the address of zeros.

import { EngineError } from "./packed.js";

/** The two loops over which all time passes, as a WebAssembly module; `fused`: with relaxed SIMD's multiply-add.
 *
 * Exports `product8` and `product4`: one panel of 8 or 4 output channels for all pixels; parameters as in
 * `createPlain`'s `product`, but addresses in bytes.
 */
export function assembleProducts(fused) {
  const unsigned = (value) => (value < 128 ? [value] : [(value & 127) | 128, ...unsigned(value >>> 7)]);
  const text = (word) => [word.length, ...Array.from(word, (letter) => letter.charCodeAt(0))];
  const section = (id, items) => {
    const body = [...unsigned(items.length), ...items.flat()];
    return [id, ...unsigned(body.length), ...body];
  };
  const [I32, F32, V128] = [0x7f, 0x7d, 0x7b];
  const get = (local) => [0x20, ...unsigned(local)];
  const set = (local) => [0x21, ...unsigned(local)];
  const number = (value) => [0x41, value]; // signed, one byte: below 64
  const ADD = 0x6a;
  const simd = (code, ...operands) => [0xfd, ...unsigned(code), ...operands];
  const loadWord = (offset) => [0x28, 2, ...unsigned(offset)];
  const increase = (local, by) => [...get(local), ...by, ADD, ...set(local)];
  const loop = (counter, body) => [
    0x03, 0x40, ...body, ...get(counter), ...number(1), 0x6b, 0x22, ...unsigned(counter), 0x0d, 0, 0x0b,
  ];

  /** Parameters: table, quads, taps, channels, weights, bias, column, shift, slope. */
  const product = (vectors) => {
    const [table, quads, taps, channels, weights, bias, column, shift, slope] = Array.from({ length: 9 }, (_, i) => i);
    const [row, tap, channel, weight, ...pointers] = Array.from({ length: 8 }, (_, i) => 9 + i);
    const factor = 17;
    const panel = Array.from({ length: vectors }, (_, v) => 18 + v);
    const sums = Array.from({ length: 4 }, (_, r) => Array.from({ length: vectors }, (_, v) => 18 + vectors * (1 + r) + v));
    const eachSum = (code) => sums.flatMap((line, r) => line.flatMap((sum, v) => code(sum, r, v)));
    const innermost = [
      ...panel.flatMap((local, v) => [...get(weight), ...simd(0, 4, 16 * v), ...set(local)]),
      ...sums.flatMap((line, r) => [
        ...get(pointers[r]), ...simd(9, 2, 0), ...set(factor), // v128.load32_splat
        ...line.flatMap((sum, v) =>
          fused
            ? [...get(factor), ...get(panel[v]), ...get(sum), ...simd(0x105), ...set(sum)] // f32x4.relaxed_madd
            : [...get(factor), ...get(panel[v]), ...simd(0xe6), ...get(sum), ...simd(0xe4), ...set(sum)], // mul, add
        ),
        ...increase(pointers[r], number(4)),
      ]),
      ...increase(weight, number(16 * vectors)),
    ];
    const body = loop(quads, [
      ...eachSum((sum, _, v) => [...get(bias), ...simd(0, 4, 16 * v), ...set(sum)]),
      ...get(weights), ...set(weight), ...get(table), ...set(row), ...get(taps), ...set(tap),
      0x02, 0x40, ...get(taps), 0x45, 0x0d, 0, // a block that is left at once where there is no tap
      ...loop(tap, [
        ...increase(table, number(16)),
        ...pointers.flatMap((pointer, r) => [...get(table), ...loadWord(4 * r), ...get(shift), ADD, ...set(pointer)]),
        ...get(channels), ...set(channel), ...loop(channel, innermost),
      ]),
      0x0b,
      ...increase(table, number(16)),
      ...sums.flatMap((line, r) => [
        ...get(row), ...loadWord(4 * r), ...get(shift), ADD, ...get(column), ADD, ...set(channel),
        ...line.flatMap((sum, v) => [
          ...get(channel), ...get(sum), ...get(sum), ...get(slope), ...simd(0x13), ...simd(0xe6), // splat, mul
          ...simd(0xe9), ...simd(0x0b, 4, 16 * v), // max, v128.store
        ]),
      ]),
    ]);
    const locals = [2, 8, I32, ...unsigned(1 + vectors + 4 * vectors), V128];
    const whole = [...locals, ...body, 0x0b];
    return [...unsigned(whole.length), ...whole];
  };

  return new Uint8Array([
    0, 0x61, 0x73, 0x6d, 1, 0, 0, 0,
    ...section(1, [[0x60, 9, ...Array(8).fill(I32), F32, 0]]),
    ...section(2, [[...text("host"), ...text("memory"), 2, 0, 1]]),
    ...section(3, [[0], [0]]),
    ...section(7, [[...text("product8"), 0, 0], [...text("product4"), 0, 1]]),
    ...section(10, [product(2), product(1)]),
  ]);
}

/** Compute a network's steps: {name, run(inputs, n, format)}.
 *
 * inputs: Float32Array of n times the network's input. `run` returns n outputs: "values" in the order of the shapes,
 * or "rgba" bytes of images. `withWasm`: false computes in JavaScript where WebAssembly could be.
 */
export function createPlain(network, withWasm = true) {
  const MOST_BYTES = 2 ** 28;
  const SLOTS = 4; // images at a time, so that dense layers have four rows
  const { input, shape, isSigmoid, steps } = network;
  const padded = (count) => 4 * Math.ceil(count / 4);
  const area = ([, height, width]) => height * width;
  const room = (shape) => area(shape) * padded(shape[0]);

  // ------------------------------------------------------------------ where everything lies, in floats
  let top = 256; // address 0 stays unused
  const take = (count) => {
    const start = top;
    top += padded(count);
    if (4 * top > MOST_BYTES) throw new EngineError("This model needs too much memory for the browser.");
    return start;
  };
  const shapes = [input, ...steps.map((step) => step.shape)];
  const widest = Math.max(...shapes.map((shape) => padded(shape[0])));
  const slot = take(0);
  const zeros = take(widest);
  const unused = take(widest); // outputs of rows that only fill up a group of four go here
  const buffers = [0, 1].map(() => take(Math.max(...shapes.map(room))));
  const slotSize = top - slot;
  take((SLOTS - 1) * slotSize);

  const data = []; // [start, values]
  const put = (values) => {
    const start = take(values.length);
    data.push([start, values]);
    return start;
  };

  /** Weights of some columns as panels of 8 and 4: for every row of `rows`, the panel's columns. */
  const pack = (rows, columns, at) => {
    const weights = new Float32Array(rows * columns);
    let place = 0;
    for (let column = 0; column < columns; ) {
      const panel = columns - column >= 8 ? 8 : 4;
      for (let row = 0; row < rows; row++) {
        for (let c = 0; c < panel; c++) weights[place++] = at(row, column + c);
      }
      column += panel;
    }
    return put(weights);
  };

  /** One product: {table, quads, taps, channels, weights, columns, bias, slope, shared}. */
  const products = [];
  const passes = steps.map((step, number) => {
    const [from, to] = [buffers[number % 2], buffers[(number + 1) % 2]];
    const [inputs, inputHeight, inputWidth] = step.input;
    const [outputs, height, width] = step.shape;
    const stride = padded(inputs);
    if (step.kind === "enlarge") return { from, to, enlarged: step, products: [] };
    const columns = padded(outputs);
    const first = products.length;
    if (step.kind === "dense") {
      const [pixels, length] = [area(step.input), inputs * area(step.input)];
      const all = area(step.shape) * columns;
      const source = (column) => {
        const channel = column % columns;
        return channel < outputs ? channel * area(step.shape) + Math.floor(column / columns) : -1;
      };
      const table = [];
      for (let s = 0; s < SLOTS; s++) table.push(to + s * slotSize);
      for (let p = 0; p < pixels; p++) for (let s = 0; s < SLOTS; s++) table.push(from + s * slotSize + p * stride);
      products.push({
        table, quads: 1, taps: pixels, channels: inputs, columns: all, slope: step.slope, shared: true,
        weights: pack(length, all, (row, column) => {
          const output = source(column);
          return output < 0 ? 0 : step.weights[output * length + (row % inputs) * pixels + Math.floor(row / inputs)];
        }),
        bias: put(Float32Array.from({ length: all }, (_, column) => step.bias[source(column)] ?? 0)),
      });
    } else {
      const bias = put(Float32Array.from({ length: columns }, (_, column) => step.bias[column] ?? 0));
      const { up, phases } = step;
      phases.forEach((vertical, a) => phases.forEach((horizontal, b) => {
        const kernel = step.kernels[a * up + b];
        const taps = vertical.count * horizontal.count;
        const [rows, across] = [height / up, width / up];
        const table = [];
        for (let start = 0; start < rows * across; start += 4) {
          const places = [0, 1, 2, 3].map((i) => start + i);
          for (const place of places) {
            const [y, x] = [Math.floor(place / across), place % across];
            table.push(place < rows * across ? to + ((up * y + a) * width + up * x + b) * columns : unused);
          }
          for (let ky = 0; ky < vertical.count; ky++) {
            for (let kx = 0; kx < horizontal.count; kx++) {
              for (const place of places) {
                const y = Math.floor(place / across) * step.stride + vertical.offset + ky;
                const x = (place % across) * step.stride + horizontal.offset + kx;
                const inside = place < rows * across && y >= 0 && y < inputHeight && x >= 0 && x < inputWidth;
                table.push(inside ? from + (y * inputWidth + x) * stride : zeros);
              }
            }
          }
        }
        products.push({
          table, quads: Math.ceil((rows * across) / 4), taps, channels: inputs, columns, slope: step.slope, shared: false, bias,
          weights: pack(taps * inputs, columns, (row, column) =>
            column < outputs ? kernel[(column * inputs + (row % inputs)) * taps + Math.floor(row / inputs)] : 0,
          ),
        });
      }));
    }
    return { products: products.slice(first) };
  });
  for (const product of products) {
    const { table } = product;
    product.table = take(table.length);
    data.push([product.table, table]);
  }

  // ------------------------------------------------------------------ the memory, and what multiplies in it
  const pages = Math.ceil((4 * top) / 65536);
  let wasm = null;
  let memory = null;
  let name = "JavaScript";
  for (const fused of withWasm ? [true, false] : []) {
    try {
      const code = assembleProducts(fused);
      if (!WebAssembly.validate(code)) continue;
      memory ??= new WebAssembly.Memory({ initial: pages });
      wasm = new WebAssembly.Instance(new WebAssembly.Module(code), { host: { memory } }).exports;
      name = "WebAssembly";
      break;
    } catch {
      // there is none here, or a policy forbids it
    }
  }
  const buffer = wasm ? memory.buffer : new ArrayBuffer(65536 * pages);
  const [floats, words] = [new Float32Array(buffer), new Int32Array(buffer)];
  for (const [start, values] of data) {
    if (values instanceof Float32Array) floats.set(values, start);
    else for (let i = 0; i < values.length; i++) words[start + i] = wasm ? 4 * values[i] : values[i];
  }
  data.length = 0;

  /** `panel` columns of output, from `column` on, for all pixels of a table; all addresses in floats.
   *
   * Two columns at a time: eight sums and what they are made of fill the processor's registers.
   */
  const product = (panel, table, quads, taps, channels, weights, bias, column, shift, slope) => {
    for (let quad = 0; quad < quads; quad++) {
      for (let pair = 0; pair < panel; pair += 2) {
        const bias0 = floats[bias + pair];
        const bias1 = floats[bias + pair + 1];
        let a0 = bias0, b0 = bias0, c0 = bias0, d0 = bias0;
        let a1 = bias1, b1 = bias1, c1 = bias1, d1 = bias1;
        let weight = weights + pair;
        let row = table + 4;
        for (let tap = 0; tap < taps; tap++) {
          const a = words[row] + shift;
          const b = words[row + 1] + shift;
          const c = words[row + 2] + shift;
          const d = words[row + 3] + shift;
          for (let channel = 0; channel < channels; channel++) {
            const w0 = floats[weight];
            const w1 = floats[weight + 1];
            const va = floats[a + channel];
            a0 += va * w0;
            a1 += va * w1;
            const vb = floats[b + channel];
            b0 += vb * w0;
            b1 += vb * w1;
            const vc = floats[c + channel];
            c0 += vc * w0;
            c1 += vc * w1;
            const vd = floats[d + channel];
            d0 += vd * w0;
            d1 += vd * w1;
            weight += panel;
          }
          row += 4;
        }
        const to = column + pair + shift;
        const p = words[table] + to;
        const q = words[table + 1] + to;
        const r = words[table + 2] + to;
        const s = words[table + 3] + to;
        floats[p] = Math.max(a0, slope * a0);
        floats[p + 1] = Math.max(a1, slope * a1);
        floats[q] = Math.max(b0, slope * b0);
        floats[q + 1] = Math.max(b1, slope * b1);
        floats[r] = Math.max(c0, slope * c0);
        floats[r + 1] = Math.max(c1, slope * c1);
        floats[s] = Math.max(d0, slope * d0);
        floats[s + 1] = Math.max(d1, slope * d1);
      }
      table += 4 + 4 * taps;
    }
  };

  const multiply = ({ table, quads, taps, channels, weights, columns, bias, slope }, shift) => {
    let panel = 8;
    for (let column = 0; column < columns; column += panel) {
      panel = columns - column >= 8 ? 8 : 4;
      const start = weights + column * taps * channels;
      if (wasm) {
        const bytes = [table, start, bias + column, column, shift].map((address) => 4 * address);
        wasm[panel === 8 ? "product8" : "product4"](
          bytes[0], quads, taps, channels, bytes[1], bytes[2], bytes[3], bytes[4], slope,
        );
      } else {
        product(panel, table, quads, taps, channels, start, bias + column, column, shift, slope);
      }
    }
  };

  /** Double the pixels of one image. */
  const enlarge = ({ from, to, enlarged }, shift) => {
    const [channels, height, width] = enlarged.input;
    const stride = padded(channels);
    const share = enlarged.blur ? 0.25 : 0; // of the pixel on the other side
    const other = (at, side) => Math.min(Math.max((at >> 1) + (at % 2 ? 1 : -1), 0), side - 1);
    for (let y = 0; y < 2 * height; y++) {
      const near = from + shift + (y >> 1) * width * stride;
      const far = from + shift + other(y, height) * width * stride;
      for (let x = 0; x < 2 * width; x++) {
        const beside = (x >> 1) * stride;
        const across = other(x, width) * stride;
        const out = to + shift + (y * 2 * width + x) * stride;
        for (let c = 0; c < channels; c++) {
          const above = (1 - share) * floats[near + beside + c] + share * floats[near + across + c];
          const below = (1 - share) * floats[far + beside + c] + share * floats[far + across + c];
          floats[out + c] = (1 - share) * above + share * below;
        }
      }
    }
  };

  // ------------------------------------------------------------------ images in, images out
  const [inputSize, outputSize] = [input[0] * area(input), shape[0] * area(shape)];

  const enter = (inputs, offset, shift) => {
    const [channels, pixels] = [input[0], area(input)];
    const [start, stride] = [buffers[0] + shift, padded(channels)];
    for (let c = 0; c < channels; c++) {
      for (let p = 0; p < pixels; p++) floats[start + p * stride + c] = inputs[offset + c * pixels + p];
    }
  };

  const leave = (outputs, image, shift, isRgba) => {
    const [channels, pixels] = [shape[0], area(shape)];
    const [start, stride] = [buffers[passes.length % 2] + shift, padded(channels)];
    for (let p = 0; p < pixels; p++) {
      for (let c = 0; c < channels; c++) {
        let value = floats[start + p * stride + c];
        if (isSigmoid) value = 1 / (1 + Math.exp(-value));
        if (!isRgba) outputs[image * outputSize + c * pixels + p] = value;
        else if (channels === 1) outputs.fill(255 * value, 4 * (image * pixels + p), 4 * (image * pixels + p) + 3);
        else outputs[4 * (image * pixels + p) + c] = 255 * value;
      }
    }
  };

  return {
    name,
    run(inputs, n, format) {
      if (inputs.length !== n * inputSize) throw new EngineError(`${n} inputs have ${n * inputSize} values, not ${inputs.length}.`);
      const isRgba = format === "rgba";
      const outputs = isRgba ? new Uint8ClampedArray(4 * n * area(shape)).fill(255) : new Float32Array(n * outputSize);
      for (let start = 0; start < n; start += SLOTS) {
        const count = Math.min(SLOTS, n - start);
        for (let s = 0; s < count; s++) enter(inputs, (start + s) * inputSize, s * slotSize);
        for (const pass of passes) {
          for (const each of pass.products) {
            if (each.shared) multiply(each, 0);
            else for (let s = 0; s < count; s++) multiply(each, s * slotSize);
          }
          if (pass.enlarged) for (let s = 0; s < count; s++) enlarge(pass, s * slotSize);
        }
        for (let s = 0; s < count; s++) leave(outputs, start + s, s * slotSize, isRgba);
      }
      return outputs;
    },
  };
}
