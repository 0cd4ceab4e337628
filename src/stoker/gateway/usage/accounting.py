"""The stage where a request ends: counted, and recorded with its time and its tokens."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from aiohttp import web

from stoker.gateway.api import error_mapping
from stoker.gateway.gateway_state import GatewayState
from stoker.gateway.relay.backend_request import BackendRequest
from stoker.gateway.request_context import Handler, RequestContext
from stoker.gateway.routing.pooled_backend import PooledBackend
from stoker.gateway.usage import genai_conventions as genai
from stoker.gateway.usage.recent_errors import BROKEN_OFF, ErrorKind
from stoker.gateway.usage.used_tokens import is_cut, used_tokens
from stoker.usage_records import CLIENT_LEFT, UsageRow

#: What a stream ends as that its backend broke off: its head had promised a whole one.
_BROKEN_OFF = 502
#: Tokens by their kind, as ``UsageReport.usage`` names it.
_Used = Mapping[str, int]
#: What stands for a request that was prepared for no backend.
_NOT_SENT = BackendRequest(())


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
        now = asyncio.get_running_loop().time
        began = now()
        status = CLIENT_LEFT
        self._metrics.in_flight += 1
        try:
            response = await proceed(context)
            status = _status(context, response)
            if status != response.status:
                self._note_broken_off(context)
        except ConnectionError:
            raise
        except Exception as error:
            status = error_mapping.answer_to(context.request, error)[0].status
            raise
        finally:
            self._metrics.in_flight -= 1
            used = (context.answer.report.usage if context.answer is not None else None) or {}
            self._note(context, _row(context, began, now() - began, status, used))
        self._count(context, began, response, used)
        return response

    def _note_broken_off(self, context: RequestContext) -> None:
        path, model, owner = context.request.path, context.model.id, context.caller.owner
        self._state.recent_errors.note(ErrorKind(BROKEN_OFF, _BROKEN_OFF, path, model, owner))

    def _note(self, context: RequestContext, row: UsageRow) -> None:
        if self._state.usage is not None:
            self._state.usage.add(row)
        backend: PooledBackend | None = getattr(context, "backend", None)
        provider = (backend.endpoint.engine if backend else "") or genai.NO_PROVIDER
        streamed = context.answer is not None and context.answer.streaming
        self._metrics.note(row, provider, streamed=streamed)

    def _count(
        self, context: RequestContext, began: float, response: web.StreamResponse, used: _Used
    ) -> None:
        metrics, model = self._metrics, context.model.id
        metrics.requests.labels(context.request.path, model, str(response.status)).inc()
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
    return _BROKEN_OFF if is_cut(context) else response.status


def _counted(context: RequestContext, status: int, reported: _Used) -> _Used:
    """The tokens of a request: as reported, or as limits count those of an answer that was cut."""
    client_left = status == CLIENT_LEFT
    if not hasattr(context, "outgoing") or not is_cut(context, client_left=client_left):
        return reported
    prompt, answer = used_tokens(context, client_left=client_left)
    return {"prompt_tokens": prompt, "completion_tokens": answer}


def _row(
    context: RequestContext, began: float, total_s: float, status: int, reported: _Used
) -> UsageRow:
    """The request as it ended. What no backend was sent has neither tokens nor cuts."""
    tokens = _counted(context, status, reported)
    answer, caller = context.answer, context.caller
    report = answer.report if answer is not None else None
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
        int(tokens != reported),
        None if first_at is None else max(0.0, first_at - began),
        total_s,
        context.queue_s,
        sent.cut_tokens,
        len(sent.cuts.tools_dropped),
        " ".join(sent.cuts.steps) if sent.cuts.any else "",
        context.session,
    )
