/** The language model provider that VS Code's chat talks to. */

import * as vscode from "vscode";
import { messageOf } from "../api/narrow";
import type { ChatRequest } from "../api/openaiTypes";
import { hasModel, type ModelEntry } from "../servers/modelEntry";
import type { ModelRegistry } from "../servers/modelRegistry";
import type { Settings } from "../servers/settings";
import { estimateTokens } from "../tokens/tokenCounter";
import { ChatFailure } from "./chatFailure";
import { chatMessage, cutAnswerNote } from "./errorMessages";
import { goneInformation, information, type ModelInformation } from "./modelInformation";
import { messagesOf, toRequest } from "./openaiMessages";
import { chatWithinContext } from "./overflowRetry";
import { ProgressSink, streamTrace, type Progress } from "./progressSink";
import { isLimited, type ChatResult } from "./responseAccumulator";
import { toolTexts } from "./toolTexts";
import { unavailableMessage } from "./unavailableModel";

export interface Answered {
  readonly entry: ModelEntry;
  readonly result: ChatResult;
}

/** One request of VS Code's chat. */
interface Turn {
  readonly messages: readonly vscode.LanguageModelChatRequestMessage[];
  readonly options: vscode.ProvideLanguageModelChatResponseOptions;
  readonly progress: Progress;
  readonly token: vscode.CancellationToken;
}

export class Provider implements vscode.LanguageModelChatProvider<ModelInformation> {
  private readonly answered = new vscode.EventEmitter<Answered>();
  readonly onDidAnswer = this.answered.event;
  private readonly asked = new vscode.EventEmitter<string>();
  /** A message is sent to the model with this id, which may no longer be served: the only sign of
   * which model the user has chosen. */
  readonly onDidAsk = this.asked.event;
  readonly onDidChangeLanguageModelChatInformation: vscode.Event<void>;
  private running = 0;

  constructor(
    private readonly registry: ModelRegistry,
    private readonly settings: Pick<Settings, "problem">,
    private readonly log: vscode.LogOutputChannel,
  ) {
    this.onDidChangeLanguageModelChatInformation = registry.onDidChange;
  }

  /** Whether a chat of this window waits for an answer, or reads one. */
  get isChatting(): boolean {
    return this.running > 0;
  }

  async provideLanguageModelChatInformation(
    options: vscode.PrepareLanguageModelChatModelOptions,
  ): Promise<ModelInformation[]> {
    const entries = await this.registry.entries();
    if (entries.length === 0 && this.registry.sources.length === 0 && !options.silent) {
      await vscode.commands.executeCommand("stoker.setEndpoint");
      await this.registry.entries();
    }
    const { current, gone } = this.registry;
    const isDown = ({ source }: ModelEntry) => this.registry.outageOf(source) !== undefined;
    return [
      ...current.map((entry) => information(entry, isDown(entry))),
      ...gone.map(goneInformation),
    ];
  }

  async provideTokenCount(
    model: ModelInformation,
    text: string | vscode.LanguageModelChatRequestMessage,
  ): Promise<number> {
    const entry = this.registry.find(model.id);
    const value = typeof text === "string" ? text : messagesOf(text);
    if (!entry || !hasModel(entry)) return estimateTokens(value);
    const { counter } = entry;
    if (typeof value !== "string") return counter.countMessages(value);
    // VS Code counts the strings of its tools one after the other, each waiting for the last:
    // counting all of them with the first turns hundreds of requests into one.
    const others = counter.isCached(value) ? undefined : toolTexts();
    if (others?.has(value)) for (const other of others) void counter.count(other);
    return counter.count(value);
  }

  async provideLanguageModelChatResponse(
    model: ModelInformation,
    messages: readonly vscode.LanguageModelChatRequestMessage[],
    options: vscode.ProvideLanguageModelChatResponseOptions,
    progress: Progress,
    token: vscode.CancellationToken,
  ): Promise<void> {
    this.asked.fire(model.id);
    this.running += 1;
    try {
      await this.answer(model.id, { messages, options, progress, token });
    } finally {
      this.running -= 1;
    }
  }

  dispose(): void {
    this.answered.dispose();
    this.asked.dispose();
  }

  private async answer(id: string, turn: Turn): Promise<void> {
    const entry = (await this.registry.findFresh(id)) ?? this.unavailable(id);
    try {
      await this.respond(entry, turn);
    } catch (error) {
      const current = await this.servedInstead(entry, error);
      if (!current) throw this.explained(error, entry);
      await this.respond(current, turn).catch((again: unknown) => {
        throw this.explained(again, current);
      });
    }
  }

