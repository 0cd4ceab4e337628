/** Requests to one server, and how they fail. */

export interface Server {
  readonly base: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** The server answered, and the answer is an error. `body` is at most 4,000 characters. */
export class HttpError extends Error {
  constructor(
    readonly status: number,
    readonly body: string,
    readonly retryAfterS?: number,
  ) {
    super(`HTTP ${status}`);
  }
}

/** The server did not answer, or stopped in the middle of an answer. */
export class ConnectionError extends Error {
  constructor(
    readonly midStream: boolean,
    cause: unknown,
  ) {
    super(reason(cause), { cause });
  }
}

const BODY_CHARS = 4000;

export async function requestJson(
  server: Server,
  path: string,
  options: { body?: unknown; signal?: AbortSignal; timeoutMs: number },
): Promise<unknown> {
  const timeout = AbortSignal.timeout(options.timeoutMs);
  const signal = options.signal ? AbortSignal.any([options.signal, timeout]) : timeout;
  const response = await send(server, path, options.body, signal);
  try {
    return await response.json();
  } catch (error) {
    throw new ConnectionError(false, error);
  }
}

/** An open answer whose status is 2xx. Aborting `signal` closes the connection.
 * @throws HttpError, ConnectionError */
export async function send(
  server: Server,
  path: string,
  body: unknown,
  signal: AbortSignal,
): Promise<Response> {
  const headers: Record<string, string> = { Accept: "application/json", ...server.headers };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response: Response;
  try {
    response = await fetch(server.base + path, {
      method: body === undefined ? "GET" : "POST",
      headers,
      signal,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  } catch (error) {
    throw new ConnectionError(false, error);
  }
  if (response.ok) return response;
  const text = await response.text().catch(() => "");
  const retryAfter = Number(response.headers.get("retry-after") ?? NaN);
  throw new HttpError(
    response.status,
    text.slice(0, BODY_CHARS),
    Number.isFinite(retryAfter) ? retryAfter : undefined,
  );
}

/** A 4xx, 501 or a web page says that this server does not have what was asked for: no value.
 * All else (busy, failing, gone) is thrown again: a moment's failure tells nothing. */
export function ifRefused(error: unknown): undefined {
  if (error instanceof HttpError && error.status < 500 && error.status !== 429) return undefined;
  if (error instanceof HttpError && error.status === 501) return undefined;
  if (error instanceof ConnectionError && error.cause instanceof SyntaxError) return undefined;
  throw error;
}

/** fetch() hides what happened ("fetch failed") behind its cause. */
function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause;
  const code = (cause as { code?: unknown } | undefined)?.code;
  if (typeof code === "string") return code;
  return cause instanceof Error && cause.message ? cause.message : error.message;
}
