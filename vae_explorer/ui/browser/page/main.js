// The page of exported models: mounts the app's views with what Python packed into the page.

import { createDrawBox } from "../explore/draw_box.js";
import { createGrid } from "../explore/grid.js";
import { createSliders } from "../explore/sliders.js";
import { createUpload } from "../explore/upload.js";
import { createCorners } from "../faces/corners.js";
import { createEdit } from "../faces/edit.js";
import { createMorph } from "../faces/morph.js";
import { createLinked } from "../learn/linked.js";
import { element, packFloats } from "../lib/dom.js";
import { embedModels, openModel } from "../lib/engine/shared.js";
import { lerp, slerp } from "../lib/latents.js";
import { mountView } from "../lib/mount.js";
import { fromText, unzip } from "../lib/packed_text.js";
import { createBuffer } from "../lib/photo.js";
import { drawLatents } from "../lib/random.js";

const VIEWS = {
  draw: createDrawBox,
  grid: createGrid,
  sliders: createSliders,
  upload: createUpload,
  corners: createCorners,
  edit: createEdit,
  morph: createMorph,
  linked: createLinked,
};
const MAX_SEED = 99_999;
const EXAMPLES = "ABCDEF"; // generated faces, of the seeds 0, 1, ...
const EXAMPLE_TEMPERATURE = 0.7; // as in the app
const PATH_POINTS = 65; // of a morph; straight between them
const PATHS = { spherical: "Spherical", linear: "Linear" };
const GRID_HEIGHT = 520; // px, at most

const unpack = (number, part) => {
  const block = document.querySelector(`script[data-model="${number}"][data-part="${part}"]`);
  return unzip(fromText(block.textContent));
};
embedModels((checkpoint, network) => unpack(checkpoint, network));

const [header, tabs, sentence, main, stage, panel, label] = [
  ".page-header", ".page-header nav", ".page-sentence", ".page-main", ".page-stage", ".page-panel", ".page-label",
].map((selector) => document.querySelector(selector));
const cards = [...document.querySelectorAll("[data-card]")];
const models = []; // by number, once they are read
let shown = null; // {model, tab}
let mounted = []; // what cleans up the views of the page

// ------------------------------------------------------------------ controls

function addField(parent, title, control) {
  const field = element(parent, "label", "page-field");
  element(field, "span").textContent = title;
  control.setAttribute("aria-label", title);
  field.append(control);
  return control;
}

function addSelect(parent, title, options, value, onChange) {
  const select = document.createElement("select");
  for (const [name, text] of Object.entries(options)) {
    const option = element(select, "option", "", { value: name });
    option.textContent = text;
  }
  select.value = value;
  select.addEventListener("change", () => onChange(select.value));
  return addField(parent, title, select);
}

function addButton(parent, text, onClick) {
  const button = element(parent, "button", "", { type: "button" });
  button.textContent = text;
  button.addEventListener("click", onClick);
  return button;
}

function addText(parent, text) {
  const words = element(parent, "p");
  words.textContent = text;
  return words;
}

/** Mount a view, or update the one that was mounted in this place; `on` has what it sends, by name. */
function mount(place, data, on = {}) {
  const setTriggerValue = (name, value) => on[name]?.(value);
  const isNew = !place.firstElementChild;
  const cleanUp = mountView(VIEWS, { parentElement: place, data, setTriggerValue, setStateValue() {} });
  if (isNew) mounted.push(cleanUp);
}

const IS_TOUCHED = window.matchMedia("(pointer: coarse)").matches;
const defaults = (settings) => Object.fromEntries(settings.map(({ name, reset }) => [name, reset]));
const describe = ({ number, fingerprint, latent_dim, ink }) => ({ checkpoint: String(number), fingerprint, latent_dim, ink });
const channelOf = (model, name) => `${name}-${model.number}`;
const isFaces = (model) => model.is_faces;

// ------------------------------------------------------------------ faces that can be chosen

/** The images of latents, one after another, as data URLs `side` px wide. */
async function drawFaces(model, z, side) {
  const source = openModel(String(model.number), model.fingerprint);
  try {
    const { width, height, count, pixels } = await source.decode(z);
    const [small, large] = [createBuffer(width), createBuffer(side)];
    large.imageSmoothingQuality = "high";
    return Array.from({ length: count }, (_, i) => {
      const bytes = pixels.slice(4 * width * height * i, 4 * width * height * (i + 1));
      small.putImageData(new ImageData(bytes, width, height), 0, 0);
      large.drawImage(small.canvas, 0, 0, side, side);
      return large.canvas.toDataURL("image/png");
    });
  } finally {
    source.close();
  }
}

