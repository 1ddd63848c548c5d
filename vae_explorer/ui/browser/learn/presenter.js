// Component: keyboard navigation of the lecture. PageUp and PageDown (a presenter's clicker) from anywhere;
// arrow keys only while nothing has the focus.

const PAGES = { PageDown: 1, PageUp: -1 };
const ARROWS = { ArrowRight: 1, ArrowLeft: -1 };

export default function mount({ parentElement, setTriggerValue }) {
  function follow(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const free = [null, document.body].includes(document.activeElement);
    const by = PAGES[event.key] ?? (free ? ARROWS[event.key] : undefined);
    if (!by) return;
    event.preventDefault();
    event.stopPropagation(); // a slider would also take the key
    setTriggerValue("moved", { by });
  }
  parentElement.forget?.();
  document.addEventListener("keydown", follow, true);
  parentElement.forget = () => document.removeEventListener("keydown", follow, true);
  (parentElement.host ?? parentElement).dataset.listens = ""; // for tests that wait for it
  return parentElement.forget;
}
