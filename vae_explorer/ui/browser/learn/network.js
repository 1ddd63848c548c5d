// View: a forward trace of the network, a tile for each layer; and drawing helpers that layer.js shares.
//
// The noise comes over the channel of the sliders. A second channel, with "-shown" after its name,
// carries the trace, the chosen layer and the seeds.

import { announce, putWords, toWord, wholeMultiple } from "../lib/canvas.js";
import { openChannel } from "../lib/channel.js";
import { addFullScreen, createNotes, element, formatNumber, svgElement, toBytes, toFloats } from "../lib/dom.js";
import { createFeed, createSource } from "../lib/source.js";

const [PAPER, INK, BELOW, ABOVE] = [[255, 255, 255], [17, 17, 17], [194, 65, 12], [29, 78, 216]];
const GAP = 2; // px between the tiles of a layer
const TILES = 4.6; // small maps are enlarged until about this many fit into a column
const LARGEST = 28; // px, of an enlarged map
const GAMMA = 0.7; // below 1: makes weak activations visible
const FEW = 4; // so many values are shown as text
const NATS_PER_BIT = Math.LN2;

const inGroups = new Intl.NumberFormat("en-US");
export const formatCount = (count) => inGroups.format(count);
export const formatShape = (shape) => shape.map(formatCount).join(" × ");
export const product = (shape) => shape.reduce((count, side) => count * side, 1);

/** RGBA words for the signed bytes -127 ... 127: a diverging colour map. */
function palette(below, above) {
  return Uint32Array.from({ length: 255 }, (_, i) => {
    const share = (Math.abs(i - 127) / 127) ** GAMMA;
    const colour = PAPER.map((paper, c) => paper + share * ((i < 127 ? below : above)[c] - paper));
    return toWord(colour);
  });
}

const ACTIVATION = palette(BELOW, INK);
const DIFFERENCE = palette(BELOW, ABOVE);

/** Read what the trace route answers: a JSON header, then signed bytes. */
function readAnswer(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const first = 4 + length;
  const [channels, height, width] = header.shape;
  for (const step of header.steps) {
    step.bytes = new Int8Array(buffer, first + step.start, product(step.shape));
  }
  const picture = (name) => new Uint8Array(buffer, first + header.pictures[name], channels * height * width);
  const difference = new Int8Array(buffer, first + header.pictures.difference, height * width);
  return { ...header, width, height, channels, picture, difference, first: header.steps[0] };
}

/** Draw an image (height, width, channels), at a whole multiple of its size. */
function drawPicture(canvas, pixels, { width, height, channels }, room) {
  const rgba = new Uint8ClampedArray(4 * width * height).fill(255);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) rgba[4 * i + c] = channels === 1 ? 255 - pixels[i] : pixels[3 * i + c];
  }
  Object.assign(canvas, { width, height });
  canvas.getContext("2d").putImageData(new ImageData(rgba, width, height), 0, 0);
  canvas.style.width = `${width * wholeMultiple(width, room)}px`;
}

function drawDifference(canvas, { difference, width, height }, room) {
  putWords(canvas, Uint32Array.from(difference, (value) => DIFFERENCE[value + 127]), width, height);
  canvas.style.width = `${width * wholeMultiple(width, room)}px`;
}

/** The channels of a layer, the most active first; units keep their order. */
function orderOf({ shape, bytes }) {
  if (shape.length === 1) return Array.from({ length: shape[0] }, (_, unit) => unit);
  const size = product(shape.slice(1));
  const strength = Array.from({ length: shape[0] }, (_, channel) => {
    let sum = 0;
    for (let i = channel * size; i < (channel + 1) * size; i++) sum += Math.abs(bytes[i]);
    return sum;
  });
  return strength.map((_, channel) => channel).sort((a, b) => strength[b] - strength[a]);
}

