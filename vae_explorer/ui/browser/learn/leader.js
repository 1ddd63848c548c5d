// The lecturer's side of a lecture that is followed: sends the scene and the pointer.

import { openOwnPointer } from "../lib/lecture.js";
import { appPath } from "../lib/source.js";

const EVERY = 50; // ms between two messages, at least
const RETRY_AFTER = 1000; // ms, when the server does not answer
const STAY_AFTER = 20_000; // ms without news, after which the server is told that we are still here
const REFUSED = [403, 404]; // the lecture has ended, or is not ours

/** Returns {update(lead: {id, token, scene} or null), stop()}. `whenLost()` is called when the lecture has ended. */
export function createLeader(whenLost) {
  const pointer = openOwnPointer();
  let lead = null;
  let busy = false; // a message is on its way, or the pause after it lasts
  let news = false;
  let stay = 0;

  async function send() {
    if (!lead) return;
    news = true;
    if (busy) return;
    news = false;
    busy = true;
    clearTimeout(stay);
    const { id, token, scene } = lead;
    const { model = "", z = null } = pointer.values;
    let wait = EVERY;
    try {
      const answer = await fetch(`${appPath()}api/lead/${encodeURIComponent(id)}`, {
        method: "POST",
        body: JSON.stringify({ scene, model, z: z && Array.from(z, (value) => Number(value.toFixed(4))) }),
        headers: { "X-Token": token, "Content-Type": "application/json" },
      });
      if (REFUSED.includes(answer.status) && lead?.id === id) {
        lead = null;
        whenLost();
      }
    } catch {
      news = true; // no connection
      wait = RETRY_AFTER;
    }
    setTimeout(() => {
      busy = false;
      if (news) send();
      else if (lead) stay = setTimeout(send, STAY_AFTER);
    }, wait);
  }

  const unfollow = pointer.follow(send);
  return {
    update(given) {
      const changed = JSON.stringify(given) !== JSON.stringify(lead);
      // The pointer was on the scene before.
      if (given?.scene !== lead?.scene) pointer.values.z = null;
      lead = given;
      if (changed) send();
    },
    stop() {
      lead = null;
      clearTimeout(stay);
      unfollow();
    },
  };
}
