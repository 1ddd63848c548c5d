// Component: the follower's side of a lecture. Hands the lecturer's pointer to the views, and tells the script
// when the lecturer has another scene.

import { element } from "../lib/dom.js";
import { openLecturerPointer } from "../lib/lecture.js";
import { appPath } from "../lib/source.js";

const RETRY_AFTER = 3000; // ms
const SAY_LOST_AFTER = 2000; // ms without a connection
const TELL_AGAIN_AFTER = 5000; // ms, if the script has not opened the scene by then

function createFollower(root) {
  const pointer = openLecturerPointer();
  const line = element(root, "div", "", { role: "status", style: "font: 14px sans-serif; color: var(--st-text-color)" });
  let data = null;
  let tell = null; // component.setTriggerValue
  let stream = null;
  let latest = null; // the state that came last
  let told = ""; // the scene that the script was last told of
  let lost = 0; // the timer after which we say that the connection is lost
  let retry = 0;
  let again = 0;

  function show() {
    const shown = latest && data.follows && latest.scene === data.scene;
    pointer.move({ model: shown ? latest.model : "", z: shown ? latest.z : null }, performance.now());
    if (!latest || !data.follows || latest.scene === data.scene || latest.scene === told) return;
    told = latest.scene;
    tell("moved", { scene: told });
    clearTimeout(again);
    again = setTimeout(() => {
      told = "";
      show();
    }, TELL_AGAIN_AFTER);
  }

  function note(connected) {
    clearTimeout(lost);
    lost = 0;
    if (connected) line.textContent = "";
    else lost = setTimeout(() => (line.textContent = "No connection to the lecture. Reconnecting …"), SAY_LOST_AFTER);
  }

  function connect() {
    close();
    const address = `${appPath()}api/follow/${encodeURIComponent(data.id)}`;
    stream = new EventSource(address);
    stream.onopen = () => note(true);
    stream.onmessage = (event) => {
      latest = JSON.parse(event.data);
      show();
    };
    stream.addEventListener("ended", end);
    stream.onerror = () => {
      if (!lost && !line.textContent) note(false);
      // It connects again by itself, except after an answer that is no stream.
      if (stream.readyState === EventSource.CLOSED) retry = setTimeout(() => ask(address), RETRY_AFTER);
    };
  }

  /** Connect again, unless the server says that there is no such lecture. */
  async function ask(address) {
    const answer = await fetch(address, { method: "HEAD" }).catch(() => null);
    if (!stream) return; // this page has left meanwhile
    if (answer?.status === 404) end();
    else connect();
  }

  function end() {
    close();
    latest = null;
    note(true);
    show();
    tell("ended", true);
  }

  function close() {
    clearTimeout(retry);
    stream?.close();
    stream = null;
  }

  return {
    update(component) {
      const other = data?.id !== component.data.id;
      data = component.data;
      tell = component.setTriggerValue;
      if (latest?.scene === data.scene) {
        told = "";
        clearTimeout(again);
      }
      if (other) connect();
      else show();
    },
    destroy() {
      close();
      clearTimeout(lost);
      clearTimeout(again);
      pointer.move({ model: "", z: null }, performance.now());
    },
  };
}

export default function mount(component) {
  const { parentElement } = component;
  const host = parentElement.host ?? parentElement;
  parentElement.follower ??= createFollower(parentElement);
  parentElement.follower.update(component);
  return () =>
    setTimeout(() => {
      if (host.isConnected) return;
      parentElement.follower?.destroy();
      parentElement.follower = null;
    });
}
