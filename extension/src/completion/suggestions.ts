/** The suggestion for a cursor: a known answer, the running request's, or a new request's.
 *
 * Knows nothing of VS Code, and runs one request at a time. */

import { TOKEN_END } from "./anchor";
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
  /** VS Code no longer waits at `cursor`: if the person still does, it is made to ask once more. Whether
   * it was. */
  readonly askAgain: (cursor: Spot) => boolean;
  /** How long until a request may be made; undefined where there is none to make. */
  readonly waitMs: () => number | undefined;
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

/** Where a cursor is. */
export type Spot = Pick<Cursor, "uri" | "line" | "character" | "isAhead">;

/** A question of VS Code's, at a place where the person may still wait for its answer. */
interface Question {
  readonly cursor: Spot;
  /** When it was asked there first. */
  readonly sinceMs: number;
}

/** To close a connection takes a millisecond: it is done when what follows from a key has been, and before
 * VS Code asks. */
const CLOSED_AFTER_MS = 10;
/** VS Code asks again within 50 ms after a key; after this, no question waits for the request any more. */
const ABANDONED_MS = 400;
/** VS Code takes its question back 750 ms after the key. An answer that takes longer than this may cross
 * that on its way, and is then dropped unseen: VS Code does not report what it shows. */
const CROSSING_MS = 250;
/** How soon VS Code is made to ask for such an answer again: before a person can have put it away. */
const CONFIRM_MS = 100;
/** VS Code asks within a few milliseconds after it was made to, unless something is in its way. */
const UNHEARD_MS = 1000;
/** No person waits so long for a suggestion. */
const AWAY_MS = 60_000;
/** How often it is looked whether there is a model again. */
const NO_MODEL_MS = 1000;
const PAIR = /^(\(\)|\[\]|\{\}|""|''|``|<>)$/;

export class Suggestions {
  private readonly cache = new AnswerCache();
  private flight: Flight | undefined;
  private warming: AbortController | undefined;
  /** What was typed since the running request. */
  private typed = "";
  private skipsDelay = false;
  /** VS Code's last question, until a key or the cursor goes on from it. */
  private open: Question | undefined;
  /** Since the window was opened. */
  readonly counts = { begun: 0, aborted: 0, shown: 0, reused: 0 };

  constructor(
    private readonly around: Surroundings,
    private readonly pace: TypingPace,
    private readonly speed: MeasuredSpeed,
  ) {}

  /** The text to show at `cursor`; undefined where there is none, or `signal` was aborted. */
  async suggest(cursor: Cursor, wish: Wish, signal: AbortSignal): Promise<string | undefined> {
    const question = this.opened(cursor);
    const askedMs = this.around.now();
    const known = this.cache.find(cursor);
    if (known) {
      this.counts.reused += 1;
      return this.shown(known, cursor);
    }
    do {
      const rest = await this.answer(cursor, wish, signal);
      if (rest) {
        if (!wish.isExplicit && this.around.now() - askedMs > CROSSING_MS) this.confirm(question);
        return this.shown(rest, cursor);
      }
      // VS Code keeps an empty answer to an explicit question until the text changes, and asks no more.
    } while (wish.isExplicit && (await this.mayTryAgain(question, signal)));
    this.takeUpLater(question);
    return undefined;
  }

  /** VS Code asked, and nothing could be looked for: there is no model, as while a server starts again,
   * or the question was taken back before it was read, as by an editor that was busy opening a large file. */
  unanswered(cursor: Spot): void {
    this.takeUpLater(this.opened(cursor));
  }

  /** Begins the request for what follows an accepted suggestion, for which VS Code asks in a moment. */
  ahead(cursor: Cursor, multiline: boolean): void {
    this.skipsDelay = true;
    if (this.cache.find(cursor) || this.flight?.fits(cursor)) return;
    this.begin(cursor, multiline);
    const { flight } = this;
    setTimeout(() => this.abandon(flight), ABANDONED_MS);
  }

  /** A key was pressed: aborts the request at once where its answer is of no use any more. */
  changed(changes: readonly Change[]): void {
    this.open = undefined;
    this.stopWarming(CLOSED_AFTER_MS);
    this.pace.typed(this.around.now());
    const { flight } = this;
    if (!flight || flight.isOver || changes[0]?.uri !== flight.cursor.uri) return;
    // VS Code's next question names the item that is selected now.
    if (flight.cursor.isAhead) return;
    const typed = changes.length === 1 && changes[0] ? this.typedOn(flight.cursor, changes[0]) : undefined;
    if (typed === undefined || !flight.agreesWith(typed)) this.drop(CLOSED_AFTER_MS);
    else this.typed = typed;
  }

  /** The cursor was moved: aborts the request where it left the text that was typed since. */
  moved(uri: string, { line, character }: Place): void {
    const { flight } = this;
    if (this.open && !isAt(this.open.cursor, uri, { line, character })) this.open = undefined;
    if (!flight || flight.isOver || flight.cursor.isAhead) return;
    const from = flight.cursor;
    const lastLine = from.line + this.typed.split("\n").length - 1;
    const isBefore = line < from.line || (line === from.line && character < from.character);
    if (uri !== from.uri || isBefore || line > lastLine) this.drop();
  }

  /** The person went to another editor. */
  left(): void {
    this.open = undefined;
    this.drop();
  }

