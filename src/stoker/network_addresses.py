"""Addresses of servers: whether they are valid or private, and how a user's input is read."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

#: The address at which this machine reaches a server that listens on every address.
_EVERY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104
#: A host name (RFC 1123). Its last part starts with a letter: the system reads ``0`` and ``0x0`` as
#: numbers, and listens on every address.
_NAME = re.compile(r"([a-z\d]([a-z\d-]{0,61}[a-z\d])?\.)*[a-z]([a-z\d-]{0,61}[a-z\d])?", re.I)

#: What users paste along after the base of a URL.
_API_PATHS = re.compile(
    r"/+(v1/+)?(((chat/+)?completions|messages|responses|embeddings|models)"
    r"|chat/+completions/+input_tokens|messages/+count_tokens)$|/+v1$",
    re.IGNORECASE,
)
_SCHEME = re.compile(r"(https?)://", re.IGNORECASE)
#: Another scheme or one that lacks a slash, a path, or a port without a host.
_NO_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*:[/\\]|https?(:|//)|[/\\]|\d+([/?#]|$)", re.IGNORECASE)
_LOCAL_WITH_PORT = re.compile(r"(::1?):(\d+)")
_BARE_IPV6 = re.compile(r"[0-9a-f]*:[0-9a-f:.]*:[0-9a-f.]*", re.IGNORECASE)
#: A part of a host name; names of containers have underscores.
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?", re.IGNORECASE)
_BROKEN_PERCENT = re.compile(r"%(?![0-9a-f]{2})", re.IGNORECASE)
_DEFAULT_PORTS = {"http": 80, "https": 443}


def is_bindable(host: str) -> bool:
    """Whether ``host`` has the form of one address or host name.

    The system takes an empty text for every address of the machine, so that is none.
    """
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return len(host) <= 253 and _NAME.fullmatch(host) is not None
    return True


def is_loopback(host: str) -> bool:
    """Whether ``host`` is this machine itself, so that no other machine reaches what listens."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def endpoint(host: str, port: int, scheme: str = "http") -> str:
    """The base URL, for programs on this machine, of a server that listens on ``host``."""
    host = reached_at(host)
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def reached_at(host: str) -> str:
    """The address at which programs of this machine reach what listens on ``host``."""
    return _EVERY.get(host, host)


def is_url(text: str) -> bool:
    """Whether ``text`` is the URL of a server: http or https, a host, a valid port."""
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number or too large, brackets that don't close
        return False


def without_api_path(url: str) -> str:
    """``url`` without the path of an API that ends it: the address that identifies a server."""
    return _API_PATHS.sub("", url.rstrip("/")).rstrip("/")


def same_server(one: str, other: str) -> bool:
    """Whether two base URLs mean the same server: every name of this machine is one.

    A text that is no URL means the server of no other text.
    """
    try:
        return _identity(one) == _identity(other)
    except ValueError:
        return one == other


def _identity(url: str) -> tuple[str, str, int | None, str]:
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
    return parts.scheme, "localhost" if is_loopback(host) else host, port, parts.path.rstrip("/")


def base_url(text: str) -> str | None:
    """The URL that a user means by ``text``, without ``/v1``; ``None`` where it is no address.

    As extension/src/servers/endpoint.ts understands it: a missing scheme, ``/v1`` at the end,
    blanks around it and bare IPv6 addresses are all right; other schemes, spaces, paths and bare
    ports are not. A name and a password in it are left out.
    """
    trimmed = text.strip().strip("\"'<>").strip()
    found = _SCHEME.match(trimmed)
    scheme = found[1].lower() if found else ""
    rest = trimmed[found.end() :] if found else trimmed.removeprefix("//")
    if re.search(r"\s", rest) or _NO_ADDRESS.match(rest):
        return None
    parts = _authority(rest)
    if parts is None:
        return None
    host, port, path = parts
    public = not scheme and port is None and is_public_name(host)
    scheme = scheme or ("https" if public else "http")
    shown = f":{port}" if port and port != _DEFAULT_PORTS[scheme] else ""
    host = reached_at(host)
    return f"{scheme}://{f'[{host}]' if ':' in host else host}{shown}{without_api_path(path)}"


def _authority(rest: str) -> tuple[str, int | None, str] | None:
    """Host, port and path of what comes after a scheme; ``None`` where there is no host."""
    authority, slash, tail = rest.partition("/")
    # `::1:8080` would be an address that no machine has: it means this machine and a port.
    if local := _LOCAL_WITH_PORT.fullmatch(authority):
        authority = f"[{local[1]}]:{local[2]}"
    elif _BARE_IPV6.fullmatch(authority):
        authority = f"[{authority}]"
    try:
        url = urlsplit(f"//{authority}{slash}{tail}")
        host, port = url.hostname, url.port
    except ValueError:
        return None
    login = authority.rpartition("@")[0]
    if not host or not _is_host(host) or port == 0 or authority.endswith(":"):
        return None
    return None if _BROKEN_PERCENT.search(login) else (host, port, url.path)


def _is_host(host: str) -> bool:
    """Whether ``host`` is an IP address, or parts of a name."""
    if ":" in host or re.fullmatch(r"[\d.]+", host):
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return False
        return True
    return all(_LABEL.fullmatch(label) for label in host.removesuffix(".").split("."))


def is_public_name(host: str) -> bool:
    """Whether ``host`` is a name of the internet, not of a local network, and not a number."""
    nearby = (".local", ".lan", ".internal", ".home", ".localhost")
    return "." in host and not re.fullmatch(r"[\d.]+", host) and not host.endswith(nearby)


def is_nearby(host: str) -> bool:
    """Whether ``host`` is another machine of the same network, by its address or its name."""
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return host != "localhost" and not is_public_name(host)
    return found.is_private and not found.is_loopback
