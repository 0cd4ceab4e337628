/** The suggestion for a cursor: a known answer, the running request's, or a new request's.
 *
 * Knows nothing of VS Code, and runs one request at a time. */

import { AnswerCache, restOf, type Rest } from "./answerCache";
import type { Cursor, Place } from "./cursor";
import { isEnough } from "./enough";
import { Flight, type Run } from "./flight";
import type { MeasuredSpeed } from "./measuredSpeed";
import type { TypingPace } from "./typingPace";

/** What depends on the world around. */
export interface Surroundings {
  /** The request for the text after `cursor`; undefined where none can be made now. */
  readonly run: (cursor: Cursor, multiline: boolean) => Run | undefined;
  readonly failed: (error: unknown) => void;
  readonly succeeded: () => void;
  /** An answer is there that VS Code no longer waits for: it is to ask once more. */
  readonly askAgain: () => void;
  /** What of an answer is worth showing. */
  readonly refine: (rest: Rest, now: Cursor) => string | undefined;
  readonly now: () => number;
}

export interface Wish {
  /** The person asked for it: there is nothing to wait for. */
  readonly isExplicit: boolean;
  readonly multiline: boolean;
}

/** One change of a document, by where it begins. */
export interface Change {
  readonly uri: string;
  readonly line: number;
  readonly character: number;
  readonly removed: number;
  readonly text: string;
}

/** VS Code asks again within 50 ms after a key; after this, no question waits for the request any more. */
const ABANDONED_MS = 400;
/** How much one request counts in the share of those that were of use. */
const WEIGHT = 0.15;
const PAIR = /^(\(\)|\[\]|\{\}|""|''|``|<>)$/;

export class Suggestions {
  private readonly cache = new AnswerCache();
  private flight: Flight | undefined;
  private warming: AbortController | undefined;
  /** What was typed since the running request. */
  private typed = "";
  private skipsDelay = false;
  /** The share of the last requests whose answer was shown. */
  private usedShare = 0.9;
  /** Since the window was opened. */
  readonly counts = { begun: 0, aborted: 0, shown: 0, reused: 0 };

  constructor(
    private readonly around: Surroundings,
    private readonly pace: TypingPace,
    private readonly speed: MeasuredSpeed,
  ) {}

  /** The text to show at `cursor`; undefined where there is none, or `signal` was aborted. */
  async suggest(cursor: Cursor, wish: Wish, signal: AbortSignal): Promise<string | undefined> {
    const known = this.cache.find(cursor);
    if (known) {
      this.counts.reused += 1;
      return this.shown(known, cursor);
    }
    if (!this.flight?.fits(cursor)) {
      this.drop();
      await this.delay(cursor, wish, signal);
      if (signal.aborted) return undefined;
      // A suggestion may have been accepted meanwhile, which begins the next.
      if (!this.flight?.fits(cursor)) this.begin(cursor, wish.multiline);
    }
    const rest = await this.wait(cursor, wish, signal);
    return rest && this.shown(rest, cursor);
  }

  /** Begins the request for what follows an accepted suggestion, for which VS Code asks in a moment. */
  ahead(cursor: Cursor, multiline: boolean): void {
    this.skipsDelay = true;
    if (this.cache.find(cursor) || this.flight?.fits(cursor)) return;
    this.begin(cursor, multiline);
    this.abandonLater();
  }

  /** A key was pressed: aborts the request at once where its answer is of no use any more. */
  changed(changes: readonly Change[]): void {
    this.stopWarming();
    this.pace.typed(this.around.now());
    const { flight } = this;
    if (!flight || flight.isOver || changes[0]?.uri !== flight.cursor.uri) return;
    // VS Code's next question names the item that is selected now.
    if (flight.cursor.isAhead) return;
    const typed = changes.length === 1 && changes[0] ? this.typedOn(flight.cursor, changes[0]) : undefined;
    if (typed === undefined || !flight.agreesWith(typed)) this.drop();
    else this.typed = typed;
  }

  /** The cursor was moved: aborts the request where it left the text that was typed since. */
  moved(uri: string, { line, character }: Place): void {
    const { flight } = this;
    if (!flight || flight.isOver || flight.cursor.isAhead) return;
    const from = flight.cursor;
    const lastLine = from.line + this.typed.split("\n").length - 1;
    const isBefore = line < from.line || (line === from.line && character < from.character);
    if (uri !== from.uri || isBefore || line > lastLine) this.drop();
  }

  /** Aborts what runs: the cursor went elsewhere, or suggestions are off now. */
  drop(): void {
    this.stopWarming();
    this.typed = "";
    if (this.flight) this.abort(this.flight);
  }

  private abort(flight: Flight): void {
    if (flight.isOver) return;
    this.counts.aborted += 1;
    flight.abort();
  }

  /** Forgets the answers: another model is asked from now on. */
  forget(): void {
    this.drop();
    this.cache.clear();
  }

