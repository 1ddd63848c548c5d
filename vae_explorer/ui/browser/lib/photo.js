// Reading the pixels of an image, and off-screen canvases.

/** The context of an off-screen canvas, size x size. */
export function createBuffer(size) {
  const canvas = Object.assign(document.createElement("canvas"), { width: size, height: size });
  return canvas.getContext("2d", { willReadFrequently: true });
}

/** RGBA bytes of the image at an address, scaled to size x size. */
export async function readPicture(address, size) {
  const image = new Image();
  image.src = address;
  await image.decode();
  const context = createBuffer(size);
  context.drawImage(image, 0, 0, size, size);
  return context.getImageData(0, 0, size, size).data;
}
