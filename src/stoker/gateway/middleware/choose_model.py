"""The stage that finds the model that a request names."""

from __future__ import annotations

from aiohttp import web

from stoker.engines import ALIAS
from stoker.gateway.api import request_validation
from stoker.gateway.gateway_state import GatewayState
from stoker.gateway.request_context import Handler, RequestContext


class ChooseModel:
    """Resolves the name in a request, or its alias, to a model that is served here."""

    def __init__(self, state: GatewayState) -> None:
        self._state = state

    async def __call__(self, context: RequestContext, proceed: Handler, /) -> web.StreamResponse:
        """Set ``context.model``; raises ``BadRequestError`` for one not served here."""
        models = self._state.pool.models()
        is_alias = context.body.get("model") == ALIAS
        target = self._state.alias_target() if is_alias else None
        name = request_validation.choose_model(context.body, models, target)
        context.model = models[name]
        return await proceed(context)
