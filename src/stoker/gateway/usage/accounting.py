"""The stage where a request ends: counted, and recorded with its time and its tokens."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from aiohttp import web

from stoker.gateway.api import error_mapping
from stoker.gateway.gateway_state import GatewayState
from stoker.gateway.relay.backend_request import BackendRequest
from stoker.gateway.relay.response_stream import ResponseStream
from stoker.gateway.request_context import Handler, RequestContext
from stoker.usage_records import CLIENT_LEFT, UsageRow

#: What a stream ends as that its backend broke off: its head had promised a whole one.
_BROKEN_OFF = 502
#: Tokens by their kind, as ``UsageReport.usage`` names it.
_Used = Mapping[str, int]
#: Of prompts as JSON, with tools: a rough mean, for estimates.
_BYTES_PER_TOKEN = 4
#: What stands for a request that was prepared for no backend.
_NOT_SENT = BackendRequest(b"")


class Account:
    """Notes what came of a request, whichever of the stages after it answered.

    Recorded is every request that a key, a valid body and a known model let through to here: also
    those that no backend could take, that broke off, and whose client left. What the stages before
    refuse has used no engine, and an attacker could fill the disk with it: it is only counted.
    """

    def __init__(self, state: GatewayState) -> None:
        self._state = state
        self._metrics = state.metrics

    async def __call__(self, context: RequestContext, proceed: Handler, /) -> web.StreamResponse:
        """Count and record the request when its answer is complete, or when it failed."""
        began = asyncio.get_running_loop().time()
        status = CLIENT_LEFT
        try:
            with self._metrics.in_flight.track_inprogress():
                response = await proceed(context)
            status = _status(context, response)
        except ConnectionError:
            raise
        except Exception as error:
            status = error_mapping.answer_to(context.request, error)[0].status
            raise
        finally:
            used = (context.answer.report.usage if context.answer is not None else None) or {}
            if self._state.usage is not None:
                estimate = None if used else _estimate(context, status)
                self._state.usage.add(_row(context, began, status, used, estimate))
        self._count(context, began, response, used)
        return response

    def _count(
        self, context: RequestContext, began: float, response: web.StreamResponse, used: _Used
    ) -> None:
        metrics, model = self._metrics, context.model.id
        metrics.requests.labels(context.request.path, model, response.status).inc()
        answer = context.answer
        if answer is None:
            return
        if answer.first_byte_at is not None:
            metrics.ttft.labels(model).observe(max(0.0, answer.first_byte_at - began))
        for kind, count in used.items():
            if count > 0:
                metrics.tokens.labels(model, kind).inc(count)
        rewrite = context.outgoing.rewrite
        if rewrite is not None and rewrite.found:
            metrics.tool_calls.labels(model).inc(rewrite.found)


def _status(context: RequestContext, response: web.StreamResponse) -> int:
    answer = context.answer
    return _BROKEN_OFF if answer is not None and _broke_off(answer) else response.status


def _broke_off(answer: ResponseStream) -> bool:
    return answer.streaming and answer.error is not None


def _estimate(context: RequestContext, status: int) -> _Used | None:
    """The tokens of an answer that was cut before the engine reported them; else ``None``.

    Without it, a client that leaves before the end would use none of its budget.
    """
    answer = context.answer
    is_cut = status == CLIENT_LEFT or (answer is not None and _broke_off(answer))
    sent: BackendRequest = getattr(context, "outgoing", _NOT_SENT)
    if not is_cut or sent is _NOT_SENT:
        return None
    prompt_tokens = sent.prompt_tokens or len(sent.payload) // _BYTES_PER_TOKEN
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": answer.events if answer is not None else 0,
    }


def _row(
    context: RequestContext, began: float, status: int, used: _Used, estimate: _Used | None
) -> UsageRow:
    """The request as it ended. What no backend was sent has neither tokens nor cuts."""
    tokens = estimate or used
    answer, caller = context.answer, context.caller
    report = answer.report if answer is not None else None
    total_s = asyncio.get_running_loop().time() - began
    sent: BackendRequest = getattr(context, "outgoing", _NOT_SENT)
    first_at = answer.first_byte_at if answer is not None else None
    return UsageRow(
        int((time.time() - total_s) * 1000),
        caller.owner,
        caller.key_id,
        context.model.id,
        context.request.path,
        status,
        tokens.get("prompt_tokens"),
        tokens.get("completion_tokens"),
        report.cached_tokens if report is not None else None,
        report.reasoning_tokens if report is not None else None,
        0 if estimate is None else 1,
        None if first_at is None else max(0.0, first_at - began),
        total_s,
        context.queue_s,
        sent.cut_tokens,
        len(sent.cuts.tools_dropped),
        " ".join(sent.cuts.steps) if sent.cuts.any else "",
        context.session,
    )
