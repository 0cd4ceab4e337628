/** HTTP requests to one server, and how they fail. */

export interface Server {
  readonly base: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** The server answered with an error status. `body` is at most 4,000 characters. */
export class HttpError extends Error {
  constructor(
    readonly status: number,
    readonly body: string,
    readonly retryAfterS?: number,
  ) {
    super(`HTTP ${status}`);
  }
}

/** The server did not answer, or the connection broke in the middle of an answer. */
export class ConnectionError extends Error {
  constructor(
    readonly midStream: boolean,
    cause: unknown,
  ) {
    super(rootCause(cause), { cause });
  }
}

const MAX_BODY_CHARS = 4000;
/** With these, a request goes on with its method and its body; a proxy's login page comes with others. */
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 307, 308]);
/** More than any server needs; it ends a circle. */
const MAX_REDIRECTS = 5;

/** The JSON that `path` answers: a GET, or a POST where there is a `body`.
 * @throws HttpError, ConnectionError */
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

/** A response whose status is 2xx and whose body is still open. Aborting `signal` closes the connection.
 * A redirect within the server is followed; another server would get the key and the prompt.
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
    response = await followed(new URL(server.base + path), {
      method: body === undefined ? "GET" : "POST",
      headers,
      signal,
      redirect: "manual",
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
    text.slice(0, MAX_BODY_CHARS),
    Number.isFinite(retryAfter) ? retryAfter : undefined,
  );
}

/** The first answer that leads no further at this server. */
async function followed(url: URL, request: RequestInit): Promise<Response> {
  let response = await fetch(url, request);
  for (let count = 0; count < MAX_REDIRECTS && REDIRECTS.has(response.status); count++) {
    const location = response.headers.get("location");
    if (location === null) return response;
    const target = new URL(location, url);
    await response.body?.cancel();
    if (target.origin !== url.origin) return redirectedAway(response.status, target);
    response = await fetch(target, request);
    url = target;
  }
  return response;
}

/** In place of a redirect to another server, whose own body does not name where it leads. */
function redirectedAway(status: number, target: URL): Response {
  return Response.json({ error: { message: `It redirects to ${target.origin}.` } }, { status });
}

/** For `catch`: undefined where the error means that this server lacks the path (a 4xx, 501 or a web
 * page). Rethrows temporary failures (busy, failing, gone), from which nothing can be concluded. */
export function undefinedIfUnsupported(error: unknown): undefined {
  if (error instanceof HttpError && error.status < 500 && error.status !== 429) return undefined;
  if (error instanceof HttpError && error.status === 501) return undefined;
  if (error instanceof ConnectionError && error.cause instanceof SyntaxError) return undefined;
  throw error;
}

/** The cause of a failed fetch(), whose own message is only "fetch failed". */
function rootCause(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause;
  const code = (cause as { code?: unknown } | undefined)?.code;
  if (typeof code === "string") return code;
  return cause instanceof Error && cause.message ? cause.message : error.message;
}
