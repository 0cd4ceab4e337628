/** Reproducible random tests. */

/** mulberry32: the same numbers on every machine for the same seed. */
export function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** `text` cut into pieces of one to seven characters. */
export function pieces(text: string, next: () => number): string[] {
  const parts: string[] = [];
  for (let at = 0; at < text.length; ) {
    const size = 1 + Math.floor(next() * 7);
    parts.push(text.slice(at, at + size));
    at += size;
  }
  return parts;
}
