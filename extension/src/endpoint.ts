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
    throw new EndpointError(l10n.t("{0}:// is not http:// or https://", scheme));
  }
  const rest = scheme ? text.slice(scheme.length + 3) : text.replace(/^\/\//, "");
  const bracketed = bracketIpv6(rest);
  try {
    const url = new URL(`${scheme ?? "http"}://${bracketed}`);
    // A public name with neither scheme nor port is served over TLS; all else is a machine nearby.
    // `url.port` does not tell: it is empty for the scheme's own port.
    const hasPort = /^[^/?#]*:\d+([/?#]|$)/.test(rest);
    if (!scheme && !hasPort && isPublicName(url.hostname)) url.protocol = "https:";
    return url;
  } catch {
    throw new EndpointError(l10n.t("It is not a URL."));
  }
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
