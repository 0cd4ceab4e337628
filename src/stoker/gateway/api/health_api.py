"""What load balancers and Prometheus ask: ``/health``, ``/ready`` and ``/metrics``."""

from __future__ import annotations

import asyncio

from aiohttp import web

from stoker.access.caller import ANYONE
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

    It names every model, so a key that opens some of them alone needs a role that may read it. Who
    asks is for the role ``admin``, and for all where a gateway has no keys.
    """
    caller = context.caller
    if caller.models and caller.role == "user":
        return openai_errors.role_needed("viewer")
    state.metrics.waiting.set(state.slots.waiting)
    state.metrics.reading.set(state.live_streams.reading_tokens())
    state.metrics.unread.set(state.live_streams.unread_tokens())
    state.metrics.backend_up.clear()  # of those that the configuration no longer has
    for backend in state.pool.backends:
        state.metrics.backend_up.labels(backend.endpoint.url).set(backend.usable)
    state.metrics.owners.forget_idle()
    with_owners = caller.role == "admin" or caller == ANYONE
    # Apart: the streams of other requests do not wait for it.
    text = await asyncio.to_thread(state.metrics.text, with_owners=with_owners)
    return web.Response(body=text, content_type="text/plain")
