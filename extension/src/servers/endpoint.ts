/** What a person may write as the endpoint, made into one base URL. */

import { l10n } from "vscode";

export interface Endpoint {
  /** Scheme, host, port and path prefix, with no trailing slash and no `/v1`. */
  readonly base: string;
  /** An `Authorization` header from credentials in the URL; they never stay in the URL. */
  readonly authorization?: string;
}

/** Its message is for the person who wrote the endpoint. */
export class EndpointError extends Error {}

const API_PATHS = /\/+(v1\/+)?(chat\/+completions|completions|models)$|\/+v1$/i;

/** The endpoint that `text` names, or undefined where it is blank.
 * @throws EndpointError where it cannot be a URL. */
export function parseEndpoint(text: string): Endpoint | undefined {
  const url = toUrl(text);
  if (!url) return undefined;
  const base = baseOf(url);
  const authorization = credentials(url);
  return authorization ? { base, authorization } : { base };
}

/** `text` as it is kept in settings: the address of the server itself, with the credentials that
 * were written in it. Empty where it is blank.
 * @throws EndpointError */
export function storable(text: string): string {
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
  if (/\s/.test(trimmed)) throw new EndpointError(l10n.t("An address has no spaces in it."));
  const { scheme, rest } = split(trimmed);
  if (/^[/\\]/.test(rest)) throw new EndpointError(l10n.t("It is a path, and not the address of a server."));
  if (/^\d+([/?#]|$)/.test(rest)) {
    throw new EndpointError(l10n.t("It has no host. For a port of this machine, write localhost:{0}.", rest));
  }
  try {
    const url = new URL(`${scheme ?? "http"}://${bracketIpv6(rest)}`);
    if (!isHost(url.hostname) || url.port === "0") throw new TypeError(url.hostname);
    // A public name with neither scheme nor port is served over TLS; all else is a machine nearby.
    // `url.port` does not tell: it is empty for the scheme's own port.
    const hasPort = /^[^/?#]*:\d+([/?#]|$)/.test(rest);
    if (!scheme && !hasPort && isPublicName(url.hostname)) url.protocol = "https:";
    return url;
  } catch {
    throw new EndpointError(l10n.t("It is not a URL."));
  }
}

/** The scheme and what follows it.
 * @throws EndpointError for another scheme, and where a part of it is missing */
function split(text: string): { scheme: string | undefined; rest: string } {
  // One slash is enough to see that a scheme was meant: a port has none before it.
  const [all, name, slashes] = /^([a-z][a-z0-9+.-]*):(\/\/|[/\\])/i.exec(text) ?? [];
  const scheme = name?.toLowerCase();
  const rest = all === undefined ? text.replace(/^\/\//, "") : text.slice(all.length);
  if (scheme !== undefined && scheme !== "http" && scheme !== "https") {
    throw new EndpointError(l10n.t("{0}: is not http:// or https://", scheme));
  }
  if ((scheme && slashes !== "//") || /^https?(:|\/\/)/i.test(rest)) {
    throw new EndpointError(l10n.t("Write http:// or https:// once, with its colon and both slashes."));
  }
  return { scheme, rest };
}

/** An IP address, or labels of a host name; with underscores, as containers are called. */
function isHost(host: string): boolean {
  if (host.startsWith("[")) return true;
  const labels = host.replace(/\.$/, "").split(".");
  return labels.every((label) => /^[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?$/i.test(label));
}

/** A bare IPv6 address (`::1`, `fe80::1/v1`) needs brackets before it is a URL. */
function bracketIpv6(rest: string): string {
  const [, host, tail] = /^([^/?#]*)(.*)$/s.exec(rest) ?? [];
  if (host === undefined || tail === undefined) return rest;
  // As an address `::1:8080` is nobody's: it is this machine's, with a port.
  const local = /^(::1?):(\d+)$/.exec(host);
  if (local) return `[${local[1]}]:${local[2]}${tail}`;
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
  const plain = `${decoded(url.username)}:${decoded(url.password)}`;
  return `Basic ${btoa(String.fromCharCode(...new TextEncoder().encode(plain)))}`;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new EndpointError(l10n.t("Write a % in the user name or password as %25."));
  }
}
