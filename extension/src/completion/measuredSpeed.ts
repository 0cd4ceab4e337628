/** What the engine was measured to do, and what to ask of it. Pure. */

import type { WindowSize } from "./cursor";

/** How much a new measurement counts. */
const WEIGHT = 0.3;
/** How long an answer of several lines may take: it is shown as a whole, and 800 ms after the last key
 * at the latest where that can be. */
const ANSWER_MS = 600;
const LEAST_TOKENS = 24;
export const SINGLE_LINE_TOKENS = 32;
/** In the middle of a word, all behind the cursor is read again before the first token: the 800 ms are
 * for that, the wait for the next key, and a few tokens. */
const SUFFIX_MS = 250;
/** All of a prompt may take this long, while the person reads. */
const PROMPT_MS = 15_000;
const LARGEST = { prefixChars: 8000, suffixChars: 2000, extraChars: 6000 };
/** Three lines. */
const LEAST_SUFFIX_CHARS = 120;
const SCALES = [1, 1 / 2, 1 / 4];
const LEAST_SCALE = 1 / 8;
/** A request that read fewer characters shows what all take besides reading. */
const FEW_CHARS = 60;
/** One that read more is none of those that a person waits for. */
const MANY_CHARS = 600;

export class MeasuredSpeed {
  private latency: number | undefined;
  private tokenMs: number | undefined;
  /** To the first token where hardly anything is read. */
  private baseMs: number | undefined;
  private charMs: number | undefined;

  /** From request to the whole answer. */
  get latencyMs(): number | undefined {
    return this.latency;
  }

  /** @param firstMs from the request to its first token
   * @param wholeMs from the request to its last
   * @param tokens that were written
   * @param readChars of the prompt that the engine had not read before */
  measured(firstMs: number, wholeMs: number, tokens: number, readChars: number): void {
    if (tokens > 3) this.tokenMs = average(this.tokenMs, (wholeMs - firstMs) / (tokens - 1));
    const isUsual = readChars <= MANY_CHARS;
    if (isUsual || this.latency === undefined) this.latency = average(this.latency, wholeMs);
    this.read(firstMs, readChars);
  }

  /** @param ms until the engine had read so many characters that it did not hold */
  read(ms: number, chars: number): void {
    if (chars < FEW_CHARS) this.baseMs = average(this.baseMs, ms);
    else this.charMs = average(this.charMs, Math.max(0, ms - (this.baseMs ?? 0)) / chars);
  }

  /** How long the engine takes to read so many characters; 0 while that is unknown. */
  readingMs(chars: number): number {
    return chars * (this.charMs ?? 0);
  }

  /** A slow engine takes long to read all of it in another place, so less is sent to it. */
  get window(): WindowSize & { readonly extraChars: number } {
    // Moving the start of the prefix would cost more than it saves.
    const prefixChars = LARGEST.prefixChars / 2;
    const { suffixChars, extraChars } = LARGEST;
    if (this.charMs === undefined) return { prefixChars, suffixChars: suffixChars / 2, extraChars: extraChars / 2 };
    const inTime = Math.round(SUFFIX_MS / this.charMs);
    const room = PROMPT_MS / this.charMs - prefixChars;
    // In steps: another number of characters is another choice of files.
    const scale = SCALES.find((each) => each * extraChars <= room) ?? LEAST_SCALE;
    return {
      prefixChars,
      suffixChars: Math.min(suffixChars, Math.max(LEAST_SUFFIX_CHARS, inTime)),
      extraChars: extraChars * scale,
    };
  }

  /** @param most that the user's settings allow */
  maxTokens(multiline: boolean, most: number): number {
    if (!multiline) return Math.min(SINGLE_LINE_TOKENS, most);
    const inTime = this.tokenMs === undefined ? most : Math.round(ANSWER_MS / this.tokenMs);
    return Math.min(most, Math.max(LEAST_TOKENS, inTime));
  }
}

function average(before: number | undefined, value: number): number {
  return before === undefined ? value : before + WEIGHT * (value - before);
}
