/** One chat completion, from the request to the end of its stream.
 *
 * Nothing here outlives the call, so two chats share no state. */

import { l10n } from "vscode";
import { ConnectionError, send, type Server } from "../api/apiClient";
import { readEventData } from "../api/eventStream";
import type { ChatRequest } from "../api/openaiTypes";
import { toChatFailure } from "./chatFailure";
import { ResponseAccumulator, type ChatResult, type Sink } from "./responseAccumulator";

/** Runs `request` and gives each part of the answer to `sink` as it arrives.
 * Aborting `signal` closes the connection, which makes the server stop generating.
 * @throws ChatFailure; an AbortError where `signal` was aborted */
export async function chat(
  server: Server,
  request: ChatRequest,
  sink: Sink,
  signal: AbortSignal,
): Promise<ChatResult> {
  const answer = new ResponseAccumulator(request, sink);
  let isDone: boolean;
  try {
    const response = await send(server, "/v1/chat/completions", request, signal);
    isDone = await read(response, answer);
  } catch (error) {
    signal.throwIfAborted();
    throw toChatFailure(error, answer.chunks > 0);
  }
  return answer.finish(isDone);
}

/** @returns whether the stream ended with `[DONE]` */
async function read(response: Response, answer: ResponseAccumulator): Promise<boolean> {
  if (response.headers.get("content-type")?.includes("application/json")) {
    // A server (or a proxy in front of it) that does not stream answers in one piece.
    answer.add(await response.json());
    return false;
  }
  if (!response.body) throw new ConnectionError(true, l10n.t("the answer has no body"));
  return readEventData(response.body, (data) => answer.add(parseEvent(data)));
}

function parseEvent(data: string): unknown {
  try {
    return JSON.parse(data);
  } catch {
    throw new ConnectionError(true, l10n.t("the server sent an event that is not JSON"));
  }
}