/** The faces of a model, by name: {name, z, picture: a promise of its address, isPhoto}. */
function facesOf(model) {
  if (!model.choice) {
    model.choice = new Map();
    [...EXAMPLES].forEach((letter, seed) => {
      const { z, centre } = drawLatents(model.priors[0], model.latent_dim, 1, seed);
      addFace(model, `Generated ${letter}`, lerp(Array.from(centre), Array.from(z), EXAMPLE_TEMPERATURE));
    });
  }
  return model.choice;
}

function addFace(model, name, z, picture = null) {
  const face = { name, z, isPhoto: picture !== null };
  let made = picture && Promise.resolve(picture);
  face.picture = () => (made ??= drawFaces(model, Float32Array.from(z), model.faces.side).then(([address]) => address));
  model.choice.set(name, face);
}

function addFaceSelect(parent, model, title, key, usual, onChange) {
  const faces = facesOf(model);
  const names = Object.fromEntries([...faces.keys()].map((name) => [name, name]));
  const value = faces.has(model.chosen[key]) ? model.chosen[key] : [...faces.keys()][usual];
  model.chosen[key] = value;
  addSelect(parent, title, names, value, (name) => {
    model.chosen[key] = name;
    onChange();
  });
}

// ------------------------------------------------------------------ tabs

function showMap(model) {
  const place = element(stage, "div");
  const { points, attributes, middle, half } = model.map;
  const z = packFloats(points);
  const count = points.length / 2;
  const hidden = new Set();
  let [labels, names] = [model.map.labels ?? Array(count).fill(0), model.map.labels ? model.label_names : []];
  const redraw = () => mount(place, {
    view: "linked",
    maps: [{
      ...describe(model), title: "", note: "", z, middle, half, plane: model.latent_dim > 2 ? model.plane : undefined,
    }],
    labels, label_names: names, colours: model.colours, hidden: [...hidden], link: "place", picture: 140, channel: channelOf(model, "map"),
    description: "Latent map. Move the pointer over it, or use the arrow keys, to decode any place.",
  });
  const legend = document.createElement("div");
  legend.className = "page-legend";
  const fillLegend = () => {
    legend.replaceChildren();
    hidden.clear();
    names.forEach((name, k) => {
      const button = addButton(legend, name, () => {
        if (!hidden.delete(k)) hidden.add(k);
        button.setAttribute("aria-pressed", !hidden.has(k));
        redraw();
      });
      button.setAttribute("aria-pressed", true);
      button.style.setProperty("--class-colour", model.colours[k % model.colours.length]);
    });
  };
  const colours = Object.keys(attributes);
  if (colours.length) {
    const colourBy = (name) => {
      labels = Array.from(attributes[name], Number);
      names = [`${name}: no`, `${name}: yes`];
      fillLegend();
      redraw();
    };
    const options = Object.fromEntries(colours.map((name) => [name, name]));
    addSelect(panel, "Colour by", options, colours[0], colourBy);
    panel.append(legend);
    colourBy(colours[0]);
  } else {
    panel.append(legend);
    fillLegend();
    redraw();
  }
  if (model.latent_dim > 2) {
    addText(panel, `The plane of the first two of ${model.latent_dim} principal components; the others are at their mean.`);
  }
  if (model.compared) {
    const draw = element(panel, "details");
    draw.open = true;
    element(draw, "summary").textContent = "Draw a digit";
    const box = element(draw, "div");
    mount(box, {
      view: "draw", latents: packFloats(model.compared.z), labels: model.compared.labels, label_names: model.label_names,
      image_size: model.image_shape[1], channel: channelOf(model, "map"), ...describe(model),
    });
  } else {
    const load = element(panel, "details");
    load.open = true;
    element(load, "summary").textContent = model.is_faces ? "Your photo" : "Your image";
    addText(load, model.is_faces
      ? "Move and zoom the photo until the eyes are in the rings. It stays in this browser."
      : `Choose an image like those of ${model.data}, alone and centred. It stays in this browser.`);
    mount(element(load, "div"), {
      view: "upload", image_shape: model.image_shape, inner: model.inner, eyes: model.faces?.eyes,
      hint: "The dot on the map is its encoding.", channel: channelOf(model, "map"), ...describe(model),
    }, {
      taken: ({ z, picture }) => {
        if (!model.is_faces) return;
        facesOf(model);
        addFace(model, "Your photo", z, picture);
      },
    });
  }
}

