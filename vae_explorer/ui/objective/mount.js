/* Mounting: one view at a time. A view is
 *   sentence, why, description: words (HTML; text)
 *   formula(state): MathML whose parts wear data-part, the name of a slider
 *   draw(state, width, height): SVG   or   paint(svg, state, width, height), which keeps its nodes
 *   numbers(state): rows of [name, label, value, part?]
 *   and where it wants them: derived (sliders that stand for others), buttons, drag, moved, start. */

const VIEWS = { trick: TRICK, kl: KL, bubbles: BUBBLES, pixel: PIXEL, bound: BOUND };

export default function mount(component) {
  const { parentElement, data } = component;
  // The parent may be a shadow root, in which ":scope >" finds nothing.
  let host = Array.from(parentElement.children).find((child) => child.classList.contains("objective"));
  if (host?.dataset.view !== data.view) {
    host?.remove();
    host = make(parentElement, "div", { class: "objective", "data-view": data.view });
    host.frame = createFrame(host, VIEWS[data.view]);
  }
  host.frame.update(component);
}
