"""The stage that finds the model that a request names."""

from __future__ import annotations

from aiohttp import web

from stoker.gateway.gateway_state import GatewayState
from stoker.gateway.request_context import Handler, RequestContext
from stoker.gateway.routing.priority import HEADER, is_completion


class ChooseModel:
    """Resolves the name in a request, or its alias, to a model that its caller may use."""

    def __init__(self, state: GatewayState) -> None:
        self._state = state

    async def __call__(self, context: RequestContext, proceed: Handler, /) -> web.StreamResponse:
        """Set ``context.model``; raises ``BadRequestError`` for one not served here."""
        request, body = context.request, context.body
        completes = is_completion(request.path, body, request.headers.get(HEADER))
        context.is_completion = completes
        context.model = self._state.chosen_model(body, context.caller, completes=completes)
        return await proceed(context)