  /** The chat shows why the model is not available. Another model never answers in its place. */
  private unavailable(id: string): never {
    throw shownError(unavailableMessage(this.registry, this.settings.problem(), id));
  }

  /** The entry of the same id after a 404, if it stands for another model by now. */
  private async servedInstead(entry: ModelEntry, error: unknown): Promise<ModelEntry | undefined> {
    if (!(error instanceof ChatFailure) || error.kind !== "notFound") return undefined;
    await this.registry.refresh();
    const current = this.registry.find(entry.id);
    if (!current || !hasModel(current)) return this.unavailable(entry.id);
    return current.model.id === entry.model.id ? undefined : current;
  }

  private async respond(entry: ModelEntry, turn: Turn): Promise<void> {
    const { messages, options, progress, token } = turn;
    this.registry.markUsed(entry);
    const abort = new AbortController();
    const subscription = token.onCancellationRequested(() => abort.abort());
    if (token.isCancellationRequested) abort.abort();
    try {
      const request = toRequest(entry.model.id, messages, options);
      // llama.cpp's field; the gateway passes the events on to clients that ask.
      if (entry.model.engine === "llama.cpp") request["return_progress"] = true;
      const sink = new ProgressSink(progress, streamTrace(this.log, entry.model.id));
      const context = { registry: this.registry, log: this.log };
      const result = await chatWithinContext(context, entry, request, sink, abort.signal);
      this.report(entry, request, result, progress);
    } catch (error) {
      if (!abort.signal.aborted) throw error;
      this.log.info(`${entry.model.id}: stopped; the connection is closed`);
      throw new vscode.CancellationError();
    } finally {
      subscription.dispose();
    }
  }

  private report(
    entry: ModelEntry,
    request: ChatRequest,
    result: ChatResult,
    progress: Progress,
  ): void {
    const { usage, finishReason } = result;
    if (finishReason === "length" && !isLimited(request)) {
      progress.report(new vscode.LanguageModelTextPart(`\n\n*${cutAnswerNote()}*`));
    }
    if (usage) {
      const bytes = new TextEncoder().encode(JSON.stringify(usage));
      // An input part in the final API; hosts accept it in an answer too.
      const part: unknown = new vscode.LanguageModelDataPart(bytes, "usage");
      progress.report(part as vscode.LanguageModelResponsePart);
      const sent = JSON.stringify(request.messages) + JSON.stringify(request.tools ?? "");
      entry.counter.calibrate(sent.length, Number(usage["prompt_tokens"]));
    }
    this.log.info(summary(entry, request, result));
    this.answered.fire({ entry, result });
  }

  /** The error that the chat shows. */
  private explained(error: unknown, entry: ModelEntry): Error {
    if (error instanceof vscode.CancellationError) return error;
    if (!(error instanceof ChatFailure)) {
      this.log.error(`${entry.model.id}: unexpected`, error instanceof Error ? error.stack : "");
      return error instanceof Error ? error : new Error(messageOf(error));
    }
    // A server's message may quote the prompt: the user sees it, the log never does.
    this.log.error(`${entry.model.id}: ${error.kind} ${JSON.stringify(error.facts)}`);
    if (error.kind === "unreachable" || error.kind === "dropped") void this.registry.refresh();
    return shownError(chatMessage(error, entry.source.label, entry.model));
  }
}

/** Numbers only: the log never holds what was asked or answered. */
function summary({ model, counter }: ModelEntry, request: ChatRequest, result: ChatResult): string {
  const { usage, timing, finishReason } = result;
  return (
    `${model.id}: ${request.messages.length} messages, ${request.tools?.length ?? 0} tools, ` +
    `prompt ${String(usage?.["prompt_tokens"] ?? "?")} tokens, ` +
    `answer ${timing.outputTokens ?? "?"} tokens in ${timing.chunks} chunks, ` +
    `first token ${timing.firstTokenMs?.toFixed(0) ?? "?"} ms, ` +
    `${timing.tokensPerS?.toFixed(1) ?? "?"} tokens/s, finish ${finishReason ?? "?"}, ` +
    `${counter.requests} counting requests so far`
  );
}

function shownError(message: string): Error {
  const error = new Error(message);
  // The chat shows an error's stack beside its message; it is of no use to the user.
  error.stack = "";
  return error;
}
