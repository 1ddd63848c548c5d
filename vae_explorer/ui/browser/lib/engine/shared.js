// The app's engines: one a model, shared by the views of a page and kept for the next page.

import { RequestError, appPath, createSource } from "../source.js";
import { createEngine } from "./engine.js";

const KEPT = 2; // engines that no view uses

let embedded = null; // of a page that has its models inside

/** From now on models come from `load(checkpoint, network)`, a promise of packed bytes, and there is no server. */
export function embedModels(load) {
  embedded = load;
}

/** Load a network's packed weights from the server; the browser keeps them, but for a tuned decoder's. */
export async function fetchWeights(checkpoint, fingerprint, network, tuned = null) {
  if (embedded) return embedded(checkpoint, network);
  const path = tuned && network === "decoder"
    ? `api/tuned/${tuned}`
    : `api/weights/${encodeURIComponent(checkpoint)}/${fingerprint}?network=${network}`;
  const answer = await fetch(appPath() + path);
  if (!answer.ok) throw new RequestError(answer.status, await answer.text());
  return answer.arrayBuffer();
}

/** Open a model for a view: a source (../source.js) with `label`, `onLabel(callback)`, `createSource()` and `close()`.
 *
 * `tuned`: the id of a decoder that is tuned to photos, instead of the checkpoint's.
 * The views of a page may be separate script instances, so the engines belong to the page.
 */
export function openModel(checkpoint, fingerprint, { tuned = null, createServer = createSource } = {}) {
  const engines = (globalThis.__vaeEngines ??= new Map());
  const key = `${checkpoint} ${fingerprint} ${tuned ?? ""}`;
  const found = engines.get(key) ?? { users: 0, followers: new Set() };
  found.engine ??= createEngine((network) => fetchWeights(checkpoint, fingerprint, network, tuned), {
    onChange: (label) => found.followers.forEach((follow) => follow(label)),
  });
  found.users++;
  engines.delete(key);
  engines.set(key, found); // the last one used is last
  const mine = new Set();
  let isOpen = true;
  // Each with a server of its own: of what one source has waiting there, only the newest is answered.
  const createOne = () => found.engine.source(embedded ? null : createServer(checkpoint, tuned));
  return {
    ...createOne(),
    /** Another source of the same model. */
    createSource: createOne,
    engine: found.engine,
    get label() {
      return found.engine.label;
    },
    /** Call back with the label, now and whenever it changes. */
    onLabel(follow) {
      mine.add(follow);
      found.followers.add(follow);
      if (found.engine.label) follow(found.engine.label);
    },
    close() {
      if (!isOpen) return;
      isOpen = false;
      for (const follow of mine) found.followers.delete(follow);
      found.users--;
      const unused = [...engines].filter(([, { users }]) => !users);
      for (const [name, { engine }] of unused.slice(0, -KEPT)) {
        engine.close();
        engines.delete(name);
      }
    },
  };
}
