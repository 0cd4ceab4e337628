"""Whether the model hub answers, and what its answer shows about the network."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

ANSWER_WITHIN_S = 2.0
_DEFAULT_ENDPOINT = "https://huggingface.co"
#: The values that ``huggingface_hub`` reads as true in an environment variable.
_TRUE = {"1", "ON", "YES", "TRUE"}
#: Where a proxy can be named on Linux (urllib takes either case).
_PROXIES = tuple(
    name for lower in ("http_proxy", "https_proxy", "all_proxy") for name in (lower, lower.upper())
)
#: A firewall or a proxy refuses the request: there is a server, but not for this machine.
_BLOCKED = {403, 407}


@dataclass(frozen=True, slots=True)
class HubAnswer:
    """How the hub answered, or that it did not."""

    reachable: bool
    #: It was reached, and showed a certificate that this machine does not trust.
    untrusted: bool = False
    #: How far this machine's clock is ahead of the hub's, in seconds.
    clock_ahead_s: float | None = None


def hub_reachable(
    env: Mapping[str, str] = os.environ, within_s: float = ANSWER_WITHIN_S
) -> bool | None:
    """Whether the hub answers; ``None`` where ``HF_HUB_OFFLINE`` forbids to ask."""
    answer = ask_hub(env, within_s)
    return answer.reachable if answer else None


def ask_hub(
    env: Mapping[str, str] = os.environ, within_s: float = ANSWER_WITHIN_S
) -> HubAnswer | None:
    """Ask the hub, or the mirror that ``HF_ENDPOINT`` names, for its first page.

    Proxies are taken from the environment. ``None`` where ``HF_HUB_OFFLINE`` forbids to ask.
    A mirror that answers "not found" or "sign in" is reachable all the same.
    """
    if _is_offline(env):
        return None
    endpoint = env.get("HF_ENDPOINT") or _DEFAULT_ENDPOINT
    if not endpoint.startswith(("http://", "https://")) or not _connects(endpoint, within_s):
        return HubAnswer(reachable=False)
    return _answer(endpoint, within_s)[0]


def token_accepted(
    token: str, env: Mapping[str, str] = os.environ, within_s: float = ANSWER_WITHIN_S
) -> bool | None:
    """Whether the hub accepts the token; ``None`` where its answer does not show that.

    The token goes to the hub itself or to the mirror that downloads would send it to, and only
    over TLS.
    """
    endpoint = env.get("HF_ENDPOINT") or _DEFAULT_ENDPOINT
    if _is_offline(env) or not endpoint.startswith("https://"):
        return None
    url = endpoint.rstrip("/") + "/api/whoami-v2"
    status = _answer(url, within_s, token)[1]
    return {200: True, 401: False}.get(status or 0)


def _connects(endpoint: str, within_s: float) -> bool:
    """Whether a connection can be made at all: without one an HTTP client need not be loaded.

    True also where there may be a proxy, as the connection would go to that.
    """
    from urllib.parse import urlsplit  # noqa: PLC0415

    # macOS keeps proxies in its settings, which only the HTTP client reads.
    if sys.platform != "linux" or any(os.environ.get(name) for name in _PROXIES):
        return True
    try:
        url = urlsplit(endpoint)
        port = url.port or (443 if url.scheme == "https" else 80)
        socket.create_connection((url.hostname or "", port), timeout=within_s).close()
    except (OSError, ValueError):
        return False
    return True


def _is_offline(env: Mapping[str, str]) -> bool:
    return env.get("HF_HUB_OFFLINE", "").upper() in _TRUE


def _answer(url: str, within_s: float, token: str | None = None) -> tuple[HubAnswer, int | None]:
    """Send one request. Returns how the hub answered, and the status of ``url`` itself."""
    import http.client  # noqa: PLC0415  (70 ms, and `ask_hub=False` does not need it)
    import urllib.error  # noqa: PLC0415
    import urllib.request  # noqa: PLC0415

    try:
        method = "HEAD" if token is None else "GET"
        request = urllib.request.Request(url, method=method)  # noqa: S310
        if token is not None:
            # Not sent on to a redirect's target, so its answer is no verdict on the token.
            request.add_unredirected_header("Authorization", f"Bearer {token}")
        # A fresh opener: the shared one keeps the proxies of its first use.
        with urllib.request.build_opener().open(request, timeout=within_s) as response:
            answer = HubAnswer(True, clock_ahead_s=clock_ahead_s(response.headers["Date"]))
            return answer, response.status if response.url == url else None
    except urllib.error.HTTPError as error:
        error.close()
        reachable = error.code < 500 and error.code not in _BLOCKED
        answer = HubAnswer(reachable, clock_ahead_s=clock_ahead_s(error.headers["Date"]))
        return answer, error.code if error.url == url else None
    except (OSError, ValueError, http.client.HTTPException) as error:
        return HubAnswer(False, untrusted="CERTIFICATE_VERIFY_FAILED" in str(error)), None


def clock_ahead_s(date: str | None) -> float | None:
    """How far this machine's clock is ahead of the one that wrote the header ``Date``, in s."""
    from email.utils import parsedate_to_datetime  # noqa: PLC0415

    try:
        return round(time.time() - parsedate_to_datetime(date or "").timestamp())
    except (TypeError, ValueError):
        return None
