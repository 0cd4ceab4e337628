/** Asks a next-edit model what follows, in the background: a failure shows nothing and waits a while. */

import type * as vscode from "vscode";
import { HttpError } from "../../api/apiClient";
import type { InfillModel } from "../../servers/modelRegistry";
import { complete, type TextBody } from "../completionCall";
import type { LastRequest } from "../lastRequest";
import { formOf, type Asked, type Question } from "./nextEditForm";
import type { Replacement } from "./predict";
import { rewritten } from "./rewritten";

/** Twenty-one long lines and what comes to them. */
const MOST_TOKENS = 1024;
/** An edit that comes later is of no use. */
const TIMEOUT_MS = 10_000;
const WAIT_AFTER_FAILURE_MS = 30_000;

export class NextEditCall {
  private notBefore = 0;

  constructor(
    private readonly model: () => InfillModel | undefined,
    private readonly last: LastRequest,
    private readonly log: vscode.LogOutputChannel,
  ) {}

  /** What the model would change, the nearest first; nothing where no such model is served. */
  async ask(question: Question, signal: AbortSignal): Promise<Replacement[]> {
    const model = this.model();
    const asked = model && formOf(model.id)?.ask(question);
    if (!asked || performance.now() < this.notBefore) return [];
    try {
      const answer = await this.answer(model, asked, AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]));
      return answer === undefined ? [] : rewritten(asked, answer, question.cursorLine);
    } catch (error) {
      if (!signal.aborted) this.failed(error);
      return [];
    }
  }

  /** Undefined where it was cut off: the lines that are missing were not meant to go. */
  private async answer(model: InfillModel, { prompt, stop }: Asked, signal: AbortSignal): Promise<string | undefined> {
    const fixed = { max_tokens: MOST_TOKENS, temperature: 0, stream: true } as const;
    // Engines that leave marks out of the text would not see that one ends the answer.
    const body: TextBody = { model: model.id, prompt, stop, ...fixed, skip_special_tokens: false };
    const sent = this.last.sent(body, model.source.label);
    const startedAt = performance.now();
    try {
      const isWhole = await complete(model.source.server, body, (text) => (sent.answer += text), signal);
      return isWhole ? sent.answer : undefined;
    } finally {
      sent.tookMs = performance.now() - startedAt;
    }
  }

  /** A server's message may quote the prompt: only its kind is logged. */
  private failed(error: unknown): void {
    this.notBefore = performance.now() + WAIT_AFTER_FAILURE_MS;
    const kind = error instanceof HttpError ? `HTTP ${error.status}` : (error as Error).name;
    this.log.warn(`next edit: ${kind}; the next request in ${WAIT_AFTER_FAILURE_MS / 1000} s at the earliest`);
  }
}
