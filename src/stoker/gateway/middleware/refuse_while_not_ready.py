"""The stage that refuses what the gateway can't take on now."""

from __future__ import annotations

from aiohttp import web

from stoker.gateway.api import openai_errors
from stoker.gateway.gateway_state import GatewayState
from stoker.gateway.request_context import RequestContext


class RefuseWhileNotReady:
    """Refuses requests while no model is served, and while the gateway drains."""

    def __init__(self, state: GatewayState) -> None:
        self._state = state

    async def check(self, context: RequestContext, /) -> web.StreamResponse | None:
        """Answer 503 with ``Retry-After``, or nothing."""
        if not self._state.is_serving:
            return openai_errors.not_ready(self._state.down_cause)
        return None
