// View: a face becoming another.

const STRIP_PIXELS = 1600;
const STRIP_COLUMNS = 12; // more steps take another row

/** Pixels of a picture by its address: RGBA, size x size, 0 to 255. */
async function readPicture(address, size) {
  const picture = new Image();
  picture.src = address;
  await picture.decode();
  const context = createBuffer(size);
  context.drawImage(picture, 0, 0, size, size);
  return context.getImageData(0, 0, size, size).data;
}

/** A canvas that is never shown. */
function createBuffer(size) {
  const canvas = Object.assign(document.createElement("canvas"), { width: size, height: size });
  return canvas.getContext("2d", { willReadFrequently: true });
}

function createMorph(host) {
  const row = element(host, "div", "vae-morph");
  const [first, screen, last] = ["img", "canvas", "img"].map((tag) => element(element(row, "figure", ""), tag, ""));
  const words = [first, screen, last].map((shown) => element(shown.parentElement, "figcaption", ""));
  const player = createPlayer(host, showAt);
  player.at = 0.5;
  const strip = element(host, "canvas", "vae-strip", { role: "img" });
  const notes = createNotes(host);
  let data, channel, unfollow, path, checkpoint, source, feed, stripFeed;
  let small, large; // buffers of the model's size and of the photos'
  let lacking = null; // the photos minus the reconstructions, of both ends
  let asked = 0; // how many times they were asked for
  let frame = null; // the last answers: {pictures, t}, and the strip's pictures
  let stripes = null;

  function showAt(t, since) {
    feed(() => ({ z: along(path, t, data.latent_dim), t, since }));
  }

  /** One of the pictures, at the size of the photos, with what they have and it lacks at t. */
  function compose(pictures, index, t, amount) {
    const bytes = pictures.width * pictures.height * 4;
    const pixels = pictures.pixels.slice(index * bytes, (index + 1) * bytes);
    small.putImageData(new ImageData(pixels, pictures.width, pictures.height), 0, 0);
    large.imageSmoothingQuality = "high";
    large.drawImage(small.canvas, 0, 0, data.size, data.size);
    const image = large.getImageData(0, 0, data.size, data.size);
    if (lacking && amount) {
      const [a, b] = [amount * fade(t), amount * fade(1 - t)];
      const [from, to] = lacking;
      for (let i = 0; i < from.length; i++) image.data[i] += a * from[i] + b * to[i];
    }
    return image;
  }

  const detail = () => channel.values[data.detail] ?? 0;

  function drawFrame() {
    if (!frame) return;
    screen.getContext("2d").putImageData(compose(frame.pictures, 0, frame.t, detail()), 0, 0);
    screen.setAttribute("aria-label", `${Math.round(100 * frame.t)} % of the way`);
    words[1].textContent = `${Math.round(100 * frame.t)} %`;
  }

  function drawStrip() {
    if (!stripes) return;
    const { count } = stripes;
    const columns = Math.ceil(count / Math.ceil(count / STRIP_COLUMNS));
    const side = Math.min(data.size, Math.floor(STRIP_PIXELS / columns));
    Object.assign(strip, { width: side * columns, height: side * Math.ceil(count / columns) });
    strip.style.maxWidth = `${112 * columns}px`;
    const context = strip.getContext("2d");
    context.imageSmoothingQuality = "high";
    for (let i = 0; i < count; i++) {
      large.putImageData(compose(stripes, i, i / (count - 1), detail()), 0, 0);
      context.drawImage(large.canvas, (i % columns) * side, Math.floor(i / columns) * side, side, side);
    }
  }

  function draw() {
    drawFrame();
    drawStrip();
  }

  async function findLacking() {
    const turn = ++asked;
    lacking = null;
    const d = data.latent_dim;
    const ends = Float32Array.from([...path.subarray(0, d), ...path.subarray(path.length - d)]);
    const [pictures, ...photos] = await Promise.all([
      source.decode(ends), ...data.pictures.map((address) => readPicture(address, data.size)),
    ]);
    if (turn !== asked) return;
    lacking = photos.map((photo, i) => {
      const redrawn = compose(pictures, i, 0, 0).data;
      return Int16Array.from(photo, (value, k) => value - redrawn[k]);
    });
    draw();
  }

  /** Until it is found the model's own pictures are shown. */
  function lookForLacking() {
    const turn = asked + 1;
    findLacking().catch(() => setTimeout(() => turn === asked && lookForLacking(), RETRY_AFTER));
  }

  return {
    update(component) {
      const before = data && JSON.stringify([data.pictures, data.path, data.size]);
      data = component.data;
      path = floats(data.path);
      const moved = checkpoint !== data.checkpoint;
      if (moved) {
        checkpoint = data.checkpoint;
        const lost = () => component.setStateValue("unreachable", true);
        source = createSource(checkpoint);
        small = createBuffer(data.image_size);
        feed = createFeed(createSource(checkpoint), notes, (pictures, request) => {
          frame = { pictures, t: request.t };
          drawFrame();
          announce(host, request);
        }, lost);
        stripFeed = createFeed(createSource(checkpoint), notes, (pictures, request) => {
          stripes = pictures;
          drawStrip();
          announce(host, request);
        }, lost);
      }
      [first, last].forEach((image, i) => {
        image.src = data.pictures[i];
        image.alt = words[2 * i].textContent = data.names[i];
      });
      unfollow?.();
      channel = openChannel(data.channel);
      channel.give(data.values);
      unfollow = channel.follow(draw);
      strip.setAttribute("aria-label", data.description);
      if (moved || before !== JSON.stringify([data.pictures, data.path, data.size])) {
        Object.assign(screen, { width: data.size, height: data.size });
        large = createBuffer(data.size);
        lookForLacking();
      }
      const d = data.latent_dim;
      const stops = Array.from({ length: data.steps }, (_, i) => along(path, i / (data.steps - 1), d));
      stripFeed(() => ({ z: Float32Array.from(stops.flatMap((z) => [...z])), since: 0 }));
      showAt(player.at, 0);
    },
    destroy() {
      asked++;
      player.stop();
      unfollow?.();
    },
  };
}

/** How much of an end's detail is left at t of the way from it; see `fade` in morphs.py. */
const fade = (t) => (1 - t) ** 2;
