"""What load balancers and Prometheus ask: ``/health``, ``/ready`` and ``/metrics``."""

from __future__ import annotations

from aiohttp import web

from stoker.gateway.api import json_answers, openai_errors
from stoker.gateway.gateway_state import GatewayState
from stoker.gateway.request_context import RequestContext


async def health(_: GatewayState, __: RequestContext) -> web.Response:
    """``GET /health`` and ``/``: the gateway runs."""
    return json_answers.ok({"status": "ok"})


async def ready(state: GatewayState, _: RequestContext) -> web.Response:
    """``GET /ready``: 200 where some model can answer."""
    if not state.can_answer:
        return openai_errors.not_ready(state.down_cause)
    return json_answers.ok({"status": "ready"})


async def metrics(state: GatewayState, context: RequestContext) -> web.Response:
    """``GET /metrics``: everything that is counted, in Prometheus's text format.

    It names every model, so a key that opens some of them alone needs a role that may read it.
    """
    if context.caller.models and context.caller.role == "user":
        return openai_errors.role_needed("viewer")
    state.metrics.waiting.set(state.slots.waiting)
    state.metrics.unread.set(state.live_streams.unread_tokens())
    for backend in state.pool.backends:
        state.metrics.backend_up.labels(backend.endpoint.url).set(backend.usable)
    return web.Response(body=state.metrics.text(), content_type="text/plain")
