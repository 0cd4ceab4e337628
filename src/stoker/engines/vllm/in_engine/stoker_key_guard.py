"""Runs inside vLLM: every path but ``/health`` needs the key.

vLLM's own check guards ``/v1``, ``/v2``, ``/inference`` and ``/cohere`` (0.32,
vllm/entrypoints/serve/middleware/authenticate.py). ``/invocations`` runs a model, ``/tokenize``
counts and ``/metrics`` reports without a key. vLLM imports this file by itself, from a folder that
holds nothing else, so it imports nothing of Stoker.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

#: Whether the server runs, for the container runtime and for load balancers.
OPEN_PATHS = frozenset({"/health"})
#: More of them, with commas between: on Kubernetes what reads ``/metrics`` has no key, and a
#: network policy names the pods that reach the server.
MORE_OPEN_PATHS = "STOKER_OPEN_PATHS"


class KeyGuard:
    """An ASGI application around another one; the key is in the variable ``VLLM_API_KEY``."""

    def __init__(self, app: App) -> None:
        """Raises ``RuntimeError`` where there is no key: nothing starts unguarded."""
        key = os.environ.get("VLLM_API_KEY", "")
        if not key:
            raise RuntimeError("VLLM_API_KEY is not set: Stoker starts vLLM with a key")
        self._app = app
        self._expected = f"Bearer {key}".encode()
        more = os.environ.get(MORE_OPEN_PATHS, "")
        self._open = OPEN_PATHS | {path for path in more.split(",") if path}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request with the key on; refuse any other with 401, or a closed web socket."""
        if scope["type"] == "lifespan" or self._may_pass(scope):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            head = [(b"content-type", b"application/json"), (b"www-authenticate", b"Bearer")]
            await send({"type": "http.response.start", "status": 401, "headers": head})
            await send({"type": "http.response.body", "body": b'{"error":"Unauthorized"}'})

    def _may_pass(self, scope: Scope) -> bool:
        if scope["type"] == "http" and scope["path"] in self._open:
            return True
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        return len(given) == 1 and hmac.compare_digest(given[0], self._expected)
