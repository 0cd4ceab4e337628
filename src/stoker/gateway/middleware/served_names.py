"""The names by which clients may address the gateway: those that no web page can take over."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from fnmatch import fnmatchcase

from aiohttp import web

from stoker.network_addresses import is_loopback

#: Names by which a container or a virtual machine reaches its host. No page has one: ICANN
#: reserved ``.internal`` for private use in 2024.
_OF_THE_HOST = frozenset(
    {"host.docker.internal", "gateway.docker.internal", "host.containers.internal"}
)


class ServedNames:
    """The hosts that a request without a key may be addressed to.

    A web page can point its own name at 127.0.0.1 (DNS rebinding) and then counts as a page of
    this server; its name is in the ``Host`` header. An IP address can't be rebound, so every one
    passes. So do loopback's names, this machine's, and the patterns that the owner adds.
    """

    def __init__(self, patterns: Sequence[str] = ()) -> None:
        self.patterns = tuple(pattern.rstrip(".").lower() for pattern in patterns)
        own = socket.gethostname().lower()
        self._own = _OF_THE_HOST | {own, own.partition(".")[0], f"{own.partition('.')[0]}.local"}

    def refused(self, request: web.BaseRequest) -> str | None:
        """The first of the request's hosts that is none of these; ``None`` where all are.

        A request without the header passes: browsers always send it.
        """
        hosts = request.headers.getall("Host", [])
        if not request.raw_path.startswith("/"):  # an absolute URI, as proxies get it
            hosts = [*hosts, request.url.raw_authority]
        return next((host for host in hosts if not self._has(host)), None)

    def _has(self, host: str) -> bool:
        name = _without_port(host.strip().lower())
        if is_loopback(name) or name.endswith(".localhost") or name in self._own:
            return True
        return _is_address(name) or any(fnmatchcase(name, pattern) for pattern in self.patterns)


def _without_port(host: str) -> str:
    """The name or address alone: ``[::1]:80`` is ``::1``, ``a.example.:80`` is ``a.example``."""
    name, colon, port = host.rpartition(":")
    named = name if colon and (port.isdigit() or not port) else host
    return named.removeprefix("[").removesuffix("]").rstrip(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
