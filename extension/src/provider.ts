/** The language model provider: VS Code's words on one side, the server's on the other. */

import * as vscode from "vscode";
import { assumedContext, type Catalog, type Offer } from "./catalog";
import { chat, ChatFailure, type ChatResult, type Sink } from "./chat";
import { chatMessage, cutAnswerNote } from "./failures";
import { shrink } from "./shrink";
import { toRequest, wireMessages, type ChatRequest } from "./wire";

/** What hosts read beyond the final API: who may choose it, and whose key it uses. */
export interface ModelInformation extends vscode.LanguageModelChatInformation {
  readonly isUserSelectable: boolean;
  readonly isBYOK: boolean;
}

export interface Answered {
  readonly offer: Offer;
  readonly result: ChatResult;
}

const TRACE_MS = 100;

type ThinkingPart = new (text: string) => vscode.LanguageModelResponsePart;

export class Provider implements vscode.LanguageModelChatProvider<ModelInformation> {
  private readonly answered = new vscode.EventEmitter<Answered>();
  readonly onDidAnswer = this.answered.event;
  readonly onDidChangeLanguageModelChatInformation: vscode.Event<void>;

  constructor(
    private readonly catalog: Catalog,
    private readonly log: vscode.LogOutputChannel,
  ) {
    this.onDidChangeLanguageModelChatInformation = catalog.onDidChange;
  }

  async provideLanguageModelChatInformation(
    options: vscode.PrepareLanguageModelChatModelOptions,
  ): Promise<ModelInformation[]> {
    const offers = await this.catalog.offers();
    if (offers.length === 0 && this.catalog.sources.length === 0 && !options.silent) {
      await vscode.commands.executeCommand("stoker.setEndpoint");
      return (await this.catalog.offers()).map(information);
    }
    return offers.map(information);
  }

  async provideTokenCount(
    model: ModelInformation,
    text: string | vscode.LanguageModelChatRequestMessage,
  ): Promise<number> {
    const { counter } = this.offer(model);
    if (typeof text !== "string") return counter.countMessages(wireMessages(text));
    // VS Code asks for the pieces of its tools one after the other, each waiting for the last:
    // counting all of them with the first turns hundreds of requests into one.
    const others = counter.knows(text) ? undefined : toolTexts();
    if (others?.has(text)) for (const other of others) void counter.count(other);
    return counter.count(text);
  }

  async provideLanguageModelChatResponse(
    model: ModelInformation,
    messages: readonly vscode.LanguageModelChatRequestMessage[],
    options: vscode.ProvideLanguageModelChatResponseOptions,
    progress: vscode.Progress<vscode.LanguageModelResponsePart>,
    token: vscode.CancellationToken,
  ): Promise<void> {
    const offer = this.offer(model);
    const abort = new AbortController();
    const subscription = token.onCancellationRequested(() => abort.abort());
    if (token.isCancellationRequested) abort.abort();
    try {
      const request = toRequest(offer.model.id, messages, options);
      const result = await this.answer(offer, request, progress, abort.signal);
      this.report(offer, request, result, progress);
    } catch (error) {
      if (abort.signal.aborted) {
        this.log.info(`${offer.model.id}: stopped; the connection is closed`);
        throw new vscode.CancellationError();
      }
      throw this.explained(error, offer);
    } finally {
      subscription.dispose();
    }
  }

  dispose(): void {
    this.answered.dispose();
  }

  private offer(model: ModelInformation): Offer {
    const offer = this.catalog.find(model.id);
    if (offer) return offer;
    throw new Error(
      vscode.l10n.t("{0} is no longer served. Choose another model in the picker.", model.name),
    );
  }

  private async answer(
    offer: Offer,
    request: ChatRequest,
    progress: vscode.Progress<vscode.LanguageModelResponsePart>,
    signal: AbortSignal,
  ): Promise<ChatResult> {
    const { server } = offer.source;
    const sink = new ProgressSink(progress, this.tracing(offer));
    try {
      return await chat(server, request, sink, signal);
    } catch (error) {
      const overflowed = error instanceof ChatFailure && error.kind === "overflow";
      const smaller = overflowed && !sink.used && (await this.smaller(offer, request, error));
      if (!smaller) throw error;
      return chat(server, smaller, sink, signal);
    }
  }

