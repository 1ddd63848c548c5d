// Entry point: mounts one view of the table below; every live figure of the app is one of them.
//
// A view is a function of its host element that returns {update(component), destroy()}. `component.data` is
// what Python gave it. Nothing here makes the script run again while something moves: state goes to Python
// on release. Views of one page share values over a channel, by its name.

import { createDrawBox } from "./explore/draw_box.js";
import { createGrid } from "./explore/grid.js";
import { createMap } from "./explore/map.js";
import { createSliders } from "./explore/sliders.js";
import { createStrip } from "./explore/strip.js";
import { createCorners } from "./faces/corners.js";
import { createEdit } from "./faces/edit.js";
import { createMorph } from "./faces/morph.js";
import { createPhoto } from "./faces/photo.js";
import { createLayer } from "./learn/layer.js";
import { createLinked } from "./learn/linked.js";
import { createNetwork } from "./learn/network.js";
import { bound } from "./learn/objective/bound.js";
import { bubbles } from "./learn/objective/bubbles.js";
import { createFrame } from "./learn/objective/frame.js";
import { kl } from "./learn/objective/kl.js";
import { pixel } from "./learn/objective/pixel.js";
import { trick } from "./learn/objective/trick.js";
import { mountView } from "./lib/mount.js";
import { createPlayback } from "./train/playback.js";
import { createProgress } from "./train/progress.js";

const framed = (figure) => (host) => createFrame(host, figure);

const VIEWS = {
  map: createMap,
  grid: createGrid,
  sliders: createSliders,
  strip: createStrip,
  draw: createDrawBox,
  photo: createPhoto,
  morph: createMorph,
  corners: createCorners,
  edit: createEdit,
  linked: createLinked,
  network: createNetwork,
  layer: createLayer,
  trick: framed(trick),
  kl: framed(kl),
  bubbles: framed(bubbles),
  pixel: framed(pixel),
  bound: framed(bound),
  progress: createProgress,
  playback: createPlayback,
};

export default function mount(component) {
  return mountView(VIEWS, component);
}
