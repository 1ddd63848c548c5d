/* The same pictures as they are and as the model draws them, at a whole multiple of their size. */

const LEAST = 8; // pictures beside each other

function createStrip(host) {
  const rows = ["Originals", "Reconstructed"].map((name) => {
    const row = element(host, "div", "watch-row");
    element(row, "span", "watch-name").textContent = name;
    return element(row, "canvas", "", { role: "img", "aria-label": `${name}, pictures that the model has not learnt from` });
  });
  let data = null;

  async function paint(canvas, source) {
    const picture = new Image();
    picture.src = source;
    await picture.decode(); // what is there stays until the next is ready
    const scale = wholeMultiple(data.side * Math.min(LEAST, data.count), host.clientWidth || 300);
    const fit = Math.min(data.count, Math.floor(host.clientWidth / (data.side * scale)) || 1);
    canvas.width = fit * data.side;
    canvas.height = data.side;
    canvas.style.width = `${canvas.width * scale}px`;
    canvas.getContext("2d").drawImage(picture, 0, 0);
  }

  const draw = () => data && [data.original, data.reconstructed].forEach((source, k) => paint(rows[k], source));
  const resize = new ResizeObserver(draw);
  resize.observe(host);
  return {
    update(given) {
      const news = data?.reconstructed !== given.reconstructed;
      data = given;
      if (news) draw();
    },
    destroy: () => resize.disconnect(),
  };
}
