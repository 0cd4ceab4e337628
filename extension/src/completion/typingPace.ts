/** How long to wait before a request. Pure: every time is given. */

/** A pause longer than this is no part of typing. */
const PAUSE_MS = 1000;
const DEFAULT_INTERVAL_MS = 200;
/** How much a new measurement counts. */
const WEIGHT = 0.25;
const SHORTEST_MS = 25;
const LONGEST_MS = 600;
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

  /** Where an answer comes before the next key, waiting only costs time. Where it does not, each request
   * would be wasted until the person pauses, so the wait is as long as it takes to know.
   * @param latencyMs of the last requests; undefined before the first */
  delayMs(prefix: string, latencyMs: number | undefined): number {
    const isInTime = latencyMs !== undefined && latencyMs < 0.8 * this.intervalMs;
    const wait = isInTime ? SHORTEST_MS : 0.6 * this.intervalMs + 0.1 * (latencyMs ?? 0);
    const factor = BOUNDARY.test(prefix) ? 0.6 : 1;
    return Math.min(LONGEST_MS, Math.max(SHORTEST_MS, factor * wait));
  }
}