  /** At trace level, one line for each tenth of a second of a stream, and none for a chunk. */
  private tracing(offer: Offer): ((chars: number) => void) | undefined {
    if (this.log.logLevel !== vscode.LogLevel.Trace) return undefined;
    let [since, parts, sum] = [performance.now(), 0, 0];
    return (chars) => {
      parts += 1;
      sum += chars;
      const elapsed = performance.now() - since;
      if (elapsed < TRACE_MS) return;
      this.log.trace(`${offer.model.id}: ${parts} parts, ${sum} characters in ${elapsed.toFixed()} ms`);
      [since, parts, sum] = [performance.now(), 0, 0];
    };
  }

  /** The request within the limit that the server has just told. */
  private async smaller(
    offer: Offer,
    request: ChatRequest,
    failure: ChatFailure,
  ): Promise<ChatRequest | undefined> {
    const limit = failure.facts.limit ?? offer.context;
    this.catalog.learn(offer, limit);
    const promptTokens = failure.facts.promptTokens ?? (await offer.counter.countPrompt(request));
    const { max_tokens: _, max_completion_tokens: __, ...unlimited } = request;
    const count = (text: string) => offer.counter.count(text);
    const within = (room: number) =>
      shrink(unlimited as ChatRequest, promptTokens, limit - room, count);
    // A short answer is better than none.
    const shrunk = (await within(answerRoom(limit))) ?? (await within(Math.floor(limit / 16)));
    this.log.warn(
      `${offer.model.id}: ${promptTokens} prompt tokens do not fit ${limit}; ` +
        (shrunk
          ? `again without ${shrunk.droppedTools} tools, ${shrunk.droppedMessages} messages`
          : "nothing more can be left out"),
    );
    return shrunk?.request;
  }

  private report(
    offer: Offer,
    request: ChatRequest,
    result: ChatResult,
    progress: vscode.Progress<vscode.LanguageModelResponsePart>,
  ): void {
    const { usage, timing, finishReason } = result;
    const limited = "max_tokens" in request || "max_completion_tokens" in request;
    if (finishReason === "length" && !limited) {
      progress.report(new vscode.LanguageModelTextPart(`\n\n*${cutAnswerNote()}*`));
    }
    if (usage) {
      const bytes = new TextEncoder().encode(JSON.stringify(usage));
      // Final in the API as an input part; hosts take it as an answer's part too.
      const part: unknown = new vscode.LanguageModelDataPart(bytes, "usage");
      progress.report(part as vscode.LanguageModelResponsePart);
      const promptTokens = Number(usage["prompt_tokens"]);
      const sent = JSON.stringify(request.messages) + JSON.stringify(request.tools ?? "");
      offer.counter.calibrate(sent.length, promptTokens);
    }
    this.log.info(
      `${offer.model.id}: ${request.messages.length} messages, ${request.tools?.length ?? 0} tools, ` +
        `prompt ${String(usage?.["prompt_tokens"] ?? "?")} tokens, ` +
        `answer ${timing.outputTokens ?? "?"} tokens in ${timing.chunks} chunks, ` +
        `first token ${timing.firstTokenMs?.toFixed(0) ?? "?"} ms, ` +
        `${timing.tokensPerS?.toFixed(1) ?? "?"} tokens/s, finish ${finishReason ?? "?"}, ` +
        `${offer.counter.requests} counting requests so far`,
    );
    this.answered.fire({ offer, result });
  }

  private explained(error: unknown, offer: Offer): Error {
    if (!(error instanceof ChatFailure)) {
      this.log.error(`${offer.model.id}: unexpected`, error instanceof Error ? error.stack : "");
      return error instanceof Error ? error : new Error(String(error));
    }
    // What a server says may quote the prompt: it goes to the person, never to the log.
    this.log.error(`${offer.model.id}: ${error.kind} ${JSON.stringify(error.facts)}`);
    if (error.kind === "unreachable" || error.kind === "dropped") void this.catalog.refresh();
    const explained = new Error(chatMessage(error, offer.source.label, offer.model.id));
    // The chat shows the stack of an error beside its message; it is of no use to a person.
    explained.stack = "";
    return explained;
  }
}

