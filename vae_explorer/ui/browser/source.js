// Where pictures come from.

const SPINNER_AFTER = 300; // ms
const RETRY_AFTER = 1000; // ms, of a server that is gone
const BUSY_FOR = 100; // ms, of a server that has too much to do
const GIVE_UP_AFTER = 10_000; // ms without an answer
const OURS = [409, 413, 422, 503]; // what the route itself refuses with

/** Latents to pixels, over HTTP. Another source need only have the same functions. */
function createSource(checkpoint) {
  const stage = Array.from(crypto.getRandomValues(new Uint32Array(4)), (n) => n.toString(16)).join("");

  async function ask(verb, body, mark) {
    const answer = await fetch(`${appPath()}api/${verb}/${encodeURIComponent(checkpoint)}`, {
      method: "POST",
      body,
      headers: { "X-Stage": stage, "Content-Type": "application/octet-stream" },
      signal: AbortSignal.timeout(GIVE_UP_AFTER),
    });
    // A host that does not pass the route on may answer with a page of its own.
    if (!answer.ok || !answer.headers.has(mark)) {
      throw new Refusal(answer.ok ? 404 : answer.status, answer.ok ? "no answer" : await answer.text());
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
    /** image: Float32Array of one picture in [0, 1]. Returns {zMean, zLogVar (empty if there is none)}. */
    async encode(image) {
      const answer = await ask("encode", image, "X-Latent-Dim");
      const d = Number(answer.headers.get("X-Latent-Dim"));
      const values = new Float32Array(await answer.arrayBuffer());
      return { zMean: values.slice(0, d), zLogVar: values.slice(d) };
    },
  };
}

class Refusal extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

/** The path below which the app is served: page names have no slash. */
function appPath() {
  return location.pathname.replace(/[^/]*$/, "");
}

/** Keeps a request in flight (or so many) and the newest waiting; draws when the answer comes. */
function createFeed(source, notes, draw, whenLost, lanes = 1) {
  let free = lanes;
  let waiting = null;
  let reached = false;

  async function work(compose) {
    const request = compose();
    free--;
    const spinner = setTimeout(() => notes.show("…"), SPINNER_AFTER);
    let pictures = null;
    try {
      pictures = await source.decode(request.z);
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
      if (pictures) {
        reached = true;
        notes.hide();
        draw(pictures, request);
      }
    } finally {
      next(null);
    }
  }

  /** Say what went wrong, and return after how many ms to ask again; 0 for not at all. */
  function explain(error) {
    const refused = error instanceof Refusal;
    // Where the very first answer is none of ours, something between us and the server is.
    if (!reached && !(refused && OURS.includes(error.status))) whenLost();
    if (!refused) {
      // The server is gone. What was last drawn stays.
      notes.show("The server does not answer. Trying again …");
      return RETRY_AFTER;
    }
    const replaced = error.status === 409; // by a newer one
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

  /** compose: makes the request when it is its turn, {z, since: timestamp of what caused it, ...} */
  return (compose) => {
    if (free) work(compose);
    else waiting = compose;
  };
}
