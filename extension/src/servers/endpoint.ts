/** Turns what a user may write as the endpoint into one base URL. */

import { l10n } from "vscode";

export interface Endpoint {
  /** Scheme, host, port and path prefix, with no trailing slash and no `/v1`. */
  readonly base: string;
  /** The `Authorization` header for credentials in the URL, which are removed from it. */
  readonly authorization?: string;
}

/** Its message is shown to the user. */
export class EndpointError extends Error {}

const API_PATHS =
  /\/+(v1\/+)?(((chat\/+)?completions|messages|responses|embeddings|models)|chat\/+completions\/+input_tokens|messages\/+count_tokens)$|\/+v1$/i;

/** The endpoint that `text` names, or undefined where it is blank.
 * @throws EndpointError where it is not an address */
export function parseEndpoint(text: string): Endpoint | undefined {
  const url = toUrl(text);
  if (!url) return undefined;
  const base = baseOf(url);
  const authorization = credentials(url);
  return authorization ? { base, authorization } : { base };
}

/** Why `text` cannot be an endpoint, for the user; undefined where it can. */
export function endpointProblem(text: string): string | undefined {
  try {
    parseEndpoint(text);
    return undefined;
  } catch (error) {
    if (error instanceof EndpointError) return error.message;
    throw error;
  }
}

/** `text` as it is stored in settings: the server's base URL with the credentials of `text`. Empty
 * where it is blank.
 * @throws EndpointError */
export function normalizeEndpoint(text: string): string {
  const url = toUrl(text);
  if (!url) return "";
  credentials(url);
  const login = url.password ? `${url.username}:${url.password}` : url.username;
  return login ? baseOf(url).replace("://", `://${login}@`) : baseOf(url);
}

function baseOf(url: URL): string {
  const path = url.pathname.replace(/\/+$/, "").replace(API_PATHS, "").replace(/\/+$/, "");
  return `${url.protocol}//${reachableHost(url)}${path}`;
}

function toUrl(text: string): URL | undefined {
  const trimmed = text.trim().replace(/^["'<]+|["'>]+$/g, "").trim();
  if (!trimmed) return undefined;
  if (/\s/.test(trimmed)) throw new EndpointError(l10n.t("An address cannot contain spaces."));
  const { scheme, rest } = split(trimmed);
  if (/^[/\\]/.test(rest)) {
    throw new EndpointError(l10n.t("This is a path, not the address of a server."));
  }
  if (/^\d+([/?#]|$)/.test(rest)) {
    throw new EndpointError(
      l10n.t("The host is missing. For a port on this machine, write localhost:{0}.", rest),
    );
  }
  try {
    const url = new URL(`${scheme ?? "http"}://${bracketIpv6(rest)}`);
    if (!isHost(url.hostname) || url.port === "0") throw new TypeError(url.hostname);
    // A public name with neither scheme nor port is served over TLS; anything else is nearby.
    // `url.port` is no help: it is empty for the scheme's default port.
    const hasPort = /^[^/?#]*:\d+([/?#]|$)/.test(rest);
    if (!scheme && !hasPort && isPublicName(url.hostname)) url.protocol = "https:";
    return url;
  } catch {
    throw new EndpointError(l10n.t("This is not a valid URL."));
  }
}

/** The scheme and what follows it.
 * @throws EndpointError for a scheme other than http and https, or an incomplete one */
function split(text: string): { scheme: string | undefined; rest: string } {
  // One slash is enough to recognise a scheme: in `host:8080`, none follows the colon.
  const [all, name, slashes] = /^([a-z][a-z0-9+.-]*):(\/\/|[/\\])/i.exec(text) ?? [];
  const scheme = name?.toLowerCase();
  const rest = all === undefined ? text.replace(/^\/\//, "") : text.slice(all.length);
  if (scheme !== undefined && scheme !== "http" && scheme !== "https") {
    throw new EndpointError(l10n.t("The address must start with http:// or https://, not {0}:", scheme));
  }
  if ((scheme && slashes !== "//") || /^https?(:|\/\/)/i.test(rest)) {
    throw new EndpointError(
      l10n.t("Write http:// or https:// exactly once, with the colon and both slashes."),
    );
  }
  return { scheme, rest };
}

/** An IP address or a host name; container names may hold underscores. */
function isHost(host: string): boolean {
  if (host.startsWith("[")) return true;
  const labels = host.replace(/\.$/, "").split(".");
  return labels.every((label) => /^[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?$/i.test(label));
}

/** Puts a bare IPv6 address (`::1`, `fe80::1/v1`) into the brackets that a URL needs. */
function bracketIpv6(rest: string): string {
  const [, host, tail] = /^([^/?#]*)(.*)$/s.exec(rest) ?? [];
  if (host === undefined || tail === undefined) return rest;
  // `::1:8080` is a valid address, but what is meant is ::1 with a port.
  const local = /^(::1?):(\d+)$/.exec(host);
  if (local) return `[${local[1]}]:${local[2]}${tail}`;
  return /^[0-9a-f]*:[0-9a-f:.]*:[0-9a-f.]*$/i.test(host) ? `[${host}]${tail}` : rest;
}

function isPublicName(host: string): boolean {
  if (host.startsWith("[") || /^[\d.]+$/.test(host)) return false;
  return host.includes(".") && !/\.(local|lan|internal|home|localhost)$/.test(host);
}

/** Users copy the address that a server listens on, but "all interfaces" cannot be connected to. */
function reachableHost(url: URL): string {
  const host = { "0.0.0.0": "127.0.0.1", "[::]": "[::1]" }[url.hostname] ?? url.hostname;
  return url.port ? `${host}:${url.port}` : host;
}

function credentials(url: URL): string | undefined {
  if (!url.username && !url.password) return undefined;
  const plain = `${decoded(url.username)}:${decoded(url.password)}`;
  return `Basic ${btoa(String.fromCharCode(...new TextEncoder().encode(plain)))}`;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new EndpointError(l10n.t("Write % in the user name or password as %25."));
  }
}
