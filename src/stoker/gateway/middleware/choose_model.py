"""The stage that finds the model that a request names."""

from __future__ import annotations

from stoker.gateway.gateway_state import GatewayState
from stoker.gateway.request_context import RequestContext
from stoker.gateway.routing.priority import HEADER, is_completion


class ChooseModel:
    """Resolves the name in a request, or its alias, to a model that its caller may use."""

    def __init__(self, state: GatewayState) -> None:
        self._state = state

    async def check(self, context: RequestContext, /) -> None:
        """Set ``context.model``; raises ``BadRequestError`` for one not served here."""
        request, body = context.request, context.body
        completes = is_completion(request.path, body, request.headers.get(HEADER))
        context.is_completion = completes
        context.model = self._state.chosen_model(body, context.caller, completes=completes)
