/* Mounting: every live picture of the app is a view of one component.
 *
 * `live.py`, `live_faces.py`, `linked.py` and `anatomy_stage.py` say what each view is given. Nothing here makes the
 * script rerun while something moves: a picture comes from `createSource`, z -> pixels, and on
 * release, and only then, state goes to Python.
 *
 * Views of one page share a channel, by name: a slider in the panel moves the grid on the stage.
 */

const VIEWS = {
  map: createMap, grid: createGrid, sliders: createSliders, strip: createStrip, draw: createDraw, photo: createPhoto,
  morph: createMorph, corners: createCorners, edit: createEdit, linked: createLinked, network: createNetwork,
  layer: createLayer, playback: createPlayback,
};

const CORNERS = `
  <svg viewBox="0 0 16 16" width="16" height="16" fill="none" stroke="currentColor" stroke-width="2">
    <path d="M1 5V1h4M11 1h4v4M15 11v4h-4M5 15H1v-4"/>
  </svg>`;

function addFullScreen(host) {
  const button = element(host, "button", "vae-full", {
    type: "button", title: "Full screen (f)", "aria-label": "Full screen",
  });
  button.innerHTML = CORNERS;
  const toggle = () => (document.fullscreenElement ? document.exitFullscreen() : host.requestFullscreen());
  button.addEventListener("click", toggle);
  host.addEventListener("keydown", (event) => event.key === "f" && !event.ctrlKey && !event.metaKey && toggle());
}

export default function mount(component) {
  const { parentElement, data } = component;
  let host = parentElement.querySelector(":scope > .vae-stage");
  if (host && host.dataset.view !== data.view) {
    host.stage.destroy();
    host.remove();
    host = null;
  }
  if (!host) {
    host = element(parentElement, "div", "vae-stage", { "data-view": data.view });
    host.stage = VIEWS[data.view](host);
    if (["map", "grid", "linked", "network"].includes(data.view)) addFullScreen(host);
  }
  if (data.height) host.style.setProperty("--height", `${data.height}px`);
  host.stage.update(component);
  // Streamlit also cleans up between two runs of the script; only what left the page is gone.
  return () => setTimeout(() => host.isConnected || host.stage.destroy());
}