class ProgressSink implements Sink {
  used = false;
  /** Not final in the API: where a host lacks it, thinking is not shown. */
  private readonly thinkingPart = (vscode as { LanguageModelThinkingPart?: ThinkingPart })
    .LanguageModelThinkingPart;

  constructor(
    private readonly progress: vscode.Progress<vscode.LanguageModelResponsePart>,
    private readonly trace: ((chars: number) => void) | undefined,
  ) {}

  text(text: string): void {
    this.trace?.(text.length);
    this.give(new vscode.LanguageModelTextPart(text));
  }

  thinking(text: string): void {
    if (this.thinkingPart) this.give(new this.thinkingPart(text));
  }

  toolCall(call: { id: string; name: string }, input: object): void {
    this.give(new vscode.LanguageModelToolCallPart(call.id, call.name, input));
  }

  private give(part: vscode.LanguageModelResponsePart): void {
    this.used = true;
    this.progress.report(part);
  }
}

export function information(offer: Offer): ModelInformation {
  const { model, context, source } = offer;
  const room = answerRoom(context);
  const name = model.id.split("/").at(-1) || model.id;
  return {
    id: offer.id,
    name,
    family: name.toLowerCase(),
    version: "1",
    detail: source.label,
    tooltip: tooltip(offer),
    maxInputTokens: context - room,
    maxOutputTokens: room,
    capabilities: { toolCalling: model.tools !== "none", imageInput: model.vision },
    isUserSelectable: true,
    isBYOK: true,
  };
}

/** Tokens kept for the answer: a quarter of a small window, 4,096 of a large one. */
export function answerRoom(context: number): number {
  return Math.min(4096, Math.floor(context / 4));
}

export function tooltip({ model, context, source }: Offer): string {
  const assumed = model.maxModelLen === undefined && context === assumedContext(model);
  return [
    model.id,
    vscode.l10n.t("{0} at {1}", model.engine, source.label),
    assumed
      ? vscode.l10n.t("context not told; {0} tokens assumed", context)
      : vscode.l10n.t("context {0} tokens", context),
    model.quantization,
    model.tools === "emulated" ? vscode.l10n.t("tools emulated") : undefined,
    model.tokensPerS && vscode.l10n.t("{0} tokens/s", Math.round(model.tokensPerS)),
  ]
    .filter(Boolean)
    .join(" · ");
}

/** What VS Code's agent counts and its list of tools does not hold: the names that it gives its
 * own tools, and the places of a list. Measured in 1.139; one that is missing costs a request. */
const AGENT_TEXTS = [
  ...Array.from({ length: 64 }, (_, place) => String(place)),
  ..."parameters apply_patch create_directory create_file create_new_jupyter_notebook".split(" "),
  ..."create_new_workspace edit_notebook_file fetch_webpage file_search get_changed_files".split(" "),
  ..."get_errors get_project_setup_info get_vscode_api github_repo github_text_search".split(" "),
  ..."grep_search insert_edit_into_file install_extension list_dir manage_todo_list memory".split(" "),
  ..."multi_replace_string_in_file read_file read_notebook_cell_output".split(" "),
  ..."replace_string_in_file resolve_memory_file_uri run_in_terminal run_notebook_cell".split(" "),
  ..."run_vscode_command semantic_search session_store_sql view_image".split(" "),
];

/** The strings that VS Code counts for its tools: names, descriptions, keys and values. */
function toolTexts(): ReadonlySet<string> {
  const texts = new Set<string>(AGENT_TEXTS);
  const walk = (value: unknown): void => {
    if (typeof value === "string") texts.add(value);
    else if (typeof value === "object" && value !== null) {
      for (const [key, inner] of Object.entries(value)) {
        if (!Array.isArray(value)) texts.add(key);
        walk(inner);
      }
    }
  };
  for (const { name, description, inputSchema } of vscode.lm.tools) {
    walk({ name, description, inputSchema });
  }
  texts.delete("");
  return texts;
}
