/** How long to wait before a request. Pure: every time is given. */

/** A pause longer than this is no part of typing. */
const PAUSE_MS = 1000;
const DEFAULT_INTERVAL_MS = 200;
/** How much a new measurement counts. */
const WEIGHT = 0.25;
/** VS Code itself waits 50 ms after a key before it asks. */
const SHORTEST_MS = 60;
const LONGEST_MS = 600;
/** Between these shares of requests that were of use, the wait grows from short to long. So five of six
 * requests are of use in the long run: 1.2 for each that is. */
const MUCH_USED = 0.95;
const LITTLE_USED = 0.8;
const SHORT_KEYS = 0.5;
const LONG_KEYS = 1.2;
/** After these a person often knows what comes, and waits for it to be offered. */
const BOUNDARY = /[\s.,(\[{=:>]$/;

export class TypingPace {
  private lastAt = -Infinity;
  private intervalMs = DEFAULT_INTERVAL_MS;

  typed(nowMs: number): void {
    const interval = nowMs - this.lastAt;
    this.lastAt = nowMs;
    if (interval > 0 && interval < PAUSE_MS) {
      this.intervalMs += WEIGHT * (interval - this.intervalMs);
    }
  }

  /** How much longer to wait, from now. Where an answer comes before the next key, waiting only costs
   * time. Where it does not, a request is wasted unless the person goes on as it predicts: the more were
   * wasted, the nearer the wait is to the time from key to key, after which the person has paused.
   * @param latencyMs of the last requests; undefined before the first
   * @param usedShare of the last requests that were of use */
  delayMs(nowMs: number, prefix: string, latencyMs: number | undefined, usedShare: number): number {
    const isInTime = latencyMs !== undefined && latencyMs < 0.8 * this.intervalMs;
    const wait = isInTime ? SHORTEST_MS : keys(usedShare) * this.intervalMs;
    const factor = BOUNDARY.test(prefix) ? 0.8 : 1;
    const sinceKeyMs = Math.min(LONGEST_MS, Math.max(SHORTEST_MS, factor * wait));
    return Math.max(0, sinceKeyMs - (nowMs - this.lastAt));
  }
}

/** The wait, in times from key to key. */
function keys(usedShare: number): number {
  const wasted = (MUCH_USED - usedShare) / (MUCH_USED - LITTLE_USED);
  return SHORT_KEYS + (LONG_KEYS - SHORT_KEYS) * Math.min(1, Math.max(0, wasted));
}
