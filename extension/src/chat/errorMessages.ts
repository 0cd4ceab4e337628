/** Every failure in words that say what to do next. */

import { l10n } from "vscode";
import type { ChatFailure } from "./chatCompletion";
import type { ServedModel } from "../servers/discovery/discover";
import { HttpError } from "../api/apiClient";

export function chatMessage(failure: ChatFailure, where: string, served: ServedModel): string {
  const { kind, detail, facts } = failure;
  const model = served.id;
  const said = detail ? l10n.t("The server says: {0}", detail) : "";
  const limit = facts.limit ?? "?";
  const messages: Record<ChatFailure["kind"], string> = {
    unreachable: l10n.t(
      "Cannot reach {0} ({1}). Start the server, or correct the setting huggingface.customTGIEndpoint. Then send the question again.",
      where,
      detail,
    ),
    dropped: l10n.t(
      "The connection to {0} broke in the middle of the answer ({1}). The server may have stopped: look at its log, then send the question again.",
      where,
      detail,
    ),
    unauthorized: l10n.t(
      "{0} refused the API key (HTTP {1}). Run the command 'Stoker: Set API Key', then send the question again.",
      where,
      facts.status ?? 401,
    ),
    notFound: l10n.t(
      "{0} does not serve the model {1} (HTTP 404). Choose another model in the picker, or check that the endpoint's address is right.",
      where,
      model,
    ),
    busy: facts.waitS
      ? l10n.t("{0} is busy. Send the question again in {1} seconds.", where, facts.waitS)
      : l10n.t("{0} is busy or still loading. Send the question again in a moment.", where),
    serverError: l10n.t(
      "{0} failed (HTTP {1}). Its own log says why: with Stoker, run 'stoker logs'.",
      where,
      facts.status ?? 500,
    ),
    overflow: served.fits
      ? l10n.t(
          "The question alone needs more than the {0} tokens that {1} has: the gateway has left out all else. Attach less, or ask about a part.",
          served.maxModelLen ?? limit,
          model,
        )
      : l10n.t(
          "The question, its attachments and its tools need more than the {0} tokens that {1} has. Start a new chat, attach less, or switch off tools in the chat's tool picker. A Stoker gateway before this server makes such requests fit.",
          limit,
          model,
        ),
    tools: l10n.t(
      "{0} is not set up for tools, which agent mode needs. For vLLM, start it with --enable-auto-tool-choice --tool-call-parser NAME, or put a Stoker gateway before it. Ask mode works without tools.",
      where,
    ),
    refused: l10n.t("{0} refused the request (HTTP {1}).", where, facts.status ?? 400),
    empty: l10n.t(
      "{0} answered with no text and no tool call. Send the question again, or choose another model: small models do this when there are many tools.",
      model,
    ),
    onlyThinking: l10n.t(
      "{0} used its whole answer for thinking and wrote no text. Ask something smaller, or serve it with a larger context.",
      model,
    ),
    cutToolCall: l10n.t(
      "{0} was cut off at its token limit while it called the tool {1}, so the tool was not run. Ask for a smaller step, start a new chat, or serve the model with a larger context.",
      model,
      detail,
    ),
    badToolCall: l10n.t(
      "{0} called the tool {1} with arguments that are not JSON, so the tool was not run. Send the question again, or choose a model that is better at tools.",
      model,
      detail,
    ),
  };
  const showSaid = ["unauthorized", "notFound", "serverError", "tools", "refused"].includes(kind);
  return showSaid && said ? `${messages[kind]} ${said}` : messages[kind];
}

/** Why a model that VS Code still holds is not there: what is set and served instead. */
export function missingMessage(name: string, where: string | undefined, served: string[]): string {
  if (where === undefined) {
    return l10n.t(
      "{0} cannot answer: no endpoint is set. Run the command 'Stoker: Set Endpoint', then send the question again.",
      name,
    );
  }
  if (served.length === 0) {
    return l10n.t(
      "{0} is there but serves no chat model. Load or start one on it, then send the question again.",
      where,
    );
  }
  return l10n.t(
    "{0} is no longer served: {1} now serves {2}. Choose it in the model picker, or choose 'Local', which follows the server from model to model.",
    name,
    where,
    served.slice(0, 3).join(", "),
  );
}

/** What is written as the endpoint cannot be one. It is not quoted: it may hold a password. */
export function invalidEndpointMessage(problem: string): string {
  return l10n.t(
    "The setting huggingface.customTGIEndpoint cannot be used: {0} Run the command 'Stoker: Set Endpoint'.",
    problem,
  );
}

/** Why the models of an endpoint could not be listed. */
export function discoveryMessage(error: unknown, where: string): string {
  if (!(error instanceof HttpError)) {
    const reason = error instanceof Error ? error.message : String(error);
    return l10n.t(
      "Cannot reach {0} ({1}). Start the server, or correct the setting huggingface.customTGIEndpoint.",
      where,
      reason,
    );
  }
  if (error.status === 401 || error.status === 403) {
    return l10n.t("{0} needs an API key. Run the command 'Stoker: Set API Key'.", where);
  }
  if (error.status === 404) {
    return l10n.t(
      "{0} has no OpenAI-compatible API (HTTP 404 for /v1/models). Check the address.",
      where,
    );
  }
  return l10n.t("{0} answered HTTP {1}. Its own log says why.", where, error.status);
}

export function cutAnswerNote(): string {
  return l10n.t(
    "The answer stops here: it reached the server's limit. Ask the model to continue, or serve it with a larger context.",
  );
}
