// Backend on the graphics card: WebGL 2, one fragment shader a step.
//
// A feature map is a float texture, a texel four channels of a pixel: a tile for each block of four channels of each
// image, in rows of tiles. So a batch is one draw call a step, and every step writes what the next one reads.

import { EngineError } from "./packed.js";

/** The fragment shader of a step, and the texels of its weights. */
export function shaderOf(step, texelsPerRow, width, isSigmoid) {
  const blocksOf = ([channels]) => Math.ceil(channels / 4);
  const [inputs, outputs] = [step.input[0], step.shape[0]];
  const [, inputHeight, inputWidth] = step.input;
  const [, height, across] = step.shape;
  const [inputBlocks, blocks] = [blocksOf(step.input), blocksOf(step.shape)];
  // One phase for each pixel of a dense layer's output, below which lie all pixels of its input.
  const isDense = step.kind === "dense";
  const [pixels, outputPixels] = [inputHeight * inputWidth, height * across];
  const upY = isDense ? height : (step.up ?? 2);
  const upX = isDense ? across : (step.up ?? 2);
  const phases = step.kind === "convolution" ? step.phases : [];
  const tapsOf = phases.flatMap((vertical) => phases.map((horizontal) => vertical.count * horizontal.count));
  const allTaps = isDense ? pixels * outputPixels : tapsOf.reduce((sum, taps) => sum + taps, 0);
  const biasAt = 4 * inputBlocks * blocks * allTaps;
  const texels = new Float32Array(4 * (biasAt + (isDense ? outputPixels : 1) * blocks));
  const starts = [];
  let place = 0;

  /** For every block of outputs, every tap and every input: the weights to the block's four outputs. */
  const put = (count, weight) => {
    for (let block = 0; block < blocks; block++) {
      for (let tap = 0; tap < count; tap++) {
        for (let from = 0; from < 4 * inputBlocks; from++) {
          for (let to = 4 * block; to < 4 * block + 4; to++) {
            texels[place++] = from < inputs && to < outputs ? weight(to, from, tap) : 0;
          }
        }
      }
    }
  };
  if (isDense) {
    for (let pixel = 0; pixel < outputPixels; pixel++) {
      put(pixels, (to, from, tap) => step.weights[((to * outputPixels + pixel) * inputs + from) * pixels + tap]);
    }
    for (let pixel = 0; pixel < outputPixels; pixel++) {
      for (let to = 0; to < 4 * blocks; to++) texels[place++] = to < outputs ? step.bias[to * outputPixels + pixel] : 0;
    }
  } else if (step.kind === "convolution") {
    tapsOf.forEach((taps, phase) => {
      starts.push(place / 4);
      put(taps, (to, from, tap) => step.kernels[phase][(to * inputs + from) * taps + tap]);
    });
    for (let to = 0; to < 4 * blocks; to++) texels[place++] = step.bias[to] ?? 0;
  }

  const list = (values) => `int[${values.length}](${values.join(", ")})`;
  const number = (value) => (Number.isInteger(value) ? `${value}.0` : `${value}`);
  const rowsOf = (axis) => (isDense ? `${axis === "y" ? inputHeight : inputWidth}` : `COUNTS[${axis === "y" ? "a" : "b"}]`);
  const sum = step.kind === "enlarge"
    ? `
      ivec2 near = place / 2;
      ivec2 far = clamp(near + (place % 2) * 2 - 1, ivec2(0), ivec2(INPUT_WIDTH, INPUT_HEIGHT) - 1);
      float share = ${step.blur ? "0.25" : "0.0"};
      vec4 above = mix(value(image, block, near), value(image, block, ivec2(far.x, near.y)), share);
      vec4 below = mix(value(image, block, ivec2(near.x, far.y)), value(image, block, far), share);
      vec4 sum = mix(above, below, share);`
    : `
      int a = place.y % ${upY}, b = place.x % ${upX};
      int rows = ${rowsOf("y")}, columns = ${rowsOf("x")};
      int phase = a * ${upX} + b;
      int start = ${isDense ? `phase * ${blocks} * rows * columns * ${4 * inputBlocks}` : "STARTS[phase]"};
      start += block * rows * columns * ${4 * inputBlocks};
      ivec2 origin = ${isDense ? "ivec2(0)" : `place / ${step.up} * ${step.stride} + ivec2(OFFSETS[b], OFFSETS[a])`};
      vec4 sum = weight(${biasAt} + ${isDense ? `phase * ${blocks} + ` : ""}block);
      for (int y = 0; y < rows; y++) {
        for (int x = 0; x < columns; x++) {
          ivec2 from = origin + ivec2(x, y);
          if (from.x < 0 || from.y < 0 || from.x >= INPUT_WIDTH || from.y >= INPUT_HEIGHT) continue;
          int at = start + (y * columns + x) * ${4 * inputBlocks};
          for (int each = 0; each < ${inputBlocks}; each++, at += 4) {
            sum += mat4(weight(at), weight(at + 1), weight(at + 2), weight(at + 3)) * value(image, each, from);
          }
        }
      }
      sum = max(sum, ${number(step.slope)} * sum);`;
  const source = `#version 300 es
    precision highp float;
    precision highp int;
    precision highp sampler2D;
    uniform sampler2D inputs, weights;
    out vec4 result;
    const int INPUT_WIDTH = ${inputWidth}, INPUT_HEIGHT = ${inputHeight};
    ${step.kind === "convolution"
      ? `const int STARTS[${starts.length}] = ${list(starts)};
         const int OFFSETS[${phases.length}] = ${list(phases.map(({ offset }) => offset))};
         const int COUNTS[${phases.length}] = ${list(phases.map(({ count }) => count))};`
      : ""}
    vec4 value(int image, int block, ivec2 at) {
      int tile = image * ${inputBlocks} + block;
      const int TILES = ${Math.floor(width / inputWidth)};
      return texelFetch(inputs, ivec2(tile % TILES * INPUT_WIDTH, tile / TILES * INPUT_HEIGHT) + at, 0);
    }
    vec4 weight(int at) {
      return texelFetch(weights, ivec2(at % ${texelsPerRow}, at / ${texelsPerRow}), 0);
    }
    void main() {
      const ivec2 SIZE = ivec2(${across}, ${height});
      const int TILES = ${Math.floor(width / across)};
      ivec2 at = ivec2(gl_FragCoord.xy);
      int tile = at.y / SIZE.y * TILES + at.x / SIZE.x;
      int image = tile / ${blocks}, block = tile % ${blocks};
      ivec2 place = at % SIZE;
      ${sum}
      result = ${isSigmoid ? "1.0 / (1.0 + exp(-sum))" : "sum"};
    }`;
  return { source, texels };
}

