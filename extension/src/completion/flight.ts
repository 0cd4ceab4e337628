/** A request for a completion while it runs. It stays of use while the person types what it writes. */

import type { Answer } from "./answerCache";
import type { Cursor } from "./cursor";
import { typedSince } from "./typedSince";

/** Keys that may be ahead of the answer before it is certain that it comes too late. */
const MOST_AHEAD = 24;

/** Writes the answer piece by piece, and returns whether the model stopped by itself. */
export type Run = (onText: (text: string) => void, signal: AbortSignal) => Promise<boolean>;

export class Flight {
  private readonly controller = new AbortController();
  private readonly wakeups = new Set<() => void>();
  private written = "";
  /** Suggestions that wait for it. */
  waiting = 0;
  answer: Answer | undefined;
  error: unknown;
  isOver = false;
  /** Resolves at its end, however it ends. */
  readonly ended: Promise<void>;

  constructor(
    readonly cursor: Cursor,
    readonly multiline: boolean,
    isEnough: (text: string) => boolean,
    run: Run,
  ) {
    const onText = (text: string) => {
      if (this.isOver) return;
      this.written += text;
      if (isEnough(this.written)) this.cut();
      else this.wake();
    };
    this.ended = run(onText, this.controller.signal).then(
      (finished) => this.end(finished),
      (error: unknown) => {
        if (!this.isOver) this.error = error;
        this.fail();
      },
    );
  }

  /** Whether the answer could still be the one for `now`, as far as it is known. */
  fits(now: Cursor): boolean {
    const typed = typedSince(this.cursor, now);
    return typed !== undefined && this.agreesWith(typed);
  }

  /** It was aborted, or failed. */
  get isLost(): boolean {
    return this.isOver && this.answer === undefined;
  }

  /** @param typed since the request */
  agreesWith(typed: string): boolean {
    if (this.isLost) return false;
    // Typed to its end, it has nothing left to show (`restOf`), and another is wanted.
    if (this.written.startsWith(typed)) return !this.isOver || typed === "" || /\S/.test(this.written.slice(typed.length));
    const ahead = typed.length - this.written.length;
    return !this.isOver && typed.startsWith(this.written) && ahead <= MOST_AHEAD;
  }

  /** Resolves when there is more of the answer, at its end, and when `signal` is aborted. */
  async changed(signal: AbortSignal): Promise<void> {
    if (this.isOver || signal.aborted) return;
    await new Promise<void>((resolve) => {
      const wake = () => {
        this.wakeups.delete(wake);
        signal.removeEventListener("abort", wake);
        resolve();
      };
      this.wakeups.add(wake);
      signal.addEventListener("abort", wake);
    });
  }

  /** Ends it.
   * @returns closes the connection: the engine stops and is free for the next */
  abort(): () => void {
    this.fail();
    return () => this.controller.abort();
  }

  /** The rest would not be shown: what is there ends with a whole line. */
  private cut(): void {
    this.written = this.written.slice(0, this.written.lastIndexOf("\n") + 1);
    this.end(true);
    this.controller.abort();
  }

  private end(finished: boolean): void {
    if (this.isOver) return;
    this.isOver = true;
    const { cursor, multiline, written } = this;
    this.answer = { cursor, multiline, text: written, finished };
    this.wake();
  }

  private fail(): void {
    this.isOver = true;
    this.wake();
  }

  private wake(): void {
    for (const wake of [...this.wakeups]) wake();
  }
}
