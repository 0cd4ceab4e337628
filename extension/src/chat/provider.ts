/** The language model provider: VS Code's words on one side, the server's on the other. */

import * as vscode from "vscode";
import { assumedContext, hasModel, type Catalog, type Offer } from "../servers/modelRegistry";
import { chat, ChatFailure, type ChatResult, type Sink } from "./chatCompletion";
import {
  chatMessage,
  cutAnswerNote,
  discoveryMessage,
  invalidEndpointMessage,
  missingMessage,
} from "./errorMessages";
import type { Settings } from "../servers/settings";
import { shrink } from "../tokens/truncate";
import { guessedTokens } from "../tokens/tokenCounter";
import { toRequest, wireMessages, type ChatRequest } from "./openaiMessages";

/** What hosts read beyond the final API: who may choose it, and whose key it uses. */
export interface ModelInformation extends vscode.LanguageModelChatInformation {
  readonly isUserSelectable: boolean;
  readonly isBYOK: boolean;
}

export interface Answered {
  readonly offer: Offer;
  readonly result: ChatResult;
}

/** The window that VS Code is told where Stoker's gateway makes prompts fit a smaller one. VS Code
 * counts about 13,700 tokens of tools whatever the model. Told less than about 20,000 it finds no
 * room and summarises the conversation before nearly every step; its Copilot harness sends nothing
 * at 8,192. Told 65,536 with 8,192 behind, 6 of 6 turns were answered with no summary (measured in
 * 1.139). */
export const EDITOR_WINDOW_TOKENS = 65_536;

const TRACE_MS = 100;

type ThinkingPart = new (text: string) => vscode.LanguageModelResponsePart;

export class Provider implements vscode.LanguageModelChatProvider<ModelInformation> {
  private readonly answered = new vscode.EventEmitter<Answered>();
  readonly onDidAnswer = this.answered.event;
  private readonly asked = new vscode.EventEmitter<string>();
  /** A question is put to the model with this id, which may be gone: the only sign of which one the
   * person has chosen. */
  readonly onDidAsk = this.asked.event;
  readonly onDidChangeLanguageModelChatInformation: vscode.Event<void>;

  constructor(
    private readonly catalog: Catalog,
    private readonly settings: Pick<Settings, "problem">,
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
      await this.catalog.offers();
    }
    const { current, gone } = this.catalog;
    const down = (offer: Offer) => this.catalog.outageOf(offer.source) !== undefined;
    return [...current.map((offer) => information(offer, down(offer))), ...gone.map(goneInformation)];
  }

  async provideTokenCount(
    model: ModelInformation,
    text: string | vscode.LanguageModelChatRequestMessage,
  ): Promise<number> {
    const offer = this.catalog.find(model.id);
    const value = typeof text === "string" ? text : wireMessages(text);
    if (!offer || !hasModel(offer)) return guessedTokens(value);
    const { counter } = offer;
    if (typeof value !== "string") return counter.countMessages(value);
    // VS Code asks for the pieces of its tools one after the other, each waiting for the last:
    // counting all of them with the first turns hundreds of requests into one.
    const others = counter.knows(value) ? undefined : toolTexts();
    if (others?.has(value)) for (const other of others) void counter.count(other);
    return counter.count(value);
  }

  async provideLanguageModelChatResponse(
    model: ModelInformation,
    messages: readonly vscode.LanguageModelChatRequestMessage[],
    options: vscode.ProvideLanguageModelChatResponseOptions,
    progress: vscode.Progress<vscode.LanguageModelResponsePart>,
    token: vscode.CancellationToken,
  ): Promise<void> {
    this.asked.fire(model.id);
    const offer = await this.offer(model);
    try {
      return await this.respond(offer, messages, options, progress, token);
    } catch (error) {
      const isNotFound = error instanceof ChatFailure && error.kind === "notFound";
      if (!isNotFound) throw this.explained(error, offer);
      // It may serve another model since it was last asked.
      await this.catalog.refresh();
      const now = this.catalog.find(offer.id);
      if (!now) throw told(whyMissing(this.catalog, this.settings.problem(), model.id));
      if (now.model.id === offer.model.id) throw this.explained(error, offer);
      return this.respond(now, messages, options, progress, token);
    }
  }

  private async respond(
    offer: Offer,
    messages: readonly vscode.LanguageModelChatRequestMessage[],
    options: vscode.ProvideLanguageModelChatResponseOptions,
    progress: vscode.Progress<vscode.LanguageModelResponsePart>,
    token: vscode.CancellationToken,
  ): Promise<void> {
    this.catalog.use(offer);
    const abort = new AbortController();
    const subscription = token.onCancellationRequested(() => abort.abort());
    if (token.isCancellationRequested) abort.abort();
    try {
      const request = toRequest(offer.model.id, messages, options);
      const result = await this.answer(offer, request, progress, abort.signal);
      this.report(offer, request, result, progress);
    } catch (error) {
      if (!abort.signal.aborted) throw error;
      this.log.info(`${offer.model.id}: stopped; the connection is closed`);
      throw new vscode.CancellationError();
    } finally {
      subscription.dispose();
    }
  }

  dispose(): void {
    this.answered.dispose();
    this.asked.dispose();
  }

  /** What the id stands for now. A model that is gone is answered for in the chat, where the person
   * who asks looks, and never by another model. */
  private async offer(model: ModelInformation): Promise<Offer> {
    const known = this.catalog.find(model.id);
    const isSure = known && hasModel(known) && !this.catalog.outageOf(known.source);
    if (!isSure) await this.catalog.refresh();
    const offer = this.catalog.find(model.id);
    if (offer && hasModel(offer)) return offer;
    throw told(whyMissing(this.catalog, this.settings.problem(), model.id));
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
      // The gateway has made it as small as it can, and tells its true window in its list.
      const overflowed =
        error instanceof ChatFailure && error.kind === "overflow" && !offer.model.fits;
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
    if (error instanceof vscode.CancellationError) return error;
    if (!(error instanceof ChatFailure)) {
      this.log.error(`${offer.model.id}: unexpected`, error instanceof Error ? error.stack : "");
      return error instanceof Error ? error : new Error(String(error));
    }
    // What a server says may quote the prompt: it goes to the person, never to the log.
    this.log.error(`${offer.model.id}: ${error.kind} ${JSON.stringify(error.facts)}`);
    if (error.kind === "unreachable" || error.kind === "dropped") void this.catalog.refresh();
    return told(chatMessage(error, offer.source.label, offer.model));
  }
}