function showGrid(model) {
  const channel = channelOf(model, "grid");
  const place = element(stage, "div");
  let [columns, spacing] = [15, "linear"];
  if (model.image_shape[1] > 32) columns = 9;
  const redraw = () => mount(place, {
    view: "grid", columns, height: GRID_HEIGHT, channel, values: defaults(model.window), framed: [],
    tiles: {
      kind: "plane", plane: model.plane, names: model.plane.names, others: {}, spacing,
      extent: "extent", limits: [model.window[0].low, model.window[0].high], x: "x", y: "y",
    },
    description: `Grid of ${columns} × ${columns} decoded images over ${model.plane.names.join(" and ")}`,
    ...describe(model),
  });
  mount(element(panel, "div"), {
    view: "sliders", settings: model.window, pad: ["x", "y"], channel, values: defaults(model.window),
  });
  const sizes = Object.fromEntries([5, 9, 15, 20].map((n) => [n, `${n} × ${n}`]));
  const row = element(panel, "div", "page-row");
  addSelect(row, "Grid size", sizes, columns, (n) => {
    columns = Number(n);
    redraw();
  });
  addSelect(row, "Spacing", { linear: "Linear", quantile: "Quantile" }, spacing, (name) => {
    spacing = name;
    redraw();
  });
  redraw();
}

function showSamples(model) {
  const channel = channelOf(model, "samples");
  const d = model.latent_dim;
  const place = element(stage, "div");
  const state = (model.samples ??= { seed: 0, side: 6, prior: 0, taken: 0 });
  const values = { temperature: model.temperature.reset };
  const tilesOf = (z, centre, fixed) => ({
    kind: "list", z: packFloats(z), centre: packFloats(centre), fixed: Array(z.length / d).fill(fixed), temperature: "temperature",
  });
  const redraw = () => {
    caption.textContent = model.priors[state.prior].caption;
    const { z, centre } = drawLatents(model.priors[state.prior], d, state.side ** 2, state.seed);
    mount(place, {
      view: "grid", columns: state.side, height: GRID_HEIGHT, channel, values, framed: [], tiles: tilesOf(z, centre, false),
      description: `Grid of ${state.side} × ${state.side} samples`, ...describe(model),
    }, { clicked: enlarge });
  };
  const caption = addText(panel, "");
  const row = element(panel, "div", "page-row");
  if (model.priors.length > 1) {
    const names = Object.fromEntries(model.priors.map((prior, k) => [k, prior.label]));
    addSelect(row, "Prior", names, state.prior, (k) => {
      state.prior = Number(k);
      redraw();
    });
  }
  const sides = Object.fromEntries([4, 6, 8, 10].map((n) => [n, `${n} × ${n}`]));
  addSelect(row, "Grid size", sides, state.side, (n) => {
    state.side = Number(n);
    redraw();
  });
  mount(element(panel, "div"), { view: "sliders", settings: [model.temperature], pad: null, channel, values });
  const seeds = element(panel, "div", "page-row");
  const seed = document.createElement("input");
  Object.assign(seed, { type: "number", min: 0, max: MAX_SEED, step: 1, value: state.seed });
  addField(seeds, "Seed", seed);
  const take = (value) => {
    state.seed = Math.min(MAX_SEED, Math.max(0, Math.trunc(Number(value)) || 0));
    seed.value = state.seed;
    redraw();
  };
  seed.addEventListener("change", () => take(seed.value));
  addButton(seeds, "New samples", () => take((state.seed + 1) % (MAX_SEED + 1)));
  const large = element(panel, "div");
  const about = addText(panel, "Click an image to enlarge it.");
  function enlarge({ z }) {
    mount(large, {
      view: "grid", columns: 1, height: 190, channel: `${channel}-large`, values: { temperature: 1 }, framed: [],
      tiles: tilesOf(z, z, true), description: "The sample that was clicked", ...describe(model),
    });
    about.textContent = d <= 4 ? `z = (${z.map((value) => value.toPrecision(3)).join(", ")})` : "";
    if (!model.is_faces) return;
    facesOf(model);
    state.taken++;
    addFace(model, `Sample ${state.taken}`, z);
    about.textContent = `Sample ${state.taken}: now among the faces of Morph and Edit.`;
  }
  redraw();
}

