/** What a person may write as the endpoint, made into one base URL. */

export interface Endpoint {
  /** Scheme, host, port and path prefix, with no trailing slash and no `/v1`. */
  readonly base: string;
  /** An `Authorization` header from credentials in the URL; they never stay in the URL. */
  readonly authorization?: string;
}

export class EndpointError extends Error {}

const API_PATHS = /\/+(v1\/+)?(chat\/+completions|completions|models)$|\/+v1$/;

/** The endpoint that `text` names, or undefined where it is blank.
 * @throws EndpointError where it cannot be a URL. */
export function parseEndpoint(text: string): Endpoint | undefined {
  const trimmed = text.trim().replace(/^["'<]+|["'>]+$/g, "").trim();
  if (!trimmed) return undefined;
  const url = toUrl(trimmed);
  const path = url.pathname.replace(/\/+$/, "").replace(API_PATHS, "").replace(/\/+$/, "");
  const base = `${url.protocol}//${reachableHost(url)}${path}`;
  const authorization = credentials(url);
  return authorization ? { base, authorization } : { base };
}

function toUrl(text: string): URL {
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(text)?.[1]?.toLowerCase();
  if (scheme && scheme !== "http" && scheme !== "https") {
    throw new EndpointError(`${scheme}:// is not http:// or https://`);
  }
  const rest = scheme ? text.slice(scheme.length + 3) : text.replace(/^\/\//, "");
  const bracketed = bracketIpv6(rest);
  try {
    const url = new URL(`${scheme ?? "http"}://${bracketed}`);
    // A public name with neither scheme nor port is served over TLS; all else is a machine nearby.
    if (!scheme && !url.port && isPublicName(url.hostname)) url.protocol = "https:";
    return url;
  } catch {
    throw new EndpointError("it is not a URL");
  }
}

/** A bare IPv6 address (`::1`, `fe80::1/v1`) needs brackets before it is a URL. */
function bracketIpv6(rest: string): string {
  const [, host, tail] = /^([^/?#]*)(.*)$/s.exec(rest) ?? [];
  if (host === undefined || tail === undefined) return rest;
  return /^[0-9a-f]*:[0-9a-f:.]*:[0-9a-f.]*$/i.test(host) ? `[${host}]${tail}` : rest;
}

function isPublicName(host: string): boolean {
  if (host.startsWith("[") || /^[\d.]+$/.test(host)) return false;
  return host.includes(".") && !/\.(local|lan|internal|home|localhost)$/.test(host);
}

/** People copy the address that a server listens on; nobody can connect to "everywhere". */
function reachableHost(url: URL): string {
  const host = { "0.0.0.0": "127.0.0.1", "[::]": "[::1]" }[url.hostname] ?? url.hostname;
  return url.port ? `${host}:${url.port}` : host;
}

function credentials(url: URL): string | undefined {
  if (!url.username && !url.password) return undefined;
  const plain = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
  return `Basic ${btoa(String.fromCharCode(...new TextEncoder().encode(plain)))}`;
}
