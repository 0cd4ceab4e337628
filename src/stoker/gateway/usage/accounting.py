"""The stage that counts requests, their time and their tokens."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from aiohttp import web

from stoker.gateway.gateway_state import GatewayState
from stoker.gateway.request_context import Handler, RequestContext


class Account:
    """Notes what came of a request, whichever of the stages after it answered."""

    def __init__(self, state: GatewayState) -> None:
        self._metrics = state.metrics

    async def __call__(self, context: RequestContext, proceed: Handler, /) -> web.StreamResponse:
        """Count the request when its answer is complete."""
        began = asyncio.get_running_loop().time()
        metrics, model = self._metrics, context.model.id
        with metrics.in_flight.track_inprogress():
            response = await proceed(context)
        metrics.requests.labels(context.request.path, model, response.status).inc()
        answer = context.answer
        if answer is None:
            return response
        if answer.first_byte_at is not None:
            metrics.ttft.labels(model).observe(max(0.0, answer.first_byte_at - began))
        self._note_usage(model, answer.report.usage)
        rewrite = context.outgoing.rewrite
        if rewrite is not None and rewrite.found:
            metrics.tool_calls.labels(model).inc(rewrite.found)
        return response

    def _note_usage(self, model: str, usage: Mapping[str, int] | None) -> None:
        for kind, count in (usage or {}).items():
            if count > 0:
                self._metrics.tokens.labels(model, kind).inc(count)