function showDimensions(model) {
  const channel = channelOf(model, "dimensions");
  const d = model.latent_dim;
  const unit = (k) => Array.from({ length: d }, (_, i) => Number(i === k));
  const [first, second, ...others] = model.dimensions;
  const values = { ...defaults(model.dimensions), extent: 1 };
  mount(element(stage, "div"), {
    view: "grid", columns: 1, height: 420, channel, values, framed: [],
    tiles: {
      kind: "plane", plane: { origin: Array(d).fill(0), axes: [unit(first.dimension), unit(second.dimension)] }, names: ["", ""],
      others: Object.fromEntries(others.map((each) => [each.name, unit(each.dimension)])),
      spacing: "linear", extent: "extent", limits: [1, 1], x: first.name, y: second.name,
    },
    description: "Image decoded at the values of the sliders", ...describe(model),
  });
  const pad = d === 2 ? [first.name, second.name] : null;
  const sliders = element(panel, "div", d > 6 ? "page-scroll" : "");
  // A pad takes the place of its sliders: with two dimensions, both are shown.
  if (pad) mount(element(sliders, "div"), { view: "sliders", settings: model.dimensions, pad, channel, values });
  mount(element(sliders, "div"), { view: "sliders", settings: model.dimensions, pad: null, channel, values });
  const order = d > 2 ? " The dimensions that carry most come first." : "";
  addText(panel, `Double-click a slider to reset it to 0.${order}`);
}

function showMorph(model) {
  const channel = channelOf(model, "morph");
  const place = element(stage, "div");
  const state = (model.morph ??= { kind: "two", path: "spherical" });
  const { detail } = model.faces;
  let turn = 0;
  async function redraw() {
    const mine = ++turn;
    const keys = state.kind === "two" ? ["from", "to"] : ["a", "b", "c", "d"];
    const faces = keys.map((key) => facesOf(model).get(model.chosen[key]));
    const pictures = await Promise.all(faces.map((face) => face.picture()));
    if (mine !== turn || !place.isConnected) return;
    details.hidden = state.kind !== "two" || !faces.some((face) => face.isPhoto);
    const shared = { pictures, names: faces.map((face) => face.name), ...describe(model) };
    if (state.kind === "four") {
      mount(place, {
        view: "corners", corners: packFloats(faces.flatMap((face) => [...face.z])), columns: 7,
        spherical: state.path === "spherical", description: "Grid of 7 × 7 faces between the four corners", ...shared,
      });
      return;
    }
    const between = state.path === "spherical" ? slerp : lerp;
    const [a, b] = faces.map((face) => Array.from(face.z));
    const path = Array.from({ length: PATH_POINTS }, (_, i) => between(a, b, i / (PATH_POINTS - 1)));
    mount(place, {
      view: "morph", path: packFloats(path.flat()), size: model.faces.side, image_size: model.image_shape[1], steps: 8,
      channel, values: defaults([detail]), detail: detail.name,
      constants: { fade_power: model.faces.fade_power }, description: `8 images from ${faces[0].name} to ${faces[1].name}`,
      ...shared,
    });
  }
  addSelect(panel, "Morph between", { two: "Two faces", four: "Four faces" }, state.kind, (kind) => {
    state.kind = kind;
    fill();
    redraw();
  });
  const choices = element(panel, "div", "page-row");
  const roles = {
    two: [["from", "From", 0], ["to", "To", 1]],
    four: [["a", "Top left", 0], ["b", "Top right", 1], ["c", "Bottom left", 2], ["d", "Bottom right", 3]],
  };
  function fill() {
    choices.replaceChildren();
    for (const [key, title, usual] of roles[state.kind]) addFaceSelect(choices, model, title, key, usual, redraw);
  }
  addSelect(panel, "Interpolation", PATHS, state.path, (path) => {
    state.path = path;
    redraw();
  });
  const details = element(panel, "div");
  details.hidden = true;
  mount(element(details, "div"), { view: "sliders", settings: [detail], pad: null, channel, values: defaults([detail]) });
  addText(panel, "To add faces, click images in Generate, or load a photo in Latent map.");
  fill();
  redraw();
}

