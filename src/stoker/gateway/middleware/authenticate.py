"""The stage that asks for a key."""

from __future__ import annotations

from aiohttp import web

from stoker.gateway.api import openai_errors
from stoker.gateway.gateway_state import GatewayState
from stoker.gateway.request_context import Handler, RequestContext

#: What a load balancer asks without a key. It reveals nothing of models or users.
_OPEN_PATHS = frozenset({"/health", "/ready"})


class Authenticate:
    """Refuses a request whose key opens nothing; names the holder of one that does."""

    def __init__(self, state: GatewayState) -> None:
        self._state = state

    async def __call__(self, context: RequestContext, proceed: Handler, /) -> web.StreamResponse:
        """Set ``context.client``, but on paths that need no key."""
        request = context.request
        if request.path not in _OPEN_PATHS:
            holder = self._state.keys.holder(request.headers.get("Authorization"))
            if holder is None:
                return openai_errors.unauthorized()
            context.client = holder
        return await proceed(context)
