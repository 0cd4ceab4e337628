"""The stage that prepares a request for the backend that was selected."""

from __future__ import annotations

import asyncio

import aiohttp
from aiohttp import web

from stoker.errors import StokerError
from stoker.gateway.api.request_validation import BadRequestError
from stoker.gateway.gateway_state import GatewayState
from stoker.gateway.prompt.prepared_request import Prepared
from stoker.gateway.prompt.preparers import Preparer
from stoker.gateway.relay.backend_request import backend_request
from stoker.gateway.request_context import Handler, RequestContext
from stoker.gateway.routing.select_backend import NotPreparedError

#: What keeps a request from one backend, and perhaps not from another.
_REFUSALS = (
    StokerError,
    BadRequestError,
    NotImplementedError,
    aiohttp.ClientError,
    asyncio.TimeoutError,
)


class PrepareForBackend:
    """Fits the request to the backend's window, in the form that its engine takes.

    When the answer has come, its counts correct the next ones for the same backend.
    """

    def __init__(self, state: GatewayState) -> None:
        self._preparers = state.preparers

    async def __call__(self, context: RequestContext, proceed: Handler, /) -> web.StreamResponse:
        """Set ``context.outgoing``; raises ``NotPreparedError``."""
        # A reload may have taken the model from the backend while the request waited for it.
        model = context.backend.models.get(context.model.id, context.model)
        preparer = self._preparers.of(context.backend, model)
        try:
            prepared = await _prepared(context, preparer)
        except _REFUSALS as refusal:
            raise NotPreparedError(refusal) from refusal
        response = await proceed(context)
        report = context.answer.report if context.answer else None
        if report is not None and report.usage is not None:
            await preparer.chats.learn(prepared, report.usage, report.prefill_tokens_per_s)
        return response


async def _prepared(context: RequestContext, preparer: Preparer) -> Prepared:
    rules = context.rules
    rules.check_model(context.body, preparer.model)
    prepared = await rules.prepare(preparer, context.body, _wants_fit(context.request))
    context.outgoing = backend_request(
        prepared, context.model.id, rules, context.backend.refused_fields
    )
    return prepared


def _wants_fit(request: web.Request) -> bool:
    return request.headers.get("x-stoker-fit", "").lower() != "off"