function showEdit(model) {
  const { groups, vectors, detail, side, blending } = model.faces;
  const channel = channelOf(model, "edit");
  const place = element(stage, "div");
  const values = { ...defaults(groups.flatMap((group) => group.settings)), [detail.name]: detail.reset };
  const packed = Object.fromEntries(Object.entries(vectors).map(([name, vector]) => [name, packFloats(vector)]));
  let turn = 0;
  async function redraw() {
    const mine = ++turn;
    const face = facesOf(model).get(model.chosen.face);
    const picture = await face.picture();
    if (mine !== turn || !place.isConnected) return;
    mount(place, {
      view: "edit", z: packFloats(face.z), picture, name: face.name, size: side, vectors: packed, channel, values,
      detail: detail.name, constants: blending, description: "Edited face", ...describe(model),
    });
  }
  addFaceSelect(panel, model, "Face", "face", 0, redraw);
  const folds = element(panel, "div");
  groups.forEach(({ title, settings }, k) => {
    const fold = element(folds, "details");
    fold.open = k === 0;
    element(fold, "summary").textContent = title;
    mount(element(fold, "div"), { view: "sliders", settings, pad: null, channel, values });
  });
  mount(element(panel, "div"), { view: "sliders", settings: [detail], pad: null, channel, values });
  redraw();
}

const TABS = [
  {
    name: "map", title: "Latent map", show: showMap,
    sentence: (model) => `Every point is an encoded ${model.points_are}. ${IS_TOUCHED ? "Touch" : "Move over"} the map to decode any place.`,
  },
  {
    name: "grid", title: "Decoded grid", show: showGrid,
    sentence: () => `The decoder's output on a regular grid. Drag to pan${IS_TOUCHED ? "" : ", scroll to zoom"}.`,
  },
  {
    name: "samples", title: "Generate", show: showSamples,
    sentence: (model) => (model.kind === "vae" ? "Decode random samples from the prior." : "Decode random samples."),
  },
  {
    name: "dimensions", title: "Dimensions", show: showDimensions,
    sentence: () => "Drag a slider to see what a latent dimension encodes.",
  },
  {
    name: "morph", title: "Morph", show: showMorph, fits: isFaces,
    sentence: () => "Interpolate between two faces in latent space. Drag the slider.",
  },
  {
    name: "edit", title: "Edit", show: showEdit, fits: (model) => model.is_faces && model.faces.groups.length > 0,
    sentence: () => "Change one attribute at a time.",
  },
  {
    name: "card", title: "Overview", show: () => {},
    sentence: () => "What the model is, what it was trained on, and on which terms.",
  },
];

// ------------------------------------------------------------------ the page

function clear() {
  mounted.forEach((cleanUp) => cleanUp());
  mounted = [];
  stage.replaceChildren();
  panel.replaceChildren();
}

function open(model, name) {
  const offered = TABS.filter(({ fits }) => !fits || fits(model));
  const tab = offered.find((each) => each.name === name) ?? offered[0];
  shown = { model, tab };
  clear();
  tabs.replaceChildren();
  for (const each of offered) {
    const button = addButton(tabs, each.title, () => open(model, each.name));
    button.id = `tab-${each.name}`;
    button.setAttribute("role", "tab");
    button.setAttribute("aria-selected", each === tab);
    button.tabIndex = each === tab ? 0 : -1;
  }
  main.setAttribute("aria-labelledby", `tab-${tab.name}`);
  sentence.textContent = tab.sentence(model);
  cards.forEach((card, k) => (card.hidden = tab.name !== "card" || k !== model.number));
  main.hidden = tab.name === "card";
  tab.show(model);
}

tabs.addEventListener("keydown", (event) => {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!step) return;
  const buttons = [...tabs.children];
  const next = (buttons.findIndex((button) => button.tabIndex === 0) + step + buttons.length) % buttons.length;
  buttons[next].click();
  tabs.children[next].focus();
  event.preventDefault();
});

let followed = null;

async function choose(number) {
  const bytes = models[number] ? null : await unpack(number, "about");
  models[number] ??= { ...JSON.parse(new TextDecoder().decode(bytes)), number, chosen: {} };
  const model = models[number];
  followed?.close();
  followed = openModel(String(number), model.fingerprint); // before the views: where it computes is shown
  followed.onLabel((text) => (label.textContent = text));
  open(model, shown?.tab.name ?? (model.is_faces ? "samples" : "map"));
}

if (cards.length > 1) {
  const titles = Object.fromEntries(cards.map((card, k) => [k, card.querySelector("h2").textContent]));
  const heading = header.querySelector("h1");
  const select = addSelect(heading, "", titles, 0, (number) => choose(Number(number)));
  select.setAttribute("aria-label", "Model");
  heading.replaceChildren(select);
}
// Colours that are drawn on a canvas do not follow the theme by themselves.
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => shown && open(shown.model, shown.tab.name));
choose(0).catch((error) => {
  sentence.className = "page-problem";
  sentence.textContent = `This browser cannot show the model: ${error.message}. Use a current version of Chrome, Edge, Firefox or Safari.`;
});