/** The shader that gathers the channels of an image's pixel as bytes. */
export function rgbaShader(channels) {
  return `#version 300 es
    precision highp float;
    precision highp int;
    precision highp sampler2D;
    uniform sampler2D inputs, weights;
    out vec4 result;
    void main() {
      vec4 value = texelFetch(inputs, ivec2(gl_FragCoord.xy), 0);
      vec3 colour = ${channels === 1 ? "value.rrr" : "value.rgb"};
      result = vec4(floor(clamp(colour, 0.0, 1.0) * 255.0 + 0.5) / 255.0, 1.0);
    }`;
}

/** Compute a network's steps: {name, run(inputs, n, format)}, as `createPlain` does.
 *
 * `run` throws an `EngineError` where the context is lost; this backend is of no use then.
 */
export function createWebgl(network) {
  const WIDTH = 2048; // of textures: every WebGL 2 has so many
  const MOST_TEXELS = 2 ** 20; // of a feature map of a batch
  const WEIGHTS_WIDTH = 1024;
  const canvas = typeof OffscreenCanvas === "function" ? new OffscreenCanvas(1, 1) : document.createElement("canvas");
  const gl = canvas.getContext("webgl2", {
    alpha: true, antialias: false, depth: false, premultipliedAlpha: false, powerPreference: "high-performance",
  });
  if (!gl) throw new EngineError("There is no WebGL 2 here.");
  if (!gl.getExtension("EXT_color_buffer_float")) throw new EngineError("This WebGL draws no floating-point numbers.");
  const { input, shape, isSigmoid } = network;
  const tallest = gl.getParameter(gl.MAX_TEXTURE_SIZE);
  const blocksOf = ([channels]) => Math.ceil(channels / 4);

  /** How n images lie in a texture: {tiles per row, columns, rows} in tiles and texels. */
  const layOut = ([, height, width], count) => {
    const tiles = Math.floor(WIDTH / width);
    return { tiles, width: Math.min(count, tiles) * width, height: Math.ceil(count / tiles) * height };
  };
  const shapes = [input, ...network.steps.map((step) => step.shape)];
  if (shapes.some(([, , width]) => width > WIDTH)) throw new EngineError("This model's images are too large for WebGL.");
  const fits = (n) => shapes.every((each) => {
    const { height } = layOut(each, n * blocksOf(each));
    return height <= tallest && (n === 1 || height * WIDTH <= MOST_TEXELS);
  });
  if (!fits(1)) throw new EngineError("This model's images are too large for WebGL.");
  let most = 1;
  while (most < 512 && fits(2 * most)) most *= 2;

  // ------------------------------------------------------------------ textures
  const makeTexture = (format, width, height) => {
    const texture = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.texStorage2D(gl.TEXTURE_2D, 1, format, width, height);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
    return texture;
  };
  const makeTarget = (format, width, height) => {
    const texture = makeTexture(format, width, height);
    const frame = gl.createFramebuffer();
    gl.bindFramebuffer(gl.FRAMEBUFFER, frame);
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, texture, 0);
    return { texture, frame };
  };
  let capacity = 0;
  let targets = [];
  let image = null; // as bytes
  const reserve = (n) => {
    if (n <= capacity) return;
    for (const target of [...targets, image].filter(Boolean)) {
      gl.deleteTexture(target.texture);
      gl.deleteFramebuffer(target.frame);
    }
    const height = Math.max(...shapes.map((each) => layOut(each, n * blocksOf(each)).height));
    targets = [0, 1].map(() => makeTarget(gl.RGBA32F, WIDTH, height));
    image = makeTarget(gl.RGBA8, WIDTH, layOut(shape, n).height);
    capacity = n;
  };

  // ------------------------------------------------------------------ programs
  const compile = (type, source) => {
    const shader = gl.createShader(type);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    return shader;
  };
  const vertex = compile(gl.VERTEX_SHADER, `#version 300 es
    void main() { gl_Position = vec4(gl_VertexID == 1 ? 3 : -1, gl_VertexID == 2 ? 3 : -1, 0, 1); }`);
  const link = (source) => {
    const program = gl.createProgram();
    const fragment = compile(gl.FRAGMENT_SHADER, source);
    gl.attachShader(program, vertex);
    gl.attachShader(program, fragment);
    gl.linkProgram(program);
    return { program, fragment };
  };
  const passes = network.steps.map((step, number) => {
    const { source, texels } = shaderOf(step, WEIGHTS_WIDTH, WIDTH, isSigmoid && number + 1 === network.steps.length);
    const height = Math.max(1, Math.ceil(texels.length / 4 / WEIGHTS_WIDTH));
    if (height > tallest) throw new EngineError("This model has too many weights for WebGL.");
    const weights = makeTexture(gl.RGBA32F, WEIGHTS_WIDTH, height);
    const filled = new Float32Array(4 * WEIGHTS_WIDTH * height);
    filled.set(texels);
    gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, WEIGHTS_WIDTH, height, gl.RGBA, gl.FLOAT, filled);
    return { ...link(source), weights, shape: step.shape };
  });
  const last = shape[0] <= 4 ? link(rgbaShader(shape[0])) : null;
  // Asked for only now, so that the driver may compile them side by side.
  for (const { program, fragment } of [...passes, last].filter(Boolean)) {
    if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) {
      throw new EngineError(`WebGL: ${gl.getShaderInfoLog(fragment) || gl.getProgramInfoLog(program)}`);
    }
    gl.useProgram(program);
    gl.uniform1i(gl.getUniformLocation(program, "inputs"), 0);
    gl.uniform1i(gl.getUniformLocation(program, "weights"), 1);
  }
  gl.bindVertexArray(gl.createVertexArray());

  // ------------------------------------------------------------------ images in, images out
  const sizeOf = ([channels, height, width]) => channels * height * width;

  /** Call back with (index of a value, index of its place in a texture of `layout`) for n images. */
  const eachValue = ([channels, height, width], n, layout, visit) => {
    const blocks = Math.ceil(channels / 4);
    let index = 0;
    for (let i = 0; i < n; i++) {
      for (let c = 0; c < channels; c++) {
        const tile = i * blocks + (c >> 2);
        const left = (tile % layout.tiles) * width;
        const top = Math.floor(tile / layout.tiles) * height;
        for (let y = 0; y < height; y++) {
          let place = 4 * ((top + y) * layout.width + left) + (c & 3);
          for (let x = 0; x < width; x++, place += 4) visit(index++, place);
        }
      }
    }
  };

  const draw = ({ program, weights = null }, inputs, target, layout) => {
    gl.useProgram(program);
    gl.activeTexture(gl.TEXTURE1);
    gl.bindTexture(gl.TEXTURE_2D, weights);
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_2D, inputs.texture);
    gl.bindFramebuffer(gl.FRAMEBUFFER, target.frame);
    gl.viewport(0, 0, layout.width, layout.height);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  };

  const runSome = (inputs, n, isRgba) => {
    reserve(n);
    let [from, to] = targets;
    const entry = layOut(input, n * blocksOf(input));
    const texels = new Float32Array(4 * entry.width * entry.height);
    eachValue(input, n, entry, (index, place) => (texels[place] = inputs[index]));
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_2D, from.texture);
    gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, entry.width, entry.height, gl.RGBA, gl.FLOAT, texels);
    for (const pass of passes) {
      draw(pass, from, to, layOut(pass.shape, n * blocksOf(pass.shape)));
      [from, to] = [to, from];
    }
    const layout = layOut(shape, n * blocksOf(shape));
    if (!isRgba) {
      const found = new Float32Array(4 * layout.width * layout.height);
      gl.bindFramebuffer(gl.FRAMEBUFFER, from.frame);
      gl.readPixels(0, 0, layout.width, layout.height, gl.RGBA, gl.FLOAT, found);
      const values = new Float32Array(n * sizeOf(shape));
      eachValue(shape, n, layout, (index, place) => (values[index] = found[place]));
      return values;
    }
    draw(last, from, image, layout);
    const tiled = new Uint8ClampedArray(4 * layout.width * layout.height);
    gl.readPixels(0, 0, layout.width, layout.height, gl.RGBA, gl.UNSIGNED_BYTE, tiled);
    const [, height, width] = shape;
    const pixels = new Uint8ClampedArray(4 * n * height * width);
    for (let i = 0; i < n; i++) {
      for (let y = 0; y < height; y++) {
        const start = 4 * ((Math.floor(i / layout.tiles) * height + y) * layout.width + (i % layout.tiles) * width);
        pixels.set(tiled.subarray(start, start + 4 * width), 4 * (i * height + y) * width);
      }
    }
    return pixels;
  };

  return {
    name: "WebGL",
    run(inputs, n, format) {
      const size = sizeOf(input);
      if (inputs.length !== n * size) throw new EngineError(`${n} inputs have ${n * size} values, not ${inputs.length}.`);
      const isRgba = format === "rgba";
      const outputSize = isRgba ? (4 * sizeOf(shape)) / shape[0] : sizeOf(shape);
      const outputs = new (isRgba ? Uint8ClampedArray : Float32Array)(n * outputSize);
      for (let start = 0; start < n; start += most) {
        const count = Math.min(most, n - start);
        outputs.set(runSome(inputs.subarray(start * size, (start + count) * size), count, isRgba), start * outputSize);
      }
      if (gl.isContextLost()) throw new EngineError("The graphics context was lost.");
      return outputs;
    },
    lose: () => gl.getExtension("WEBGL_lose_context")?.loseContext(),
  };
}
