/** How quickly one answer was generated, from when its parts arrived. */

/** Fewer tokens than this say nothing about speed. */
const LEAST_TOKENS = 20;
/** Parts that arrive closer together were sent together: a proxy held them back, or the answer is
 * one piece. */
const ONE_PIECE_MS = 5;
/** The least time from the first part to the last that can be called a measurement. A proxy that
 * buffers hands over a whole answer in a few reads, milliseconds apart. */
const LEAST_SPAN_MS = 100;

export class Pace {
  firstAt: number | undefined;
  private lastAt = 0;
  private chars = 0;
  /** What came with the first part: its generation was not seen. */
  private firstChars = 0;
  private engines: number | undefined;

  arrived(chars: number, atMs: number): void {
    this.lastAt = atMs;
    this.firstAt ??= atMs;
    this.chars += chars;
    if (atMs - this.firstAt < ONE_PIECE_MS) this.firstChars += chars;
  }

  /** The engine's own measure, in tokens a second: it has no network in it. */
  measured(tokensPerS: number | undefined): void {
    this.engines = tokensPerS ?? this.engines;
  }

  /** Generation only, without the wait for the first part. Undefined for an answer of unknown
   * length, of fewer than 20 tokens, or that came in too few pieces to see its generation.
   * @param tokens of the whole answer; they are taken to be as long as one another */
  tokensPerS(tokens: number | undefined): number | undefined {
    if (tokens === undefined || tokens < LEAST_TOKENS) return undefined;
    if (this.engines) return this.engines;
    const elapsedMs = this.lastAt - (this.firstAt ?? this.lastAt);
    if (elapsedMs < LEAST_SPAN_MS || this.chars === 0) return undefined;
    return (tokens * (1 - this.firstChars / this.chars)) / (elapsedMs / 1000);
  }
}
