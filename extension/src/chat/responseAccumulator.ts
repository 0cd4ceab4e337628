/** Collects the chunks of one chat completion and hands its parts to a sink. */

import { l10n } from "vscode";
import { array, object, positive, string, type Json } from "../api/narrow";
import type { ChatRequest } from "../api/openaiTypes";
import { ChatFailure, streamError } from "./chatFailure";
import { GenerationSpeed } from "./generationSpeed";
import { progressOf, ReadingLine } from "./readingLine";
import { isComplete, parseArguments, ToolCallAssembler, type ToolCall } from "./toolCallAssembler";

/** Takes the parts of an answer as they arrive; tool calls come last, when they are complete. */
export interface Sink {
  text(text: string): void;
  thinking(text: string): void;
  /** How far the wait for the answer is, which is no part of it. */
  waiting?(line: string): void;
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
   * short to measure, or came in too few pieces. */
  readonly tokensPerS: number | undefined;
}

/** How a model ends an answer by itself. Anything else ("length", vLLM's "abort", no reason at all)
 * may have cut the answer off in the middle of a call. */
const COMPLETE_REASONS = new Set(["stop", "tool_calls", "function_call"]);

export class ResponseAccumulator {
  chunks = 0;
  private hasText = false;
  private hasThinking = false;
  private finishReason: string | undefined;
  private usage: Json | undefined;
  private readonly calls = new ToolCallAssembler();
  private readonly startedAtMs = performance.now();
  private readonly speed = new GenerationSpeed();
  private readonly readingLine = new ReadingLine();

  constructor(
    private readonly request: ChatRequest,
    private readonly sink: Sink,
  ) {}

  /** @param event a chunk of a stream, or a whole answer
   * @throws HttpError where it is an error */
  add(event: unknown): void {
    const chunk = object(event);
    if (chunk["error"]) throw streamError(chunk["error"]);
    const progress = progressOf(chunk);
    if (progress) return this.addProgress(progress);
    this.chunks += 1;
    if (chunk["usage"]) this.usage = object(chunk["usage"]);
    // llama.cpp measures its own generation, without the network.
    this.speed.useEngineSpeed(positive(object(chunk["timings"])["predicted_per_second"]));
    const choice = object(array(chunk["choices"])[0]);
    this.finishReason = string(choice["finish_reason"]) ?? this.finishReason;
    this.addDelta(object(choice["delta"] ?? choice["message"]));
  }

  /** Checks that the answer is complete, and hands over its tool calls.
   * @param isDone whether the stream ended with `[DONE]`
   * @throws ChatFailure */
  finish(isDone: boolean): ChatResult {
    if (!isDone && !this.finishReason) {
      throw new ChatFailure("dropped", l10n.t("the stream ended before the answer did"));
    }
    const calls = this.completeCalls();
    for (const { call, input } of calls) this.sink.toolCall(call, input);
    if (!this.hasText && calls.length === 0 && !isLimited(this.request)) {
      throw new ChatFailure(this.hasThinking ? "onlyThinking" : "empty", this.finishReason ?? "");
    }
    return { finishReason: this.finishReason, usage: this.usage, timing: this.timing() };
  }

  /** The calls with their arguments. If one of them cannot be run, none is handed over. */
  private completeCalls(): { call: ToolCall; input: Json }[] {
    const calls = this.calls.finish();
    const wasCut = !COMPLETE_REASONS.has(this.finishReason ?? "");
    return calls.map((call, at) => {
      const input = parseArguments(call.arguments);
      const isLast = at === calls.length - 1;
      if (wasCut && isLast && !isComplete(input, requiredKeys(this.request, call.name))) {
        throw new ChatFailure("cutToolCall", call.name);
      }
      if (!input) throw new ChatFailure("badToolCall", call.name);
      return { call, input };
    });
  }

  private timing(): Timing {
    const outputTokens = positive(this.usage?.["completion_tokens"]);
    const { firstAtMs } = this.speed;
    return {
      firstTokenMs: firstAtMs === undefined ? undefined : firstAtMs - this.startedAtMs,
      totalMs: performance.now() - this.startedAtMs,
      chunks: this.chunks,
      outputTokens,
      tokensPerS: this.speed.tokensPerS(outputTokens),
    };
  }

  private addProgress(progress: Json): void {
    const line = this.readingLine.next(progress);
    if (line) this.sink.waiting?.(line);
  }

  private addDelta(delta: Json): void {
    const thinking = string(delta["reasoning_content"]) ?? string(delta["reasoning"]);
    const text = string(delta["content"]);
    const calls = delta["tool_calls"];
    if (!thinking && !text && !calls) return;
    const chars = (thinking ?? "").length + (text ?? "").length + callChars(calls);
    this.speed.add(chars, performance.now());
    if (thinking) {
      this.hasThinking = true;
      this.sink.thinking(thinking);
    }
    if (text) {
      this.hasText ||= text.trim() !== "";
      this.sink.text(text);
    }
    if (calls) this.calls.add(calls);
  }
}

/** Characters that tool calls add to an answer. */
function callChars(deltas: unknown): number {
  const functions = array(deltas).map((delta) => object(object(delta)["function"]));
  const texts = functions.flatMap((fn) => [string(fn["name"]), string(fn["arguments"])]);
  return texts.reduce((sum, text) => sum + (text ?? "").length, 0);
}

/** Whether the caller itself limited the length of the answer. */
export function isLimited(request: ChatRequest): boolean {
  return request["max_tokens"] !== undefined || request["max_completion_tokens"] !== undefined;
}

/** The keys that the schema of the tool `name` requires. */
function requiredKeys(request: ChatRequest, name: string): string[] {
  const tool = request.tools?.find((each) => each.function.name === name);
  return array(object(tool?.function.parameters)["required"]).flatMap((key) => string(key) ?? []);
}
