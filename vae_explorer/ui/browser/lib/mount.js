// Mounting a view: the host element, and what is destroyed when.

import { element } from "./dom.js";

/** Mount the view that `component.data.view` names, or update it; returns what cleans up. */
export function mountView(views, component) {
  const { parentElement, data } = component;
  let host = parentElement.querySelector(":scope > .vae-stage");
  if (host && host.dataset.view !== data.view) {
    host.view.destroy();
    host.remove();
    host = null;
  }
  if (!host) {
    host = element(parentElement, "div", "vae-stage", { "data-view": data.view });
    host.view = views[data.view](host);
  }
  if (data.height) host.style.setProperty("--height", `${data.height}px`);
  host.view.update(component);
  // Streamlit also cleans up between two runs of the script: destroy only what has left the page.
  return () => setTimeout(() => host.isConnected || host.view.destroy());
}
