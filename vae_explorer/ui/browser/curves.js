// The losses of trainings over their epochs, with a marker that follows.

const CURVE_WIDTH = 600;
const CURVE_HEIGHT = 90; // of the drawing; the page stretches it

function createCurves(host, colours) {
  const figure = element(host, "figure", "vae-curves");
  const [high, low] = [element(figure, "span", "vae-high"), element(figure, "span", "vae-low")];
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${CURVE_WIDTH} ${CURVE_HEIGHT}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true"); // the words below say it
  figure.append(svg);
  const caption = element(figure, "figcaption", "");
  let runs = [];
  let span, range;

  const across = (epoch) => (CURVE_WIDTH * (epoch - span[0])) / (span[1] - span[0] || 1);
  const down = (loss) => CURVE_HEIGHT * (1 - (loss - range[0]) / (range[1] - range[0] || 1));
  const add = (tag, attributes) => {
    const made = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    svg.append(made);
    return made;
  };

  return {
    update(recordings) {
      runs = recordings.map((recording) => ({ ...recording.curves })).filter((curves) => curves.epoch?.length);
      figure.hidden = !runs.length;
      svg.replaceChildren();
      caption.replaceChildren();
      if (!runs.length) return;
      const epochs = runs.flatMap((run) => run.epoch);
      span = [Math.min(...epochs), Math.max(...epochs)];
      // What the training set lost in the first epoch, as weights moved, would flatten all else.
      const losses = runs.flatMap((run) => run.validation);
      range = [Math.min(...losses, ...runs.flatMap((run) => run.train)), Math.max(...losses)];
      const room = 0.06 * (range[1] - range[0] || 1);
      range = [range[0] - room, range[1] + room];
      high.textContent = short(range[1]);
      low.textContent = short(range[0]);
      runs.forEach((run, k) => {
        for (const kind of ["train", "validation"]) {
          const d = run[kind].map((loss, i) => `${i ? "L" : "M"}${across(run.epoch[i])} ${down(loss)}`).join("");
          add("path", { d, class: `vae-${kind}`, stroke: colours[k] });
        }
        run.marker = add("path", { class: "vae-marker", d: `M0 0V${CURVE_HEIGHT}` });
        run.words = element(caption, "span", "");
        run.words.style.setProperty("--class-colour", colours[k]);
      });
      element(caption, "span", "vae-quiet").textContent = "thin: on the training pictures";
    },
    /** Move the markers to the epochs at which the trainings are seen. */
    follow(places) {
      runs.forEach((run, k) => {
        const epoch = Math.min(Math.max(places[k], span[0]), span[1]);
        run.marker.setAttribute("transform", `translate(${across(epoch)})`);
        const { from, to, share } = placeOf(run.epoch, epoch);
        const loss = run.validation[from] + share * (run.validation[to] - run.validation[from]);
        run.words.textContent = `validation loss ${loss.toFixed(1)} nats an image`;
      });
    },
  };
}
