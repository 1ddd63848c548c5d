// The backends in workers, so that the page stays responsive while they compute.
//
// A worker's source is the text of the functions that it needs: it works inside one inline script and inside a file.

import { EngineError, readHeader, readPacked, toSteps } from "./packed.js";
import { assembleProducts, createPlain } from "./plain.js";
import { createWebgl, rgbaShader, shaderOf } from "./webgl.js";

/** What a worker does: open networks, and run them. */
function answerMessages() {
  const opened = {};
  onmessage = ({ data: { id, network, kind, packed, inputs, n, format } }) => {
    try {
      if (packed) {
        const steps = toSteps(readPacked(packed), network);
        opened[network] = kind === "webgl" ? createWebgl(steps) : createPlain(steps, kind === "plain");
        postMessage({ id, result: { name: opened[network].name } });
      } else {
        const result = opened[network].run(inputs, n, format);
        postMessage({ id, result }, [result.buffer]);
      }
    } catch (error) {
      postMessage({ id, wrong: error.message });
    }
  };
}

const SOURCE = [
  EngineError, readHeader, readPacked, toSteps, assembleProducts, createPlain, shaderOf, rgbaShader, createWebgl,
  answerMessages,
].join("\n");

/** One worker, which is given a message at a time. */
function startWorker() {
  const address = URL.createObjectURL(new Blob([`${SOURCE}\nanswerMessages();`], { type: "text/javascript" }));
  const worker = new Worker(address);
  let asked = null;
  let isGone = false;
  let last = Promise.resolve();
  worker.onmessage = ({ data }) => {
    URL.revokeObjectURL(address);
    const { resolve, reject } = asked;
    asked = null;
    if (data.wrong === undefined) resolve(data.result);
    else reject(new EngineError(data.wrong));
  };
  const end = (why) => {
    isGone = true;
    asked?.reject(new EngineError(why));
    asked = null;
  };
  worker.onerror = (event) => {
    event.preventDefault();
    end(`The worker failed: ${event.message ?? "a policy of this page forbids it"}.`);
  };
  const send = (message) =>
    new Promise((resolve, reject) => {
      if (isGone) throw new EngineError("The worker has ended.");
      asked = { resolve, reject };
      worker.postMessage(message);
    });
  return {
    ask(message) {
      const answer = last.then(() => send(message));
      last = answer.catch(() => {});
      return answer;
    },
    close() {
      worker.terminate();
      URL.revokeObjectURL(address);
      end("The engine was closed.");
    },
  };
}

/** A backend in `count` workers: {name, open, run, close}; `kind`: "webgl", "plain", or "javascript" without WebAssembly.
 *
 * Batches are cut into pieces, which the workers share; a few images at a time go before the pieces that wait.
 */
export function createPool(kind, count = 1) {
  const PIECE = kind === "webgl" ? 256 : 16; // images
  const FEW = 4;
  const workers = Array.from({ length: kind === "webgl" ? 1 : count }, startWorker);
  const idle = [...workers];
  const waiting = [];
  const opening = {};

  const next = () => {
    while (idle.length && waiting.length) {
      const worker = idle.pop();
      const { message, resolve, reject } = waiting.shift();
      worker.ask(message).then(resolve, reject).finally(() => {
        idle.push(worker);
        next();
      });
    }
  };
  const ask = (message) =>
    new Promise((resolve, reject) => {
      const place = message.n > FEW ? waiting.length : waiting.findIndex((other) => other.message.n > FEW);
      waiting.splice(place < 0 ? waiting.length : place, 0, { message, resolve, reject });
      next();
    });

  return {
    name: kind,
    /** Give the workers a packed network; once. */
    open(network, packed) {
      opening[network] ??= Promise.all(workers.map((worker) => worker.ask({ network, kind, packed }))).then(([opened]) => {
        this.name = opened.name;
      });
      return opening[network];
    },
    /** As a backend's `run`, with a promise. */
    async run(network, inputs, n, format) {
      await opening[network];
      const size = inputs.length / n;
      const length = n <= FEW ? n : Math.min(PIECE, Math.max(FEW, 4 * Math.ceil(n / workers.length / 4)));
      const pieces = [];
      for (let start = 0; start < n; start += length) {
        const some = Math.min(length, n - start);
        pieces.push(ask({ network, inputs: inputs.slice(start * size, (start + some) * size), n: some, format }));
      }
      const results = await Promise.all(pieces);
      if (results.length === 1) return results[0];
      const whole = new results[0].constructor(results.reduce((sum, result) => sum + result.length, 0));
      let place = 0;
      for (const result of results) {
        whole.set(result, place);
        place += result.length;
      }
      return whole;
    },
    close() {
      for (const worker of workers) worker.close();
      for (const { reject } of waiting.splice(0)) reject(new EngineError("The engine was closed."));
    },
  };
}