  /** Lets the engine read what a request will begin with. Ends at the first key. */
  async warm(run: Run): Promise<void> {
    if (this.isBusy) return;
    const warming = new AbortController();
    this.warming = warming;
    try {
      await run(() => {}, warming.signal);
    } catch (error) {
      if (!warming.signal.aborted) this.around.failed(error);
    } finally {
      if (this.warming === warming) this.warming = undefined;
    }
  }

  get isBusy(): boolean {
    return this.warming !== undefined || (this.flight !== undefined && !this.flight.isOver);
  }

  private stopWarming(): void {
    this.warming?.abort();
    this.warming = undefined;
  }

  private async delay(cursor: Cursor, wish: Wish, signal: AbortSignal): Promise<void> {
    const skips = wish.isExplicit || this.skipsDelay;
    this.skipsDelay = false;
    if (skips) return;
    const { latencyMs } = this.speed;
    const delayMs = this.pace.delayMs(this.around.now(), cursor.prefix, latencyMs, this.usedShare);
    if (delayMs === 0) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, delayMs);
      signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
    });
  }

  private begin(cursor: Cursor, multiline: boolean): void {
    this.drop();
    this.learn();
    const run = this.around.run(cursor, multiline);
    if (!run) return;
    this.counts.begun += 1;
    this.typed = "";
    const flight = new Flight(cursor, multiline, (text) => isEnough(text, cursor, multiline), run);
    this.flight = flight;
    void flight.ended.then(() => this.ended(flight));
  }

  /** Whether the last request was of use. */
  private learn(): void {
    if (this.flight) this.usedShare += WEIGHT * (Number(this.flight.isUsed) - this.usedShare);
    this.flight = undefined;
  }

  private ended({ answer, error, isUnawaited }: Flight): void {
    if (answer) {
      this.cache.add(answer);
      this.around.succeeded();
      if (isUnawaited) this.around.askAgain();
    } else if (error !== undefined) this.around.failed(error);
  }

  /** The answer of the running request, or of another where that one turns out not to fit. */
  private async wait(cursor: Cursor, wish: Wish, signal: AbortSignal): Promise<Rest | undefined> {
    let restarts = 0;
    for (;;) {
      const { flight } = this;
      if (!flight || flight.isLost) return undefined;
      const fits = flight.fits(cursor);
      if (fits && flight.answer) return restOf(flight.answer, cursor);
      if (!fits) {
        if ((restarts += 1) > 1) return undefined;
        this.abort(flight);
        await this.delay(cursor, wish, signal);
        if (signal.aborted) return undefined;
        if (this.flight === flight) this.begin(cursor, wish.multiline);
        continue;
      }
      const { typed } = this;
      flight.waiting += 1;
      flight.isUnawaited = false;
      await flight.changed(signal);
      flight.waiting -= 1;
      if (!signal.aborted) continue;
      this.abandonLater(typed);
      return undefined;
    }
  }

  /** Typing on cancels VS Code's question and asks another: the request goes on for that one. Where
   * nothing was typed, VS Code has stopped by itself: with `editor.quickSuggestions` on its default, it
   * gives a suggestion 750 ms and then opens its list. Then the answer is still wanted.
   * @param typed since the request, at the question that was cancelled; undefined where none was */
  private abandonLater(typed?: string): void {
    const { flight } = this;
    setTimeout(() => {
      if (!flight || this.flight !== flight || flight.waiting > 0) return;
      if (typed === this.typed && !flight.cursor.isAhead) this.unawaited(flight);
      else this.drop();
    }, ABANDONED_MS);
  }

  private unawaited(flight: Flight): void {
    if (flight.answer) this.around.askAgain();
    else flight.isUnawaited = true;
  }

  private shown(rest: Rest, cursor: Cursor): string | undefined {
    const text = this.around.refine(rest, cursor);
    if (text === undefined) return undefined;
    this.counts.shown += 1;
    if (this.flight?.cursor === rest.cursor) this.flight.isUsed = true;
    return text;
  }

  /** What was typed since the request, with this change; undefined where it was not typed on. */
  private typedOn(from: Cursor, change: Change): string | undefined {
    const newlines = this.typed.split("\n");
    const last = newlines.at(-1) ?? "";
    const isSameLine = newlines.length === 1;
    const line = from.line + newlines.length - 1;
    const character = isSameLine ? from.character + last.length : last.length;
    if (change.line !== line) return undefined;
    if (change.removed > 0) {
      // Backspace over what was typed since.
      const kept = this.typed.length - change.removed;
      const isAtEnd = change.character + change.removed === character && change.text === "";
      return isAtEnd && kept >= 0 ? this.typed.slice(0, kept) : undefined;
    }
    if (change.character !== character) return undefined;
    const text = PAIR.test(change.text) ? change.text.slice(0, 1) : change.text;
    return this.typed + text;
  }
}

