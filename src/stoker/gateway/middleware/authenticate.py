"""The stage that asks for a key."""

from __future__ import annotations

from aiohttp import web

from stoker.gateway.api import openai_errors
from stoker.gateway.api.path_rules import ANTHROPIC_PATHS
from stoker.gateway.gateway_state import GatewayState
from stoker.gateway.request_context import Handler, RequestContext

#: What a load balancer asks without a key. It reveals nothing of models or users.
_OPEN_PATHS = frozenset({"/health", "/ready"})


#: Where clients of Anthropic's API put the key: https://docs.anthropic.com/en/api/overview
_X_API_KEY = "x-api-key"


class Authenticate:
    """Refuses a request whose key opens nothing; names the holder of one that does."""

    def __init__(self, state: GatewayState) -> None:
        self._state = state

    async def __call__(self, context: RequestContext, proceed: Handler, /) -> web.StreamResponse:
        """Set ``context.client``, but on paths that need no key."""
        request = context.request
        if request.path not in _OPEN_PATHS:
            holder = self._holder(request)
            if holder is None:
                return openai_errors.unauthorized(takes_x_api_key=request.path in ANTHROPIC_PATHS)
            context.client = holder
        return await proceed(context)

    def _holder(self, request: web.Request) -> str | None:
        """Who holds the request's key. Where it has both headers, ``Authorization`` decides."""
        keys, authorization = self._state.keys, request.headers.get("Authorization")
        if authorization is None and request.path in ANTHROPIC_PATHS:
            return keys.holder_of(request.headers.get(_X_API_KEY))
        return keys.holder(authorization)