/** Why there is no model behind an id that VS Code holds, and what to do.
 * @param problem what is wrong with the endpoint's setting, if anything is */
export function whyMissing(catalog: Catalog, problem: string | undefined, id: string): string {
  if (problem) return invalidEndpointMessage(problem);
  const { sources, models } = catalog;
  const source =
    sources.find(({ prefix }) => prefix && id.startsWith(prefix)) ??
    sources.find(({ prefix }) => !prefix);
  const outage = catalog.outageOf(source);
  if (outage) return discoveryMessage(outage.error, outage.source.label);
  const served = models.filter((offer) => offer.source.label === source?.label);
  return missingMessage(shortName(id), source?.label, served.map(({ model }) => model.id));
}

/** An error whose message the chat shows. */
function told(message: string): Error {
  const error = new Error(message);
  // The chat shows the stack of an error beside its message; it is of no use to a person.
  error.stack = "";
  return error;
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

/** What the picker shows of an offer.
 * @param isDown whether its server did not answer when last asked */
export function information(offer: Offer, isDown = false): ModelInformation {
  const { model, source } = offer;
  const window = advertisedWindow(offer);
  const room = answerRoom(window);
  return {
    id: offer.id,
    name: displayName(offer),
    family: shortName(model.id).toLowerCase() || offer.id,
    version: "1",
    detail: isDown ? vscode.l10n.t("{0} does not answer", source.label) : source.label,
    tooltip: tooltip(offer),
    maxInputTokens: window - room,
    maxOutputTokens: room,
    capabilities: { toolCalling: model.tools !== "none", imageInput: model.vision },
    isUserSelectable: true,
    isBYOK: true,
  };
}

/** A model that is gone: no longer in the picker's list, but a question that is put to it where it
 * is still chosen reaches this extension, which says why it does not answer. */
function goneInformation(id: string): ModelInformation {
  return {
    id,
    name: vscode.l10n.t("{0} (no longer served)", shortName(id)),
    family: shortName(id).toLowerCase(),
    version: "1",
    maxInputTokens: EDITOR_WINDOW_TOKENS - answerRoom(EDITOR_WINDOW_TOKENS),
    maxOutputTokens: answerRoom(EDITOR_WINDOW_TOKENS),
    capabilities: { toolCalling: true, imageInput: false },
    isUserSelectable: false,
    isBYOK: true,
  };
}

/** Tokens of prompt and answer together that VS Code plans with: where the gateway makes prompts
 * fit, at least what lets VS Code work. */
function advertisedWindow({ model, context }: Offer): number {
  return model.fits ? Math.max(context, EDITOR_WINDOW_TOKENS) : context;
}

function displayName(offer: Offer): string {
  const name = shortName(offer.model.id);
  if (!offer.isAlias) return name;
  // VS Code takes the first name in the order of the alphabet where no model is chosen yet. A space
  // comes before all letters, and is not seen.
  return " " + (name ? vscode.l10n.t("Local: {0}", name) : vscode.l10n.t("Local"));
}

/** A model's name without the organization before it. */
export function shortName(id: string): string {
  return id.split("/").at(-1) || id;
}

/** Tokens kept for the answer: a quarter of a small window, 4,096 of a large one. */
export function answerRoom(context: number): number {
  return Math.min(4096, Math.floor(context / 4));
}

export function tooltip(offer: Offer): string {
  const { model, source, isAlias } = offer;
  if (!hasModel(offer)) return vscode.l10n.t("whichever model {0} serves first", source.label);
  return [
    isAlias ? vscode.l10n.t("whichever model {0} serves first", source.label) : undefined,
    model.id,
    vscode.l10n.t("{0} at {1}", model.engine, source.label),
    contextText(offer),
    model.quantization,
    model.tools === "emulated" ? vscode.l10n.t("tools emulated") : undefined,
  ]
    .filter(Boolean)
    .join(" · ");
}

/** The true window: VS Code itself may be told a larger one. */
function contextText({ model, context }: Offer): string {
  const isAssumed = model.maxModelLen === undefined && context === assumedContext(model);
  if (isAssumed) return vscode.l10n.t("context not told; {0} tokens assumed", context);
  return model.fits
    ? vscode.l10n.t("context {0} tokens, fitted by Stoker", context)
    : vscode.l10n.t("context {0} tokens", context);
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