  /** Aborts what runs. Where the person still waits, it is asked for again.
   * @param closedAfterMs when its connection is closed */
  drop(closedAfterMs = 0): void {
    this.stopWarming(closedAfterMs);
    this.typed = "";
    if (this.flight) this.abort(this.flight, closedAfterMs);
  }

  private abort(flight: Flight, closedAfterMs = 0): void {
    if (flight.isOver) return;
    this.counts.aborted += 1;
    const close = flight.abort();
    this.after(closedAfterMs, close);
  }

  private after(ms: number, close: () => void): void {
    if (ms > 0) setTimeout(close, ms);
    else close();
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

  private stopWarming(closedAfterMs = 0): void {
    const { warming } = this;
    this.warming = undefined;
    if (warming) this.after(closedAfterMs, () => warming.abort());
  }

  private async delay(cursor: Cursor, wish: Wish, signal: AbortSignal): Promise<void> {
    const skips = wish.isExplicit || this.skipsDelay;
    this.skipsDelay = false;
    if (skips) return;
    const delayMs = this.pace.delayMs(this.around.now(), this.speed.latencyMs, TOKEN_END.test(cursor.prefix));
    if (delayMs > 0) await this.sleep(delayMs, signal);
  }

  private begin(cursor: Cursor, multiline: boolean): void {
    this.drop();
    this.flight = undefined;
    const run = this.around.run(cursor, multiline);
    if (!run) return;
    this.counts.begun += 1;
    this.typed = "";
    const flight = new Flight(cursor, multiline, (text) => isEnough(text, cursor, multiline), run);
    this.flight = flight;
    void flight.ended.then(() => this.ended(flight));
  }

  private ended({ answer, error }: Flight): void {
    if (answer) {
      this.cache.add(answer);
      this.around.succeeded();
    } else if (error !== undefined) this.around.failed(error);
  }

  /** The running request's answer where it fits, else a new request's. */
  private async answer(cursor: Cursor, wish: Wish, signal: AbortSignal): Promise<Rest | undefined> {
    if (!this.flight?.fits(cursor)) {
      this.drop();
      await this.delay(cursor, wish, signal);
      if (signal.aborted) return undefined;
      // A suggestion may have been accepted meanwhile, which begins the next.
      if (!this.flight?.fits(cursor)) this.begin(cursor, wish.multiline);
    }
    return this.wait(cursor, wish, signal);
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
      flight.waiting += 1;
      await flight.changed(signal);
      flight.waiting -= 1;
      if (signal.aborted) return undefined;
    }
  }

  /** A question ended without an answer: it was taken back, its request failed, or was dropped. Typing on
   * takes it back too, and asks another. Where nothing was typed, the person still waits, and VS Code
   * would not ask before the next key. It takes a question back by itself after 750 ms, to open its list
   * (`editor.quickSuggestions` on its default), and where the focus leaves the editor for a moment. */
  private takeUpLater(question: Question, ms = ABANDONED_MS): void {
    const { flight } = this;
    setTimeout(() => this.takeUp(question, flight), ms);
  }

  private opened(cursor: Spot): Question {
    const before = this.open;
    const isSame = before && isAt(before.cursor, cursor.uri, cursor);
    this.open = { cursor, sinceMs: isSame ? before.sinceMs : this.around.now() };
    return this.open;
  }

  private takeUp(question: Question, flight: Flight | undefined): void {
    if (this.open !== question || question.cursor.isAhead) return this.abandon(flight);
    if (this.around.now() - question.sinceMs > AWAY_MS) return this.abandon(flight);
    const waitMs = this.around.waitMs() ?? NO_MODEL_MS;
    if (waitMs > 0) return this.takeUpLater(question, waitMs);
    if (!this.around.askAgain(question.cursor)) this.abandon(flight);
    this.takeUpLater(question, UNHEARD_MS);
  }

  /** Makes VS Code ask for an answer again that it may have dropped. The answer is known: nothing is sent. */
  private confirm(question: Question): void {
    setTimeout(() => this.takeUp(question, undefined), CONFIRM_MS);
  }

  /** Waits until the server may be asked again. */
  private async mayTryAgain(question: Question, signal: AbortSignal): Promise<boolean> {
    await this.sleep(Math.max(ABANDONED_MS, this.around.waitMs() ?? NO_MODEL_MS), signal);
    return !signal.aborted && this.open === question && this.around.now() - question.sinceMs <= AWAY_MS;
  }

  private async sleep(ms: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    await new Promise<void>((resolve) => {
      const end = () => {
        clearTimeout(timer);
        signal.removeEventListener("abort", end);
        resolve();
      };
      const timer = setTimeout(end, ms);
      signal.addEventListener("abort", end);
    });
  }

  /** Aborts a request that no question waits for. */
  private abandon(flight: Flight | undefined): void {
    if (flight?.waiting === 0 && this.flight === flight) this.drop();
  }

  private shown(rest: Rest, cursor: Cursor): string | undefined {
    const text = this.around.refine(rest, cursor);
    if (text === undefined) return undefined;
    this.counts.shown += 1;
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

function isAt(cursor: Spot, uri: string, { line, character }: Place): boolean {
  return cursor.uri === uri && cursor.line === line && cursor.character === character;
}
