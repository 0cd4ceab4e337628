/** Sends a chat, and once more truncated where the server refuses it as too long. */

import type * as vscode from "vscode";
import type { ChatRequest } from "../api/openaiTypes";
import type { ModelEntry } from "../servers/modelEntry";
import type { ModelRegistry } from "../servers/modelRegistry";
import { truncate } from "../tokens/truncate";
import { chat } from "./chatCompletion";
import { ChatFailure } from "./chatFailure";
import { answerTokens } from "./modelInformation";
import type { ProgressSink } from "./progressSink";
import type { ChatResult } from "./responseAccumulator";

interface Context {
  readonly registry: ModelRegistry;
  readonly log: vscode.LogOutputChannel;
}

/** @throws ChatFailure; an AbortError where `signal` was aborted */
export async function chatWithinContext(
  { registry, log }: Context,
  entry: ModelEntry,
  request: ChatRequest,
  sink: ProgressSink,
  signal: AbortSignal,
): Promise<ChatResult> {
  const { server } = entry.source;
  try {
    return await chat(server, request, sink, signal);
  } catch (error) {
    if (!(error instanceof ChatFailure) || !canRetry(error, entry) || sink.isUsed) throw error;
    const limit = error.facts.limit ?? entry.context;
    registry.learnContext(entry, limit);
    const truncated = await truncatedTo(limit, entry, request, error.facts.promptTokens, log);
    if (!truncated) throw error;
    return chat(server, truncated, sink, signal);
  }
}

/** A gateway that fits has already truncated as far as it can, and lists its true context. */
function canRetry({ kind }: ChatFailure, { model }: ModelEntry): boolean {
  return kind === "overflow" && !model.fits;
}

async function truncatedTo(
  limit: number,
  { model, counter }: ModelEntry,
  request: ChatRequest,
  countedTokens: number | undefined,
  log: vscode.LogOutputChannel,
): Promise<ChatRequest | undefined> {
  const promptTokens = countedTokens ?? (await counter.countPrompt(request));
  const { max_tokens: _, max_completion_tokens: __, ...unlimited } = request;
  const leaving = (room: number) =>
    truncate(unlimited as ChatRequest, promptTokens, limit - room, (text) => counter.count(text));
  // A short answer is better than none.
  const truncated = (await leaving(answerTokens(limit))) ?? (await leaving(Math.floor(limit / 16)));
  log.warn(
    `${model.id}: ${promptTokens} prompt tokens do not fit ${limit}; ` +
      (truncated
        ? `retrying without ${truncated.droppedTools} tools, ${truncated.droppedMessages} messages`
        : "nothing more can be left out"),
  );
  return truncated?.request;
}