/** Draw feature maps (h x w each) or units (1 x 1 each) as tiles; returns how many fitted. */
export function drawTiles(canvas, step, order, [roomX, roomY]) {
  const [h, w] = step.shape.length === 1 ? [1, 1] : step.shape.slice(1);
  const units = h * w === 1;
  const gap = units ? 1 : GAP;
  const square = Math.ceil(Math.sqrt(order.length));
  const scale = units
    ? Math.max(2, Math.min(16, Math.floor((Math.min(roomX, roomY) + 1) / square) - 1))
    : Math.max(1, Math.floor(Math.min(roomY / TILES, LARGEST) / w));
  const [tileX, tileY] = [w * scale + gap, h * scale + gap];
  const columns = Math.max(1, Math.min(units ? square : order.length, Math.floor((roomX + gap) / tileX)));
  const rows = Math.max(1, Math.min(Math.ceil(order.length / columns), Math.floor((roomY + gap) / tileY)));
  const shown = Math.min(order.length, rows * columns);
  const [width, height] = [columns * tileX - gap, rows * tileY - gap];
  const words = new Uint32Array(width * height);
  for (let tile = 0; tile < shown; tile++) {
    const start = order[tile] * h * w;
    const corner = Math.floor(tile / columns) * tileY * width + (tile % columns) * tileX;
    for (let y = 0; y < h * scale; y++) {
      const row = start + Math.floor(y / scale) * w;
      for (let x = 0; x < w * scale; x++) {
        words[corner + y * width + x] = ACTIVATION[step.bytes[row + Math.floor(x / scale)] + 127];
      }
    }
  }
  putWords(canvas, words, width, height);
  canvas.style.width = `${width}px`;
  return shown;
}

/** Draw values as bars from a line at 0; for σ, from the bottom, with a line at the prior's 1. */
function drawBars(svg, { name, values }) {
  const [width, height] = [Math.max(values.length, 40), 60];
  const deviation = name === "σ";
  const reach = Math.max(deviation ? 1.1 : 3, ...values.map(Math.abs));
  const y = (value) => (deviation ? height - (value / reach) * height : height / 2 - (value / reach) * (height / 2));
  const step = width / values.length;
  const bar = Math.min(0.75 * step, 8);
  const bars = values.map((value, k) => `M${((k + 0.5) * step).toFixed(2)} ${y(0)}V${y(value).toFixed(1)}`);
  const line = deviation ? y(1) : y(0);
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.firstChild.setAttribute("d", `M0 ${line}H${width}`);
  svg.lastChild.setAttribute("d", bars.join(""));
  svg.lastChild.setAttribute("stroke-width", bar);
}

// ------------------------------------------------------------------ view

const ROW_OF = { input: 0, encoder: 0, bottleneck: 1, decoder: 2, output: 2 };
const BEFORE = { σ: "+", ε: "×", z: "=" };
const MAX_SEED = 9999;

