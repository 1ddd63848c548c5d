// Component: keyboard navigation of the lecture, and its scene and pointer for those who follow. PageUp and
// PageDown (a presenter's clicker) from anywhere; arrow keys only while nothing has the focus.

import { createLeader } from "./leader.js";

const PAGES = { PageDown: 1, PageUp: -1 };
const ARROWS = { ArrowRight: 1, ArrowLeft: -1 };

export default function mount({ parentElement, data, setTriggerValue }) {
  function follow(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const free = [null, document.body].includes(document.activeElement);
    const by = PAGES[event.key] ?? (free ? ARROWS[event.key] : undefined);
    if (!by) return;
    event.preventDefault();
    event.stopPropagation(); // a slider would also take the key
    setTriggerValue("moved", { by });
  }
  const host = parentElement.host ?? parentElement;
  parentElement.forget?.();
  document.addEventListener("keydown", follow, true);
  parentElement.forget = () => document.removeEventListener("keydown", follow, true);
  parentElement.tell = setTriggerValue;
  parentElement.leader ??= createLeader(() => parentElement.tell("lost", true));
  parentElement.leader.update(data?.lead ?? null);
  host.dataset.listens = ""; // for tests that wait for it
  return () => {
    parentElement.forget();
    // Streamlit also cleans up between two runs of the script.
    setTimeout(() => {
      if (host.isConnected) return;
      parentElement.leader?.stop();
      parentElement.leader = null;
    });
  };
}
