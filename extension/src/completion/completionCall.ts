/** One request for a completion, from the body to the end of its stream. */

import { l10n } from "vscode";
import { ConnectionError, send, type Server } from "../api/apiClient";
import { readEventData } from "../api/eventStream";
import { array, object, string, type Json } from "../api/narrow";
import type { Extra } from "./cursor";

/** Marks a request for the gateway: it goes before what no one waits for, and never delays a chat. */
const PRIORITY = { "x-stoker-priority": "completion" };

export interface TextBody extends Json {
  readonly model: string;
  readonly prompt: string;
  readonly max_tokens: number;
  readonly temperature: 0;
  readonly stop: readonly string[];
  readonly stream: true;
}

export interface CompletionBody extends TextBody {
  readonly suffix: string;
  /** The beginning of the answer: it stands before the cursor already. */
  readonly input_middle?: string;
  readonly input_extra: readonly Extra[];
}

/** Gives each piece of the answer to `onText`. Aborting `signal` closes the connection, which frees the
 * engine.
 * @returns whether the model came to an end by itself
 * @throws HttpError, ConnectionError; an AbortError where `signal` was aborted */
export async function complete(
  server: Server,
  body: TextBody,
  onText: (text: string) => void,
  signal: AbortSignal,
): Promise<boolean> {
  const marked = { ...server, headers: { ...server.headers, ...PRIORITY } };
  let reason: string | undefined;
  const onAnswer = (answer: unknown) => {
    const choice = object(array(object(answer)["choices"])[0]);
    reason = string(choice["finish_reason"]) ?? reason;
    const text = string(choice["text"]);
    if (text !== undefined) onText(text);
  };
  try {
    const response = await send(marked, "/v1/completions", body, signal);
    if (response.headers.get("content-type")?.includes("application/json")) {
      onAnswer(await response.json());
    } else if (response.body) {
      const isWhole = await readEventData(response.body, (data) => onAnswer(parsed(data)));
      // Kept as the answer, it would stand in the way of the next request at this place.
      if (!isWhole && !reason) throw new ConnectionError(true, l10n.t("the stream ended before the answer did"));
    }
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  }
  return reason === "stop";
}

function parsed(data: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(data);
  } catch {
    throw new ConnectionError(true, l10n.t("the server sent an event that is not JSON"));
  }
  const message = string(object(object(value)["error"])["message"]);
  if (message !== undefined) throw new ConnectionError(true, message);
  return value;
}
