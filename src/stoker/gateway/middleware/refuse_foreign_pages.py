"""The stage that refuses web pages which may not ask."""

from __future__ import annotations

from aiohttp import web

from stoker.gateway.api import openai_errors
from stoker.gateway.gateway_state import GatewayState
from stoker.gateway.middleware import cors
from stoker.gateway.request_context import RequestContext


class RefuseForeignPages:
    """Refuses pages of other origins, and answers browsers that ask what a page may send.

    A browser asks that without a key, so this stands before ``Authenticate``.
    """

    def __init__(self, state: GatewayState) -> None:
        self._state = state

    async def check(self, context: RequestContext, /) -> web.StreamResponse | None:
        """Answer 403 or the preflight; set what lets an allowed page read the answer."""
        request = context.request
        origin = request.headers.get("Origin")
        if not self._state.origins.allow(request, origin):
            self._state.refused_entries.note("foreign_page", request.remote)
            return openai_errors.foreign_page(origin)
        if origin is not None:
            context.answer_headers = cors.readable_by(origin)
        if cors.is_preflight(request):
            return cors.preflight_answer(request)
        return None
