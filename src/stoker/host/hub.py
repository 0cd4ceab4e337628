"""Whether the model hub answers."""

from __future__ import annotations

import os
from collections.abc import Mapping

ANSWER_WITHIN_S = 2.0
_DEFAULT_ENDPOINT = "https://huggingface.co"
#: What ``huggingface_hub`` takes for true in an environment variable.
_TRUE = {"1", "ON", "YES", "TRUE"}
#: Refused on the way by a firewall or a proxy: there is a server, but not for this machine.
_BLOCKED = {403, 407}


def hub_reachable(
    env: Mapping[str, str] = os.environ, within_s: float = ANSWER_WITHIN_S
) -> bool | None:
    """Ask the hub, or the mirror that ``HF_ENDPOINT`` names, for its first page.

    Proxies are taken from the environment. ``None`` where ``HF_HUB_OFFLINE`` forbids to ask.
    A mirror that answers "not found" or "sign in" is reachable all the same.
    """
    if env.get("HF_HUB_OFFLINE", "").upper() in _TRUE:
        return None
    import http.client  # noqa: PLC0415  (70 ms, and `ask_hub=False` does not need it)
    import urllib.error  # noqa: PLC0415
    import urllib.request  # noqa: PLC0415

    endpoint = env.get("HF_ENDPOINT") or _DEFAULT_ENDPOINT
    if not endpoint.startswith(("http://", "https://")):
        return False
    try:
        request = urllib.request.Request(endpoint, method="HEAD")  # noqa: S310
        # A fresh opener: the shared one keeps the proxies of its first use.
        with urllib.request.build_opener().open(request, timeout=within_s):
            return True
    except urllib.error.HTTPError as error:
        error.close()
        return error.code < 500 and error.code not in _BLOCKED
    except (OSError, ValueError, http.client.HTTPException):
        return False
