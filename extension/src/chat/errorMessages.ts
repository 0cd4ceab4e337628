/** Messages for every failure: what happened and what to do next. */

import { l10n } from "vscode";
import { HttpError } from "../api/apiClient";
import { messageOf } from "../api/narrow";
import type { ServedModel } from "../servers/discovery/servedModel";
import { isCertificateFault, type ChatFailure, type FailureKind } from "./chatFailure";

type ChatMessage = (failure: ChatFailure, where: string, model: ServedModel) => string;

/** @param where the server's label */
export function chatMessage(failure: ChatFailure, where: string, model: ServedModel): string {
  const { kind, detail } = failure;
  const message = CHAT_MESSAGES[kind](failure, where, model);
  if (!detail || !WITH_SERVER_MESSAGE.has(kind)) return message;
  return `${message} ${l10n.t("The server's message: {0}", detail)}`;
}

/** Failures that only the server's own message explains. */
const WITH_SERVER_MESSAGE: ReadonlySet<FailureKind> = new Set<FailureKind>([
  "unauthorized",
  "notFound",
  "serverError",
  "tools",
  "refused",
]);

const CHAT_MESSAGES: Readonly<Record<FailureKind, ChatMessage>> = {
  unreachable: ({ detail }, where) =>
    l10n.t(
      "Cannot reach {0} ({1}). Start the server, or correct the setting huggingface.customTGIEndpoint. Then send your message again.",
      where,
      detail,
    ),
  certificate: ({ detail }, where) => certificateMessage(where, detail),
  dropped: ({ detail }, where) =>
    l10n.t(
      "The connection to {0} broke in the middle of the answer ({1}). The server may have stopped: check its log, then send your message again.",
      where,
      detail,
    ),
  unauthorized: ({ facts }, where) =>
    l10n.t(
      "{0} refused the API key (HTTP {1}). Run the command 'Stoker: Set API Key', then send your message again.",
      where,
      facts.status ?? 401,
    ),
  notFound: (_, where, { id }) =>
    l10n.t(
      "{0} does not serve the model {1} (HTTP 404). Choose another model in the picker, or check the endpoint's address.",
      where,
      id,
    ),
  busy: ({ facts }, where) =>
    facts.waitS
      ? l10n.t("{0} is busy. Send your message again in {1} seconds.", where, facts.waitS)
      : l10n.t("{0} is busy or still loading. Send your message again in a moment.", where),
  serverError: ({ facts }, where) =>
    l10n.t(
      "{0} failed (HTTP {1}). Check its log: for a server that Stoker started, run 'stoker logs'.",
      where,
      facts.status ?? 500,
    ),
  overflow: ({ facts }, _, model) => overflowMessage(model, facts.limit),
  tools: (_, where) =>
    l10n.t(
      "{0} is not configured for tools, which agent mode needs. Start vLLM with --enable-auto-tool-choice --tool-call-parser NAME, or put a Stoker gateway in front of it. Ask mode works without tools.",
      where,
    ),
  refused: ({ facts }, where) =>
    l10n.t("{0} refused the request (HTTP {1}).", where, facts.status ?? 400),
  empty: (_, __, { id }) =>
    l10n.t(
      "{0} answered with neither text nor a tool call. Send your message again, or choose another model: small models do this when there are many tools.",
      id,
    ),
  onlyThinking: (_, __, { id }) =>
    l10n.t(
      "{0} spent its whole answer on thinking and wrote no text. Ask for something smaller, or serve it with a larger context.",
      id,
    ),
  cutToolCall: ({ detail }, _, { id }) =>
    l10n.t(
      "{0} was cut off at its token limit while it called the tool {1}, so the tool was not run. Ask for a smaller step, start a new chat, or serve the model with a larger context.",
      id,
      detail,
    ),
  badToolCall: ({ detail }, _, { id }) =>
    l10n.t(
      "{0} called the tool {1} with arguments that are not valid JSON, so the tool was not run. Send your message again, or choose a model that is better at tools.",
      id,
      detail,
    ),
};

function overflowMessage({ id, maxModelLen, fits }: ServedModel, limit: number | undefined): string {
  return fits
    ? l10n.t(
        "Your message alone needs more than the {0} tokens that {1} has, although the gateway left out everything else. Attach less, or ask about a part of it.",
        maxModelLen ?? limit ?? "?",
        id,
      )
    : l10n.t(
        "Your message, its attachments and its tools need more than the {0} tokens that {1} has. Start a new chat, attach less, or turn off tools in the chat's tool picker. With a Stoker gateway in front of this server, such requests fit.",
        limit ?? "?",
        id,
      );
}

/** Why a model that VS Code still holds is not available, with what is configured and served instead.
 * @param where the endpoint's label; undefined where none is set */
export function missingMessage(name: string, where: string | undefined, served: string[]): string {
  if (where === undefined) {
    return l10n.t(
      "{0} cannot answer: no endpoint is set. Run the command 'Stoker: Set Endpoint', then send your message again.",
      name,
    );
  }
  if (served.length === 0) {
    return l10n.t(
      "{0} is running but serves no chat model. Load or start one, then send your message again.",
      where,
    );
  }
  return l10n.t(
    "{0} is no longer served: {1} now serves {2}. Choose one of these in the model picker, or choose 'Local', which follows the server from model to model.",
    name,
    where,
    served.slice(0, 3).join(", "),
  );
}

/** @param problem why the setting is not an address. The setting is not quoted: it may hold a password. */
export function invalidEndpointMessage(problem: string): string {
  return l10n.t(
    "The setting huggingface.customTGIEndpoint cannot be used: {0} Run the command 'Stoker: Set Endpoint'.",
    problem,
  );
}

function certificateMessage(where: string, cause: string): string {
  return l10n.t(
    "{0} shows a certificate that is not trusted here ({1}). Run 'stoker doctor --endpoint URL' on this machine: it names the fault and its fix. Restart VS Code after you add an authority.",
    where,
    cause,
  );
}

/** Why the models of an endpoint could not be listed. */
export function discoveryMessage(error: unknown, where: string): string {
  if (!(error instanceof HttpError)) {
    const cause = messageOf(error);
    if (isCertificateFault(cause)) return certificateMessage(where, cause);
    return l10n.t(
      "Cannot reach {0} ({1}). Start the server, or correct the setting huggingface.customTGIEndpoint.",
      where,
      cause,
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
  if (error.status < 400) {
    return l10n.t(
      "{0} redirects (HTTP {1}). Stoker follows no redirect to another server, which would get your API key and prompts. If you trust that server, run the command 'Stoker: Set Endpoint' with its address.",
      where,
      error.status,
    );
  }
  return l10n.t("{0} answered HTTP {1}. Check its log.", where, error.status);
}

export function cutAnswerNote(): string {
  return l10n.t(
    "The answer stops here: it reached the server's limit. Ask the model to continue, or serve it with a larger context.",
  );
}
