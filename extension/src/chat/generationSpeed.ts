/** The generation speed of one answer, from the times at which its parts arrived. */

/** Fewer tokens than this are too few for a speed. */
const MIN_TOKENS = 20;
/** Parts that arrive closer together were sent together: a proxy held them back, or the answer came in
 * one piece. */
const SENT_TOGETHER_MS = 5;
/** The shortest time from the first part to the last that is a measurement. A proxy that buffers
 * hands over a whole answer in a few reads, milliseconds apart. */
const MIN_SPAN_MS = 100;

export class GenerationSpeed {
  firstAtMs: number | undefined;
  private lastAtMs = 0;
  private chars = 0;
  /** What arrived with the first part, and so was generated before the measurement began. */
  private firstChars = 0;
  private engineTokensPerS: number | undefined;

  /** @param chars of the part that has just arrived */
  add(chars: number, atMs: number): void {
    this.lastAtMs = atMs;
    this.firstAtMs ??= atMs;
    this.chars += chars;
    if (atMs - this.firstAtMs < SENT_TOGETHER_MS) this.firstChars += chars;
  }

  /** Prefers the engine's own measurement: it has no network in it. */
  useEngineSpeed(tokensPerS: number | undefined): void {
    this.engineTokensPerS = tokensPerS ?? this.engineTokensPerS;
  }

  /** Generation only, without the wait for the first part. Undefined for an answer of unknown
   * length, of fewer than 20 tokens, or that came in too few pieces to measure.
   * @param tokens of the whole answer; they are taken to be as long as one another */
  tokensPerS(tokens: number | undefined): number | undefined {
    if (tokens === undefined || tokens < MIN_TOKENS) return undefined;
    if (this.engineTokensPerS) return this.engineTokensPerS;
    const elapsedMs = this.lastAtMs - (this.firstAtMs ?? this.lastAtMs);
    if (elapsedMs < MIN_SPAN_MS || this.chars === 0) return undefined;
    return (tokens * (1 - this.firstChars / this.chars)) / (elapsedMs / 1000);
  }
}
