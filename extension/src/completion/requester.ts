/** Turns a cursor into a request to the chosen model, measures it, and waits after a failure. */

import type * as vscode from "vscode";
import { HttpError } from "../api/apiClient";
import type { InfillModel } from "../servers/modelRegistry";
import { Anchor } from "./anchor";
import { complete, type CompletionBody } from "./completionCall";
import type { Cursor, Extra } from "./cursor";
import { EngineMemory } from "./engineMemory";
import type { Run } from "./flight";
import type { LastRequest } from "./lastRequest";
import type { MeasuredSpeed } from "./measuredSpeed";
import { mayRepeat } from "./repeatedLines";

/** A small machine may take half a minute to read a whole window for the first time. A request whose
 * place the person has left is aborted long before. */
const TIMEOUT_MS = 60_000;
const FIRST_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 30_000;

interface Limits {
  readonly multiline: boolean;
  /** Whether one line may be followed by others that the file has in this order. */
  readonly repeats: boolean;
  readonly maxTokens: number;
}

export class Requester {
  private readonly anchor = new Anchor();
  private readonly memory = new EngineMemory();
  private failures = 0;
  private notBefore = 0;
  /** Why the last request failed; undefined where it did not. */
  error: unknown;

  constructor(
    private readonly model: () => InfillModel | undefined,
    private readonly extras: (uri: string) => readonly Extra[],
    private readonly speed: MeasuredSpeed,
    private readonly last: LastRequest,
    private readonly log: vscode.LogOutputChannel,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** How long the server is left alone after a failure; undefined where there is no model to ask. */
  waitMs(): number | undefined {
    return this.model() && Math.max(0, this.notBefore - this.now());
  }

  /** Undefined where there is no model, or its server failed a moment ago. */
  run(cursor: Cursor, { multiline, repeats, maxTokens }: Limits): Run | undefined {
    const model = this.model();
    if (!model || this.now() < this.notBefore) return undefined;
    // What is enough of it is known only as it is written: it is aborted then.
    const isOpen = multiline || (repeats && mayRepeat(cursor));
    const most = Math.max(this.speed.maxTokens(multiline, maxTokens), isOpen ? this.speed.maxTokens(true, maxTokens) : 0);
    const body = { ...this.body(model, cursor, most), stop: isOpen ? [] : ["\n"] };
    return (onText, signal) => this.send(model, body, onText, signal);
  }

  /** Whether the engine has read most of what a request at `cursor` begins with, if it still holds it. */
  isWarmAt(cursor: Cursor): boolean {
    return this.anchor.isNear(cursor, this.extras(cursor.uri));
  }

  /** How much longer the engine would read with these other files than with those that go along now. */
  addedMs(cursor: Cursor, extras: readonly Extra[]): number {
    const { prefix: prompt, suffix } = cursor;
    const chars = (each: readonly Extra[]) => this.memory.unread({ prompt, suffix }, each);
    return this.speed.readingMs(chars(extras) - chars(this.extras(cursor.uri)));
  }

  /** A request that makes the engine read what the next one at `cursor` begins with. */
  warmUp(cursor: Cursor): Run | undefined {
    const model = this.model();
    if (!model || this.now() < this.notBefore) return undefined;
    this.anchor.renew(cursor, this.extras(cursor.uri));
    const body = this.body(model, cursor, 1);
    return async (onText, signal) => {
      const sent = this.last.sent(body, model.source.label);
      const startedAt = this.now();
      const readChars = this.memory.begins(body, body.input_extra);
      const timed = AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]);
      try {
        const finished = await complete(model.source.server, body, onText, timed);
        this.memory.hasRead();
        this.speed.read(this.now() - startedAt, readChars);
        return finished;
      } finally {
        sent.tookMs = this.now() - startedAt;
      }
    };
  }

  succeeded(): void {
    this.failures = 0;
    this.notBefore = 0;
    this.error = undefined;
  }

  /** A server that is down is not asked at every key. */
  failed(error: unknown): void {
    const askedForMs = error instanceof HttpError ? (error.retryAfterS ?? 0) * 1000 : 0;
    const grownMs = FIRST_WAIT_MS * 2 ** this.failures;
    const waitMs = Math.min(LONGEST_WAIT_MS, Math.max(grownMs, askedForMs));
    this.failures += 1;
    this.notBefore = this.now() + waitMs;
    this.error = error;
    // A server's message may quote the prompt: only its kind is logged.
    const kind = error instanceof HttpError ? `HTTP ${error.status}` : (error as Error).name;
    this.log.warn(`completion: ${kind}; the next request in ${Math.round(waitMs / 1000)} s at the earliest`);
  }

  /** The user has changed something: what failed before may work now. */
  forgive(): void {
    this.succeeded();
  }

  private body(model: InfillModel, cursor: Cursor, maxTokens: number): CompletionBody {
    const extras = this.extras(cursor.uri);
    return {
      model: model.id,
      ...this.anchor.at(cursor, extras),
      input_extra: extras,
      max_tokens: maxTokens,
      temperature: 0,
      stop: [],
      stream: true,
    };
  }

  private async send(
    model: InfillModel,
    body: CompletionBody,
    onText: (text: string) => void,
    signal: AbortSignal,
  ): Promise<boolean> {
    const sent = this.last.sent(body, model.source.label);
    const startedAt = this.now();
    const readChars = this.memory.begins(body, body.input_extra);
    let firstMs: number | undefined;
    let pieces = 0;
    const onPiece = (text: string) => {
      firstMs ??= this.now() - startedAt;
      this.memory.hasRead();
      pieces += 1;
      sent.answer += text;
      onText(text);
    };
    try {
      const timed = AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]);
      return await complete(model.source.server, body, onPiece, timed);
    } finally {
      const wholeMs = this.now() - startedAt;
      sent.tookMs = wholeMs;
      if (firstMs !== undefined) this.speed.measured(firstMs, wholeMs, pieces, readChars);
      this.log.debug(
        `completion: ${body.prompt.length} + ${body.suffix.length} characters, ` +
          `first ${firstMs?.toFixed(0) ?? "?"} ms, whole ${wholeMs.toFixed(0)} ms, ` +
          `${pieces} pieces${signal.aborted ? ", aborted" : ""}`,
      );
    }
  }
}
