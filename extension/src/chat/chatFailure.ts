/** The ways in which a chat fails that a user can act on. */

import { ConnectionError, HttpError } from "../api/apiClient";
import { messageOf, object, positive, string } from "../api/narrow";
import { isContextOverflow, overflowFacts, type OverflowFacts } from "./contextOverflow";

export type FailureKind =
  | "unreachable"
  | "certificate"
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

export interface FailureFacts extends OverflowFacts {
  readonly status?: number;
  /** How long the server asks to wait. */
  readonly waitS?: number;
}

/** `detail` is for the user: it may quote the server, and with it the prompt. `facts` may be logged. */
export class ChatFailure extends Error {
  constructor(
    readonly kind: FailureKind,
    readonly detail: string,
    readonly facts: FailureFacts = {},
  ) {
    super(`${kind}: ${detail}`);
  }
}

const MAX_DETAIL_CHARS = 300;

/** @param hasStarted whether a part of the answer had arrived */
export function toChatFailure(error: unknown, hasStarted: boolean): ChatFailure {
  if (error instanceof ChatFailure) return error;
  if (error instanceof HttpError) return httpFailure(error);
  const midStream = hasStarted || (error instanceof ConnectionError && error.midStream);
  const detail = messageOf(error);
  if (isCertificateFault(detail)) return new ChatFailure("certificate", detail);
  return new ChatFailure(midStream ? "dropped" : "unreachable", detail);
}

/** Whether the server's certificate was refused. The codes are OpenSSL's, as Node names them, and
 * Chromium's: CERT_HAS_EXPIRED, DEPTH_ZERO_SELF_SIGNED_CERT, ERR_CERT_AUTHORITY_INVALID.
 * https://nodejs.org/api/tls.html#x509-certificate-error-codes */
export function isCertificateFault(cause: string): boolean {
  return /(^|_)CERT(_|$)|UNABLE_TO_VERIFY_LEAF_SIGNATURE/.test(cause);
}

/** An error that a server sent as an event of a stream. */
export function streamError(value: unknown): HttpError {
  const error = object(value);
  const status = positive(error["code"]) ?? positive(error["status"]) ?? 500;
  return new HttpError(status, JSON.stringify({ error: value }));
}

function httpFailure(error: HttpError): ChatFailure {
  const detail = serverMessage(error.body);
  const wait = error.retryAfterS === undefined ? {} : { waitS: error.retryAfterS };
  const kind = kindOf(error, detail);
  const facts = { status: error.status, ...overflowFacts(error.body) };
  return new ChatFailure(kind, detail, kind === "busy" ? { ...facts, ...wait } : facts);
}

function kindOf(error: HttpError, message: string): FailureKind {
  const { status } = error;
  if (status === 401 || status === 403) return "unauthorized";
  if (isContextOverflow(error, message)) return "overflow";
  if (status === 404) return "notFound";
  if (status === 429 || status === 503) return "busy";
  if (status >= 500) return "serverError";
  if (/tool.?choice|tool.?call.?parser|support tools|tools? (is|are) not/i.test(message)) return "tools";
  return "refused";
}

/** The server's error message, in one line of at most 300 characters. */
function serverMessage(body: string): string {
  return textOf(body).replace(/\s+/g, " ").trim().slice(0, MAX_DETAIL_CHARS);
}

function textOf(body: string): string {
  try {
    const answer = object(JSON.parse(body));
    const error = answer["error"] ?? answer["detail"] ?? answer["message"];
    return string(error) ?? string(object(error)["message"]) ?? body;
  } catch {
    // A web page is of no use to the user.
    return /^\s*</.test(body) ? "" : body;
  }
}
