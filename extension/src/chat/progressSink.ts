/** Hands the parts of an answer to VS Code as its own kinds of parts. */

import * as vscode from "vscode";
import type { Sink } from "./responseAccumulator";

export type Progress = vscode.Progress<vscode.LanguageModelResponsePart>;

type ThinkingPart = new (text: string) => vscode.LanguageModelResponsePart;

const TRACE_MS = 100;

export class ProgressSink implements Sink {
  /** Whether VS Code has got a part of the answer. */
  isUsed = false;
  /** Not in the final API: hosts without it do not show thinking. */
  private readonly thinkingPart = (vscode as { LanguageModelThinkingPart?: ThinkingPart })
    .LanguageModelThinkingPart;

  /** @param trace called with the number of characters of each text part */
  constructor(
    private readonly progress: Progress,
    private readonly trace: ((chars: number) => void) | undefined,
  ) {}

  text(text: string): void {
    this.trace?.(text.length);
    this.report(new vscode.LanguageModelTextPart(text));
  }

  thinking(text: string): void {
    if (this.thinkingPart) this.report(new this.thinkingPart(text));
  }

  /** Shown as thinking, which `toMessages` leaves out of the next request. A chat that got no more than
   * this can be asked again. */
  waiting(line: string): void {
    if (this.thinkingPart) this.progress.report(new this.thinkingPart(`**${line}**\n\n`));
  }

  toolCall(call: { id: string; name: string }, input: object): void {
    this.report(new vscode.LanguageModelToolCallPart(call.id, call.name, input));
  }

  private report(part: vscode.LanguageModelResponsePart): void {
    this.isUsed = true;
    this.progress.report(part);
  }
}

/** At trace level, logs one line for each tenth of a second of a stream; else undefined.
 * @param name of the model */
export function streamTrace(
  log: vscode.LogOutputChannel,
  name: string,
): ((chars: number) => void) | undefined {
  if (log.logLevel !== vscode.LogLevel.Trace) return undefined;
  let [since, parts, sum] = [performance.now(), 0, 0];
  return (chars) => {
    parts += 1;
    sum += chars;
    const elapsed = performance.now() - since;
    if (elapsed < TRACE_MS) return;
    log.trace(`${name}: ${parts} parts, ${sum} characters in ${elapsed.toFixed()} ms`);
    [since, parts, sum] = [performance.now(), 0, 0];
  };
}