export function createNetwork(host) {
  host.classList.add("vae-network");
  const rows = [0, 1, 2].map(() => element(host, "div", "vae-chain"));
  const bottom = element(host, "div", "vae-lost");
  const figure = element(bottom, "figure");
  const difference = element(figure, "canvas", "vae-picture", { role: "img" });
  const legend = element(figure, "figcaption");
  const words = element(bottom, "div", "vae-said", { role: "status" });
  const notes = createNotes(host);
  addFullScreen(host, host);
  const cells = new Map(); // by name of the step, in order; the clean image's is "Image"
  let data, send, moved, shown, feed, checkpoint, answer, known, drawn, subject, unfollow = [];
  let [room, side] = [[96, 96], 96]; // px: for the tiles of a layer, and for the difference
  let orders = null; // of the channels: fixed for an image, whatever the noise
  let asked = null;

  const isNoisy = () => settings().noise > 0.004; // less is shown as 0
  const settings = () => ({ noise: moved.values.noise ?? data.noise, ...shown.values });

  function addCell(row, name, index) {
    if (row.childElementCount) element(row, "span", "vae-sign", { "aria-hidden": true }).textContent = BEFORE[name] ?? "→";
    const frame = element(row, "div", "vae-cell");
    const button = element(frame, "button", "", { type: "button" });
    const title = element(button, "b");
    title.textContent = name;
    const kind = element(button, "small");
    const place = element(button, "span", "vae-place");
    const below = element(button, "span", "vae-shape");
    const count = element(button, "small", "vae-parameters");
    const cell = { button, kind, place, below, count };
    if (index === null) button.disabled = true;
    else button.addEventListener("click", () => choose(index));
    if (name === "ε") {
      cell.again = element(frame, "button", "vae-again", { type: "button" });
      cell.again.textContent = "Resample ε";
      cell.again.addEventListener("click", (event) => {
        shown.move({ epsilon_seed: (shown.values.epsilon_seed + 1) % (MAX_SEED + 1) }, event.timeStamp);
        commit();
      });
    }
    cells.set(name, cell);
    return cell;
  }

  function build() {
    for (const row of rows) row.replaceChildren();
    cells.clear();
    addCell(rows[0], "Image", null);
    answer.steps.forEach((step, index) => {
      const cell = addCell(rows[ROW_OF[step.part]], step.name, index);
      const size = formatShape(step.shape) + (step.shape.length === 1 ? " values" : "");
      cell.kind.textContent = step.kind.replace("transposed convolution", "transposed conv.");
      cell.below.textContent = size;
      if (step.parameters) {
        const narrow = answer.channels === 3 || host.clientWidth < 500;
        cell.count.textContent = `${formatCount(step.parameters)} ${narrow ? "params" : "parameters"}`;
      }
      cell.button.setAttribute(
        "aria-label", [step.name, step.kind, size, `${formatCount(step.parameters)} parameters`].filter(Boolean).join(", "),
      );
      if (step.part === "bottleneck") {
        cell.svg = svgElement(cell.place, "svg", { preserveAspectRatio: "none" });
        svgElement(cell.svg, "path");
        svgElement(cell.svg, "path");
      }
    });
    if (!cells.has("ε")) {
      element(rows[1], "p", "vae-plain").textContent =
        "A plain autoencoder encodes an image as a point: there is no σ, and no ε to sample.";
    }
    measure();
  }

  function measure() {
    const alone = document.fullscreenElement === host; // two rows share the height
    const height = alone ? Math.max(96, Math.min(240, (host.clientHeight - 462) / 2)) : 96;
    room = [Math.max(64, cells.get("Input").button.clientWidth - 8), height];
    side = height;
  }

  function choose(index) {
    shown.move({ layer: index }, 0);
    commit();
  }

  function commit() {
    const { noise_seed, epsilon_seed, layer } = shown.values;
    send("values", { noise_seed, epsilon_seed, layer });
  }

  function ask(since) {
    const { noise, noise_seed, epsilon_seed, image } = settings();
    if (image !== known) [known, drawn] = [image, image]; // null once the drawing is cleared
    const picture = drawn ?? subject;
    const question = new Float32Array(picture.length + 4);
    question.set(picture);
    question.set([noise, noise_seed, epsilon_seed, data.sampled ? 1 : 0], picture.length);
    if (asked?.every((value, i) => value === question[i])) return;
    asked = question;
    if (feed) feed(() => ({ z: question, kind: drawn ? "drawn" : picture, since }));
  }

  function take(buffer, request) {
    answer = readAnswer(buffer);
    if (orders?.kind !== request.kind || orders.checkpoint !== checkpoint) {
      orders = { kind: request.kind, checkpoint, of: answer.steps.map(orderOf) };
    }
    Object.assign(answer, { orders: orders.of, checkpoint, sampled: data.sampled, name: drawn ? "Your drawing" : data.name });
    show();
    shown.move({ answer }, request.since);
    announce(host, { since: request.since, z: Float32Array.from(answer.steps.find((s) => s.name === "z").values) });
  }

  function show() {
    const built = `${checkpoint} ${answer.steps.map((step) => `${step.name} ${step.shape}`)}`;
    if (host.dataset.built !== built) {
      host.dataset.built = built;
      build();
    }
    const clean = cells.get("Image");
    clean.below.textContent = answer.name;
    canvasOf(clean);
    drawPicture(clean.canvas, answer.picture("clean"), answer, Math.min(...room));
    answer.steps.forEach((step, index) => showStep(step, index));
    drawDifference(difference, answer, side);
    const [more, less] = answer.channels === 1 ? ["darker", "brighter"] : ["brighter", "darker"];
    const most = formatNumber(127 * answer.pictures.difference_unit);
    legend.innerHTML = `<b>Output − image</b><span><i class="vae-above"></i>${more}</span>` +
      `<span><i class="vae-below"></i>${less}</span><span>largest difference: ${most}</span>`;
    difference.setAttribute("aria-label", `Difference between output and image, at most ${most} per pixel`);
    say();
    mark();
  }

  function canvasOf(cell) {
    cell.canvas ??= element(cell.place, "canvas", "vae-picture");
    return cell.canvas;
  }

  function showStep(step, index) {
    const cell = cells.get(step.name);
    if (cell.svg) {
      drawBars(cell.svg, step);
      if (step.values.length <= FEW) cell.below.textContent = step.values.map((value) => formatNumber(value)).join(", ");
    } else if (step.part === "encoder" || step.part === "decoder") {
      drawTiles(canvasOf(cell), step, answer.orders[index], room);
    } else {
      drawPicture(canvasOf(cell), answer.picture(step.name.toLowerCase()), answer, Math.min(...room));
    }
    if (step.name === "Input") cell.kind.textContent = isNoisy() ? "image + noise" : "no noise";
    if (step.name === "ε") {
      cell.kind.textContent = answer.sampled ? "from N(0, I)" : "not used";
      cell.again.hidden = !answer.sampled;
    }
    if (step.name === "z" && !step.kind) cell.kind.textContent = answer.sampled ? "μ + σ × ε" : "μ";
  }

  function say() {
    const values = product(answer.shape);
    const lines = [
      `<b>${formatCount(values)} input values, ${formatCount(answer.kept)} latent values (${formatNumber(values / answer.kept)}:1).</b>`,
    ];
    if (answer.kl !== null) {
      lines.push(
        `KL divergence from the prior: <b>${formatNumber(answer.kl)} nats</b> (${formatNumber(answer.kl / NATS_PER_BIT)} bits). ` +
        `The uncompressed image has ${formatCount(8 * values)} bits.`,
      );
    } else {
      lines.push("Without σ there is no KL divergence to measure the information in z.");
    }
    const [before, after] = [answer.error_of_input, answer.error_of_output];
    const lost = `Squared error of the output: <b>${formatNumber(after)}</b>`;
    if (isNoisy()) {
      const verdict = after < before
        ? "<b>The output is closer.</b>"
        : "The noisy input is closer.";
      lines.push(`${lost}; of the noisy input: <b>${formatNumber(before)}</b>. ${verdict}`);
    } else lines.push(`${lost}.`);
    words.innerHTML = lines.map((line) => `<p>${line}</p>`).join("");
  }

  function mark() {
    answer.steps.forEach((step, index) => {
      cells.get(step.name).button.setAttribute("aria-pressed", index === shown.values.layer);
    });
  }

  const resize = new ResizeObserver(() => {
    if (!answer) return;
    measure();
    show();
  });
  resize.observe(host);

  return {
    update(component) {
      ({ data, setTriggerValue: send } = component);
      for (const leave of unfollow) leave();
      moved = openChannel(data.channel);
      shown = openChannel(`${data.channel}-shown`);
      shown.give(data.values);
      const picked = toFloats(data.image);
      if (!subject || picked.some((value, i) => value !== subject[i]) || checkpoint !== data.checkpoint) {
        [subject, drawn] = [picked, null]; // the last choice is shown
      }
      if (checkpoint !== data.checkpoint) {
        checkpoint = data.checkpoint;
        asked = null;
        const mine = checkpoint;
        const source = createSource(mine);
        const follower = {
          decode: async (question) => (await source.ask("anatomy", question, "X-Values")).arrayBuffer(),
        };
        const draw = (buffer, request) => mine === checkpoint && take(buffer, request);
        feed = createFeed(follower, notes, draw, () => component.setStateValue("unreachable", true));
      }
      if (data.answer) {
        feed = null;
        take(toBytes(data.answer).buffer, { kind: subject, since: 0 });
      }
      const follow = (since) => {
        if (answer) mark();
        ask(since);
      };
      unfollow = [moved.follow(follow), shown.follow(follow)];
      ask(0);
    },
    destroy() {
      for (const leave of unfollow) leave();
      resize.disconnect();
    },
  };
}
