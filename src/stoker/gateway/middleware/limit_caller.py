"""The stage that holds callers to the limits of their keys and of the models."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

import aiohttp
from aiohttp import web

from stoker.errors import StokerError
from stoker.gateway.api import openai_errors, path_rules
from stoker.gateway.gateway_state import GatewayState
from stoker.gateway.limiting import rate_headers
from stoker.gateway.limiting.caller_limiter import Reservation
from stoker.gateway.limiting.counters import MEASURED_KINDS
from stoker.gateway.limiting.limit_plans import LimitPlan
from stoker.gateway.limiting.request_tokens import (
    RequestTokens,
    estimated_prompt,
    most_tokens,
    texts_of,
)
from stoker.gateway.prompt.token_counter import TokenCounter
from stoker.gateway.request_context import Handler, RequestContext
from stoker.gateway.usage.used_tokens import used_tokens

_log = logging.getLogger("stoker.gateway")

#: What keeps a prompt from being counted.
_UNCOUNTED = (StokerError, NotImplementedError, aiohttp.ClientError, asyncio.TimeoutError)


class LimitCaller:
    """Reserves a request's tokens, or refuses it; counts what it used when it has ended.

    It stands before the stage that selects backends: a request that is sent to several is counted
    once.
    """

    def __init__(self, state: GatewayState) -> None:
        self._state = state
        self._limiter = state.limiter

    async def __call__(self, context: RequestContext, proceed: Handler, /) -> web.StreamResponse:
        """Set ``context.answer_headers``, and go on or answer 429; 413 where no wait helps."""
        plan = self._limiter.plans.of(context.caller, context.model.id)
        if not plan.counters:
            return await proceed(context)
        asked = most_tokens(context.body, context.sent_bytes, context.model.max_model_len)
        reservation = await self._limiter.reserve(plan, asked)
        if not reservation.outcome.taken:
            reservation = await self._counted(context, plan, asked, reservation)
        context.answer_headers = {**context.answer_headers, **self._headers(context, reservation)}
        self._state.metrics.owners.note_quotas(context.caller.owner, reservation)
        if not reservation.outcome.taken:
            return self._refused(context, reservation)
        client_left = False
        try:
            return await proceed(context)
        except (asyncio.CancelledError, ConnectionError):
            client_left = True
            raise
        finally:
            self._limiter.settle(reservation, used_tokens(context, client_left=client_left))

    async def _counted(
        self,
        context: RequestContext,
        plan: LimitPlan,
        asked: RequestTokens,
        reservation: Reservation,
    ) -> Reservation:
        """By a count of the prompt, where its upper bound is too much."""
        over = [charge.counter.kind for charge, _ in reservation.over]
        if not over or not MEASURED_KINDS.issuperset(over):
            return reservation
        counter = self._state.shown_preparer(context.model).counter
        is_chat = context.rules.rewrites_messages
        counted = await _counted(counter, context.body, is_chat=is_chat)
        # What is longer than the window is cut, or refused.
        return await self._limiter.reserve(plan, asked._replace(prompt=min(counted, asked.prompt)))

    def _headers(self, context: RequestContext, reservation: Reservation) -> dict[str, str]:
        is_anthropic = context.request.path == path_rules.MESSAGES
        write = rate_headers.anthropic_headers if is_anthropic else rate_headers.openai_headers
        return write(reservation, self._limiter.clock())

    def _refused(self, context: RequestContext, reservation: Reservation) -> web.Response:
        reached = rate_headers.refusal(reservation, self._limiter.clock())
        if reached.retry_after_s is None:
            code = openai_errors.LARGER_THAN_LIMIT
            answer = openai_errors.larger_than_limit(reached.message)
        else:
            code = openai_errors.LIMIT_CODES[reached.is_quota]
            answer = openai_errors.limited(reached.message, code, reached.retry_after_s)
        self._state.metrics.refused.labels(code).inc()
        _log.info("refused %s: %d %s", context.request.path, answer.status, code)
        return answer


async def _counted(counter: TokenCounter, body: Mapping[str, Any], *, is_chat: bool) -> int:
    """The prompt's tokens, exact where something counts them."""
    try:
        if is_chat:
            return await counter.count_request(body)
        texts, ids = texts_of(body)
        return sum(await counter.count_texts(texts)) + ids
    except _UNCOUNTED:
        return estimated_prompt(body)
