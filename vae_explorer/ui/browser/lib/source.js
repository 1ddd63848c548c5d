// Client of the decode and encode routes, and a latest-wins request queue.

/** Requests in flight where one answer is drawn while the next is computed. */
export const LANES = 2;

const SPINNER_AFTER = 300; // ms
const RETRY_AFTER = 1000; // ms, when the server does not answer
const BUSY_FOR = 100; // ms, when the server has too much to do
const GIVE_UP_AFTER = 10_000; // ms without an answer
const OUR_STATUSES = [409, 410, 413, 422, 503]; // what the route itself refuses with
const DROPPED = "The server dropped this tuned decoder to make room. Move a control to tune it again.";

export class RequestError extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

/** The path below which the app is served: page names have no slash. */
export function appPath() {
  return location.pathname.replace(/[^/]*$/, "");
}

/** A model's encoder and decoder over HTTP, or a tuned decoder by its id. Another source need only have the same methods. */
export function createSource(checkpoint, tuned = null) {
  const stage = Array.from(crypto.getRandomValues(new Uint32Array(4)), (n) => n.toString(16)).join("");

  async function ask(verb, body, mark) {
    const isTuned = tuned && verb === "decode";
    const path = isTuned ? `tuned/${tuned}` : `${verb}/${encodeURIComponent(checkpoint)}`;
    const answer = await fetch(`${appPath()}api/${path}`, {
      method: "POST",
      body,
      headers: { "X-Stage": stage, "Content-Type": "application/octet-stream" },
      signal: AbortSignal.timeout(GIVE_UP_AFTER),
    });
    const isOurs = answer.headers.get("Content-Type")?.startsWith("text/plain");
    if (isTuned && answer.status === 404 && isOurs) throw new RequestError(410, DROPPED);
    // A host that does not forward the route may answer with a page of its own.
    if (!answer.ok || !answer.headers.has(mark)) {
      throw new RequestError(answer.ok ? 404 : answer.status, answer.ok ? "no answer" : await answer.text());
    }
    return answer;
  }

  return {
    ask,
    /** z: Float32Array of n latents. Returns {width, height, count, pixels: RGBA bytes}. */
    async decode(z) {
      const answer = await ask("decode", z, "X-Count");
      const [width, height, count] = ["X-Width", "X-Height", "X-Count"].map((name) => Number(answer.headers.get(name)));
      return { width, height, count, pixels: new Uint8ClampedArray(await answer.arrayBuffer()) };
    },
    /** image: Float32Array of one image in [0, 1]. Returns {zMean, zLogVar (empty if there is none)}. */
    async encode(image) {
      const answer = await ask("encode", image, "X-Latent-Dim");
      const d = Number(answer.headers.get("X-Latent-Dim"));
      const values = new Float32Array(await answer.arrayBuffer());
      return { zMean: values.slice(0, d), zLogVar: values.slice(d) };
    },
  };
}

/** A latest-wins queue: `lanes` requests in flight, and only the newest of the others waits.
 *
 * Returns `ask(compose)`. `compose()` makes the request when it is its turn: {z, since: timestamp of
 * the input that caused it, ...}; `draw(answer, request)` gets what `source.decode(z)` answers.
 */
export function createFeed(source, notes, draw, whenLost, lanes = 1) {
  let free = lanes;
  let waiting = null;
  let reached = false;

  async function work(compose) {
    const request = compose();
    free--;
    const spinner = setTimeout(() => notes.show("…"), SPINNER_AFTER);
    let images = null;
    try {
      images = await source.decode(request.z);
    } catch (error) {
      const wait = explain(error);
      if (wait) {
        setTimeout(() => next(() => request), wait);
        return;
      }
    } finally {
      clearTimeout(spinner);
    }
    try {
      if (images) {
        reached = true;
        notes.hide();
        draw(images, request);
      }
    } finally {
      next(null);
    }
  }

  /** Report an error; return after how many ms to ask again, 0 for not at all. */
  function explain(error) {
    // By its name: the engine may belong to another script instance of the page.
    if (error.name === "EngineError") {
      notes.show(error.message);
      return 0;
    }
    const refused = error instanceof RequestError;
    // If the very first answer is not from the route, something stands between us and the server.
    if (!reached && !(refused && OUR_STATUSES.includes(error.status))) whenLost();
    if (!refused) {
      // No connection: what was drawn last stays.
      notes.show("The server does not respond. Retrying …");
      return RETRY_AFTER;
    }
    const replaced = error.status === 409; // by a newer request
    if (error.status === 503 || (replaced && lanes > 1)) return BUSY_FOR;
    if (!replaced) notes.show(error.message);
    return 0;
  }

  function next(fallback) {
    const compose = waiting ?? fallback;
    waiting = null;
    free++;
    if (compose) work(compose);
  }

  return (compose) => {
    if (free) work(compose);
    else waiting = compose;
  };
}
