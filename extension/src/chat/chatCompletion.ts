/** One chat completion: the request, its stream, and what goes wrong on the way.
 *
 * Nothing here outlives the call, so two chats share nothing. */

import { l10n } from "vscode";
import { ConnectionError, HttpError, send, type Server } from "../api/apiClient";
import { array, object, positive, string, type Json } from "../api/narrow";
import { Pace } from "./generationSpeed";
import { SseParser } from "../api/eventStream";
import { isWhole, parseArguments, ToolCallAssembler, type ToolCall } from "./toolCallAssembler";
import type { ChatRequest } from "./openaiMessages";

export interface Sink {
  text(text: string): void;
  thinking(text: string): void;
  toolCall(call: ToolCall, input: Json): void;
}

export interface ChatResult {
  readonly finishReason: string | undefined;
  readonly usage: Json | undefined;
  readonly timing: Timing;
}

export interface Timing {
  /** From the request to the first part of the answer. */
  readonly firstTokenMs: number | undefined;
  readonly totalMs: number;
  readonly chunks: number;
  readonly outputTokens: number | undefined;
  /** Generation only, without the wait for the first token; undefined where the answer was too
   * short for a speed, or came in too few pieces. */
  readonly tokensPerS: number | undefined;
}

export type FailureKind =
  | "unreachable"
  | "dropped"
  | "unauthorized"
  | "notFound"
  | "busy"
  | "serverError"
  | "overflow"
  | "tools"
  | "refused"
  | "empty"
  | "onlyThinking"
  | "cutToolCall"
  | "badToolCall";

/** A chat that failed in a way that a person can act on. `detail` never holds prompt text. */
export class ChatFailure extends Error {
  constructor(
    readonly kind: FailureKind,
    readonly detail: string,
    readonly facts: { status?: number; limit?: number; promptTokens?: number; waitS?: number } = {},
  ) {
    super(`${kind}: ${detail}`);
  }
}

type Reader = ReadableStreamDefaultReader<Uint8Array>;

/** How a model ends an answer by itself. All else ("length", vLLM's "abort", no word at all) may
 * have cut it off in the middle of a call. */
const WHOLE_ENDS = new Set(["stop", "tool_calls", "function_call"]);

/** How long a server may take to end a stream that it has called done. */
const DRAIN_MS = 1000;

/** Runs `request` and gives each part of the answer to `sink` as it arrives.
 * Aborting `signal` closes the connection, which is how a server learns to stop.
 * @throws ChatFailure; an AbortError where `signal` was aborted */
export async function chat(
  server: Server,
  request: ChatRequest,
  sink: Sink,
  signal: AbortSignal,
): Promise<ChatResult> {
  const answer = new Answer(request, sink);
  try {
    const response = await send(server, "/v1/chat/completions", request, signal);
    await read(response, answer);
  } catch (error) {
    signal.throwIfAborted();
    throw asFailure(error, answer.chunks > 0);
  }
  answer.finish();
  return answer.result();
}

async function read(response: Response, answer: Answer): Promise<void> {
  if (response.headers.get("content-type")?.includes("application/json")) {
    // A server (or a proxy before it) that does not stream answers in one piece.
    answer.take(await response.json());
    return;
  }
  const reader = response.body?.getReader();
  if (!reader) throw new ConnectionError(true, l10n.t("the answer has no body"));
  try {
    await readEvents(reader, answer);
  } catch (error) {
    // Nobody reads the rest: closing the connection is how the server learns to stop.
    close(reader);
    throw error;
  }
}

async function readEvents(reader: Reader, answer: Answer): Promise<void> {
  const decoder = new TextDecoder();
  const parser = new SseParser();
  for (;;) {
    const { done, value } = await reader.read();
    const events = done ? parser.flush() : parser.push(decoder.decode(value, { stream: true }));
    for (const data of events) {
      if (data === "[DONE]") {
        // Reading to the very end lets the connection serve the next request.
        void drain(reader);
        return answer.end();
      }
      answer.take(parseEvent(data));
    }
    if (done) return;
  }
}

async function drain(reader: Reader): Promise<void> {
  const tooLong = setTimeout(() => close(reader), DRAIN_MS);
  try {
    while (!(await reader.read()).done);
  } catch {
    // The answer is whole: how the connection ends does not matter.
  } finally {
    clearTimeout(tooLong);
  }
}

