// Bytes that a page carries as text, as vae_explorer/webpage.py writes them.

const LETTERS = Array.from({ length: 94 }, (_, i) => String.fromCharCode(33 + i)).filter((letter) => !"<>&".includes(letter));
const BITS = 13; // in two letters
const CODES = new Uint16Array(128);
LETTERS.forEach((letter, code) => (CODES[letter.charCodeAt(0)] = code));

/** Text to bytes: two letters are 13 bits, the lowest first. */
export function fromText(text) {
  const bytes = new Uint8Array(((text.length / 2) * BITS) >> 3);
  let [waiting, count, place] = [0, 0, 0];
  for (let i = 0; i + 1 < text.length; i += 2) {
    waiting |= (CODES[text.charCodeAt(i)] + LETTERS.length * CODES[text.charCodeAt(i + 1)]) << count;
    count += BITS;
    for (; count >= 8 && place < bytes.length; count -= 8, waiting >>>= 8) bytes[place++] = waiting & 255;
  }
  return bytes;
}

/** What gzip compressed to so many bytes; what follows it is left out. */
export async function unzip(bytes) {
  const reader = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip")).getReader();
  const parts = [];
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
  }
  return new Blob(parts).arrayBuffer();
}
