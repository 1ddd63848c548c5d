// Bytes that a page carries as text, as vae_explorer/webpage.py writes them.

const LETTERS = Array.from({ length: 94 }, (_, i) => String.fromCharCode(33 + i)).filter((letter) => !"<>&".includes(letter));
const BITS = 13; // in two letters
const CODES = new Uint16Array(128);
LETTERS.forEach((letter, code) => (CODES[letter.charCodeAt(0)] = code));

/** Text to bytes: two letters are 13 bits, the lowest first; a single one at the end is five. */
export function fromText(text) {
  const pairs = text.length >> 1;
  const bytes = new Uint8Array((pairs * BITS + (text.length % 2 ? BITS - 8 : 0)) >> 3);
  let [waiting, count, place] = [0, 0, 0];
  for (let i = 0; i < text.length; i += 2) {
    const second = i + 1 < text.length ? CODES[text.charCodeAt(i + 1)] : 0;
    waiting |= (CODES[text.charCodeAt(i)] + LETTERS.length * second) << count;
    count += BITS;
    for (; count >= 8 && place < bytes.length; count -= 8, waiting >>>= 8) bytes[place++] = waiting & 255;
  }
  return bytes;
}

/** What gzip compressed to these bytes. */
export async function unzip(bytes) {
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}