function close(reader: Reader): void {
  // It rejects where the connection is already broken, which is as good.
  reader.cancel().catch(() => {});
}

function parseEvent(data: string): unknown {
  try {
    return JSON.parse(data);
  } catch {
    throw new ConnectionError(true, l10n.t("the server sent an event that is not JSON"));
  }
}

class Answer {
  chunks = 0;
  private ended = false;
  private spoke = false;
  private thought = false;
  private finishReason: string | undefined;
  private usage: Json | undefined;
  private readonly calls = new ToolCallAssembler();
  private readonly startedAt = performance.now();
  private readonly pace = new Pace();

  constructor(
    private readonly request: ChatRequest,
    private readonly sink: Sink,
  ) {}

  take(event: unknown): void {
    const chunk = object(event);
    if (chunk["error"]) throw streamError(chunk["error"]);
    this.chunks += 1;
    if (chunk["usage"]) this.usage = object(chunk["usage"]);
    // llama.cpp measures its own generation, without the network.
    this.pace.measured(positive(object(chunk["timings"])["predicted_per_second"]));
    const choice = object(array(chunk["choices"])[0]);
    this.finishReason = string(choice["finish_reason"]) ?? this.finishReason;
    this.delta(object(choice["delta"] ?? choice["message"]));
  }

  /** The stream said that it is over. */
  end(): void {
    this.ended = true;
  }

  /** Checks that the answer is whole, and hands over its tool calls. */
  finish(): void {
    if (!this.ended && !this.finishReason) {
      throw new ChatFailure("dropped", l10n.t("the stream ended before the answer did"));
    }
    const calls = this.wholeCalls();
    for (const { call, input } of calls) this.sink.toolCall(call, input);
    if (this.spoke || calls.length || isLimited(this.request)) return;
    throw new ChatFailure(this.thought ? "onlyThinking" : "empty", this.finishReason ?? "");
  }

  /** The calls with their arguments. None is handed over where one of them cannot be run. */
  private wholeCalls(): { call: ToolCall; input: Json }[] {
    const calls = this.calls.finish();
    const wasCut = !WHOLE_ENDS.has(this.finishReason ?? "");
    return calls.map((call, at) => {
      const input = parseArguments(call.arguments);
      const isLast = at === calls.length - 1;
      if (wasCut && isLast && !isWhole(input, requiredKeys(this.request, call.name))) {
        throw new ChatFailure("cutToolCall", call.name);
      }
      if (!input) throw new ChatFailure("badToolCall", call.name);
      return { call, input };
    });
  }

  result(): ChatResult {
    const outputTokens = positive(this.usage?.["completion_tokens"]);
    const { firstAt } = this.pace;
    return {
      finishReason: this.finishReason,
      usage: this.usage,
      timing: {
        firstTokenMs: firstAt === undefined ? undefined : firstAt - this.startedAt,
        totalMs: performance.now() - this.startedAt,
        chunks: this.chunks,
        outputTokens,
        tokensPerS: this.pace.tokensPerS(outputTokens),
      },
    };
  }

  private delta(delta: Json): void {
    const thinking = string(delta["reasoning_content"]) ?? string(delta["reasoning"]);
    const text = string(delta["content"]);
    if (!thinking && !text && !delta["tool_calls"]) return;
    const chars = (thinking ?? "").length + (text ?? "").length + callChars(delta["tool_calls"]);
    this.pace.arrived(chars, performance.now());
    if (thinking) {
      this.thought = true;
      this.sink.thinking(thinking);
    }
    if (text) {
      this.spoke ||= text.trim() !== "";
      this.sink.text(text);
    }
    if (delta["tool_calls"]) this.calls.add(delta["tool_calls"]);
  }
}

/** Characters that tool calls add to an answer. */
function callChars(deltas: unknown): number {
  const functions = array(deltas).map((delta) => object(object(delta)["function"]));
  const texts = functions.flatMap((fn) => [string(fn["name"]), string(fn["arguments"])]);
  return texts.reduce((sum, text) => sum + (text ?? "").length, 0);
}

/** Whether the caller itself limited the length of the answer. */
function isLimited(request: ChatRequest): boolean {
  return request["max_tokens"] !== undefined || request["max_completion_tokens"] !== undefined;
}

