/** What the engine was measured to do, and what to ask of it. Pure. */

import type { WindowSize } from "./cursor";

/** How much a new measurement counts. */
const WEIGHT = 0.3;
/** How long an answer of several lines may take: it is shown as a whole, and 800 ms after the last key
 * at the latest where that can be. */
const ANSWER_MS = 600;
const LEAST_TOKENS = 24;
export const SINGLE_LINE_TOKENS = 32;
/** From the first token later than this, the text is cut; sooner than this, it may grow. */
const SLOW_MS = 500;
const FAST_MS = 200;
/** All of a prompt read ahead later than this, it is cut; sooner than this, it may grow. */
const SLOW_READING_MS = 15_000;
const FAST_READING_MS = 2000;
const LARGEST = { prefixChars: 8000, suffixChars: 2000, extraChars: 6000 };
const LEAST_SCALE = 1 / 8;

export class MeasuredSpeed {
  private latency: number | undefined;
  private firstMs: number | undefined;
  private tokenMs: number | undefined;
  private readMs: number | undefined;
  private scale = 1 / 2;

  /** From request to the whole answer. */
  get latencyMs(): number | undefined {
    return this.latency;
  }

  /** @param firstMs from the request to its first token
   * @param wholeMs from the request to its last
   * @param tokens that were written
   * @param isWarm the request began like one before: another is no measure of those to come */
  measured(firstMs: number, wholeMs: number, tokens: number, isWarm = true): void {
    if (tokens > 3) this.tokenMs = average(this.tokenMs, (wholeMs - firstMs) / (tokens - 1));
    if (isWarm || this.latency === undefined) this.latency = average(this.latency, wholeMs);
    if (!isWarm) return;
    this.firstMs = average(this.firstMs, firstMs);
    this.rescale(this.firstMs);
  }

  /** @param ms that the engine took to read a prompt ahead, as far as it was not known */
  readAhead(ms: number): void {
    this.readMs = ms;
    if (ms > SLOW_READING_MS) this.scale = Math.max(LEAST_SCALE, this.scale / 2);
  }

  /** A slow engine takes long to read all of it in another place, so less is sent to it. */
  get window(): WindowSize & { readonly extraChars: number } {
    return {
      // Moving the start of the prefix would cost more than it saves.
      prefixChars: LARGEST.prefixChars / 2,
      suffixChars: Math.round(LARGEST.suffixChars * this.scale),
      extraChars: Math.round(LARGEST.extraChars * this.scale),
    };
  }

  /** @param most that the user's settings allow */
  maxTokens(multiline: boolean, most: number): number {
    if (!multiline) return Math.min(SINGLE_LINE_TOKENS, most);
    const inTime = this.tokenMs === undefined ? most : Math.round(ANSWER_MS / this.tokenMs);
    return Math.min(most, Math.max(LEAST_TOKENS, inTime));
  }

  private rescale(firstMs: number): void {
    if (firstMs > SLOW_MS) this.scale = Math.max(LEAST_SCALE, this.scale / 2);
    else if (firstMs < FAST_MS && (this.readMs ?? Infinity) < FAST_READING_MS) {
      this.scale = Math.min(1, this.scale * 1.5);
    }
  }
}

function average(before: number | undefined, value: number): number {
  return before === undefined ? value : before + WEIGHT * (value - before);
}
