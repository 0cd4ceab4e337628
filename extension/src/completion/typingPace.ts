/** How long to wait before a request. Pure: every time is given. */

/** A pause longer than this is no part of typing. */
const PAUSE_MS = 1000;
const DEFAULT_INTERVAL_MS = 200;
const DEFAULT_DEVIATION_MS = 30;
/** How much a new measurement counts: as in RFC 6298, which waits for answers in the same way. */
const WEIGHT = 1 / 8;
const DEVIATION_WEIGHT = 1 / 4;
/** So many deviations above the mean, hardly a key is late: one in twenty, where they spread evenly
 * around it. */
const DEVIATIONS = 2;
/** A steady typist has no deviation, and timers are late at times. */
const LEAST_KEYS = 1.1;
/** VS Code itself waits 50 ms after a key before it asks. */
const SHORTEST_MS = 60;
const LONGEST_MS = 600;

export class TypingPace {
  private lastAt = -Infinity;
  private intervalMs = DEFAULT_INTERVAL_MS;
  private deviationMs = DEFAULT_DEVIATION_MS;

  typed(nowMs: number): void {
    const interval = nowMs - this.lastAt;
    this.lastAt = nowMs;
    if (interval <= 0 || interval >= PAUSE_MS) return;
    const error = interval - this.intervalMs;
    this.deviationMs += DEVIATION_WEIGHT * (Math.abs(error) - this.deviationMs);
    this.intervalMs += WEIGHT * error;
  }

  /** How much longer to wait, from now. Where an answer comes before the next key, waiting only costs
   * time. Where it does not, a request that is begun between two keys is mostly wasted, and on a small
   * machine delays the one that is wanted: so until the next key is late, and the person has paused.
   * Behind a token's end the engine has next to nothing to read, models go on best, and what they write
   * holds for several keys: there it is worth a request at once.
   * @param latencyMs of the last requests; undefined before the first
   * @param atTokenEnd the cursor stands behind a character that ends a token */
  delayMs(nowMs: number, latencyMs: number | undefined, atTokenEnd: boolean): number {
    const isInTime = latencyMs !== undefined && latencyMs < 0.8 * this.intervalMs;
    const late = Math.max(LEAST_KEYS * this.intervalMs, this.intervalMs + DEVIATIONS * this.deviationMs);
    const waitMs = Math.min(LONGEST_MS, Math.max(SHORTEST_MS, isInTime || atTokenEnd ? SHORTEST_MS : late));
    return Math.max(0, waitMs - (nowMs - this.lastAt));
  }
}