/** The keys that the offered tool `name` cannot do without. */
function requiredKeys(request: ChatRequest, name: string): string[] {
  const tool = request.tools?.find((each) => each.function.name === name);
  return array(object(tool?.function.parameters)["required"]).flatMap((key) => string(key) ?? []);
}

function streamError(value: unknown): Error {
  const error = object(value);
  const status = positive(error["code"]) ?? positive(error["status"]) ?? 500;
  return new HttpError(status, JSON.stringify({ error: value }));
}

function asFailure(error: unknown, started: boolean): Error {
  if (error instanceof ChatFailure) return error;
  if (error instanceof HttpError) return httpFailure(error);
  const detail = error instanceof Error ? error.message : String(error);
  const midStream = started || (error instanceof ConnectionError && error.midStream);
  return new ChatFailure(midStream ? "dropped" : "unreachable", detail);
}

function httpFailure(error: HttpError): ChatFailure {
  const detail = serverMessage(error.body);
  const facts = { status: error.status, ...overflowFacts(error.body) };
  if (error.status === 401 || error.status === 403) {
    return new ChatFailure("unauthorized", detail, facts);
  }
  if (isOverflow(error, detail)) return new ChatFailure("overflow", detail, facts);
  if (error.status === 404) return new ChatFailure("notFound", detail, facts);
  if (error.status === 429 || error.status === 503) {
    const wait = error.retryAfterS === undefined ? {} : { waitS: error.retryAfterS };
    return new ChatFailure("busy", detail, { ...facts, ...wait });
  }
  if (error.status >= 500) return new ChatFailure("serverError", detail, facts);
  if (/tool.?choice|tool.?call.?parser|support tools|tools? (is|are) not/i.test(detail)) {
    return new ChatFailure("tools", detail, facts);
  }
  return new ChatFailure("refused", detail, facts);
}

/** What the server itself says, in one line of at most 300 characters. */
function serverMessage(body: string): string {
  let text = body;
  try {
    const answer = object(JSON.parse(body));
    const error = answer["error"] ?? answer["detail"] ?? answer["message"];
    text = string(error) ?? string(object(error)["message"]) ?? body;
  } catch {
    if (/^\s*</.test(body)) return "";
  }
  return text.replace(/\s+/g, " ").trim().slice(0, 300);
}

/** How servers say that a request does not fit. A parameter's name alone says nothing: servers also
 * name `max_tokens` where they do not know it. */
const OVERFLOW_WORDS = [
  /(maximum|max) (context|model|total).{0,10}length/i,
  // vLLM, SGLang, LM Studio: "the model's context length is only 8192 tokens".
  /context length (is |of )?(only )?\(?\d/i,
  /context (size|window|length) .*exceed|exceeds? the (available |maximum )?context/i,
  /exceeds? the maximum allowed length/i,
  /must be <= \d|must have less than \d+ tokens/i,
  // Older vLLM, where the prompt alone leaves no room.
  /max_tokens must be at least 1, got -/i,
];

function isOverflow(error: HttpError, detail: string): boolean {
  if (error.status === 413) return true;
  if (error.status !== 400 && error.status !== 422 && error.status < 500) return false;
  return (
    error.body.includes("exceed_context_size") ||
    error.body.includes("context_length_exceeded") ||
    OVERFLOW_WORDS.some((words) => words.test(detail))
  );
}

/** llama.cpp gives numbers; vLLM and TGI write the limit into a sentence. A prompt's size is
 * never read from a sentence: vLLM's says "at least". */
function overflowFacts(body: string): { limit?: number; promptTokens?: number } {
  let error: Json = {};
  try {
    error = object(object(JSON.parse(body))["error"]);
  } catch {
    // Not JSON: the sentence is all there is.
  }
  const sentence =
    /(?:context length|context window|max_model_len|allowed length|must be <=|have less than)[^\d]{0,40}(\d{3,})/i.exec(
      body,
    );
  const limit = positive(error["n_ctx"]) ?? positive(Number(sentence?.[1]));
  const promptTokens = positive(error["n_prompt_tokens"]);
  return { ...(limit && { limit }), ...(promptTokens && { promptTokens }) };
}
