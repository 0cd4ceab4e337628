"""Addresses that a server listens on: which are in order, which are private, how to call them."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

#: What programs on this machine call a server that listens on every address.
_EVERY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104
#: A host name (RFC 1123). Its last part starts with a letter: the system reads ``0`` and ``0x0`` as
#: numbers, and listens on every address.
_NAME = re.compile(r"([a-z\d]([a-z\d-]{0,61}[a-z\d])?\.)*[a-z]([a-z\d-]{0,61}[a-z\d])?", re.I)


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


def endpoint(host: str, port: int) -> str:
    """The base URL, for programs on this machine, of a server that listens on ``host``."""
    host = _EVERY.get(host, host)
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def is_url(text: str) -> bool:
    """Whether ``text`` is the URL of a server: http or https, a host, a port that there can be."""
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number or too large, brackets that don't close
        return False
