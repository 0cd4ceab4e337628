"""Which web pages may ask: browsers name the page's origin, and no other program has one."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from aiohttp import web

#: For this long a browser need not ask again: Chrome's own limit is two hours.
_PREFLIGHT_S = 7200
_LIMITS = ("limit", "remaining", "reset")
#: What a page may read besides the body.
_EXPOSED = ", ".join(
    (
        "x-stoker-fit",
        "Retry-After",
        *(f"x-ratelimit-{what}-{kind}" for kind in ("requests", "tokens") for what in _LIMITS),
    )
)


class Origins:
    """The pages that may ask, as patterns such as ``https://*.vscode-cdn.net``.

    A page that may not is refused, not only kept from reading the answer: browsers send simple
    requests of any page to the loopback interface, and each would occupy the model.
    """

    def __init__(self, patterns: Sequence[str] = ()) -> None:
        self.patterns = tuple(pattern.rstrip("/").lower() for pattern in patterns)

    def allow(self, request: web.BaseRequest, origin: str | None) -> bool:
        """Whether its sender may ask: no browser, a page of this very server, or an allowed one."""
        if origin is None:
            foreign = request.headers.get("Sec-Fetch-Site") == "cross-site"
            return not foreign or _is_followed_link(request)
        if any(fnmatchcase(origin.lower(), p) for p in self.patterns):
            return True
        # Of a page with no origin, which sends `null`, nothing is left that a host could equal.
        return origin.partition("://")[2] == request.host != ""


def readable_by(origin: str) -> dict[str, str]:
    """The headers of an answer that the browser is to show to a page of this origin."""
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Expose-Headers": _EXPOSED,
        "Vary": "Origin",
    }


def _is_followed_link(request: web.BaseRequest) -> bool:
    """Whether a person opens a page of this server from another one, which can't read it.

    Browsers name no origin there, nor for what a page embeds, such as an image or a script.
    """
    sent = (request.headers.get("Sec-Fetch-Mode"), request.headers.get("Sec-Fetch-Dest"))
    return request.method == "GET" and sent == ("navigate", "document")


def is_preflight(request: web.BaseRequest) -> bool:
    """Whether a browser asks what a page would be allowed to send. It sends no key with that."""
    return request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers


def preflight_answer(request: web.BaseRequest) -> web.Response:
    """What a page may send: all that it asks for, since its origin was checked before."""
    headers = {
        "Access-Control-Allow-Methods": "GET, POST",
        "Access-Control-Allow-Headers": request.headers.get("Access-Control-Request-Headers", "*"),
        "Access-Control-Max-Age": str(_PREFLIGHT_S),
    }
    # Asked where a public page reaches into a private network, such as to localhost.
    if "Access-Control-Request-Private-Network" in request.headers:
        headers["Access-Control-Allow-Private-Network"] = "true"
    return web.Response(status=204, headers=headers)
