// View: a photo with the detected faces, to choose one or to mark the eyes.

import { element, svgElement } from "../lib/dom.js";

export function createPhoto(host) {
  const frame = element(host, "div", "vae-photo");
  const picture = element(frame, "img", "");
  const overlay = svgElement(frame, "svg");
  let data, send, shown, eyes = [];

  function show() {
    const focused = overlay.contains(document.activeElement) && document.activeElement.getAttribute("aria-label");
    overlay.replaceChildren();
    const dot = Math.max(...data.size) / 160;
    const area = ([left, top, right, bottom]) => (right - left) * (bottom - top);
    // Large boxes first, so that none covers a smaller one.
    const order = data.faces.map((face, index) => ({ ...face, index })).sort((a, b) => area(b.box) - area(a.box));
    order.forEach(({ box, landmarks, index }) => {
      const [left, top, right, bottom] = box;
      const chosen = index === data.chosen;
      const outline = svgElement(overlay, "rect", {
        class: chosen ? "vae-face vae-chosen" : "vae-face", x: left, y: top, width: right - left, height: bottom - top, rx: 2 * dot, tabindex: 0, role: "button",
        "aria-label": `Face ${index + 1}`, "aria-pressed": chosen,
      });
      const choose = () => send("chosen", { face: index });
      outline.addEventListener("click", choose);
      outline.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        choose();
      });
      if (focused === `Face ${index + 1}`) outline.focus();
      if (chosen) for (const [x, y] of landmarks) svgElement(overlay, "circle", { class: "vae-landmark", cx: x, cy: y, r: dot });
    });
    for (const [x, y] of eyes) svgElement(overlay, "circle", { class: "vae-landmark", cx: x, cy: y, r: 1.5 * dot });
  }

  frame.addEventListener("click", (event) => {
    if (!data.places) return;
    const box = picture.getBoundingClientRect();
    const place = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    eyes.push([place[0] * data.size[0], place[1] * data.size[1]]);
    show();
    if (eyes.length < 2) return;
    send("eyes", { places: eyes });
    eyes = [];
  });

  /** Hand a pasted image to the file uploader, with all its checks. */
  function paste(event) {
    const file = [...(event.clipboardData?.files ?? [])].find(({ type }) => type.startsWith("image/"));
    const input = document.querySelector("[data-testid=stFileUploader] input[type=file]");
    if (!file || !input) return;
    const files = new DataTransfer();
    files.items.add(file);
    input.files = files.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  }
  document.addEventListener("paste", paste);

  return {
    update(component) {
      ({ data, setTriggerValue: send } = component);
      // Not by picture.src, which the browser makes absolute.
      if (shown !== data.picture || !data.places) eyes = [];
      shown = picture.src = data.picture;
      picture.alt = data.description;
      frame.classList.toggle("vae-aiming", data.places);
      overlay.setAttribute("viewBox", `0 0 ${data.size[0]} ${data.size[1]}`);
      show();
    },
    destroy() {
      document.removeEventListener("paste", paste);
    },
  };
}
