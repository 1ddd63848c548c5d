// The model of a view: opened, closed and replaced as the view is given another.

import { element } from "./dom.js";
import { openModel } from "./engine/shared.js";

/** Hold the model that a view decodes with; a line at the end of `host`, if given, says where it is computed. */
export function createHolder(host = null) {
  const line = host && element(host, "div", "vae-where");
  let model = null;
  let key = null;
  const holder = {
    /** Open the model of `data`; returns whether it is another than before. */
    take({ checkpoint, fingerprint, tuned }) {
      const wanted = JSON.stringify([checkpoint, fingerprint, tuned]);
      if (wanted === key) return false;
      holder.close();
      key = wanted;
      model = openModel(checkpoint, fingerprint, { tuned });
      if (line) model.onLabel((label) => (line.textContent = label));
      return true;
    },
    /** A source (./source.js) for one feed: of what waits at the server, each has its own newest. */
    source: () => model.createSource(),
    /** Let go of the model: the view has left the page. */
    close() {
      model?.close();
      model = key = null;
      if (line) line.textContent = "";
    },
  };
  return holder;
}
