"""Stages that note spans around the pipeline's own, which know nothing of traces.

A span holds names, numbers and times. Nothing of a request's or an answer's text is in it, nor an
error's message, which may quote them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aiohttp import web

from stoker.gateway.api import error_mapping
from stoker.gateway.prompt.prepare_for_backend import PrepareForBackend
from stoker.gateway.relay.forwarder import Forward
from stoker.gateway.relay.response_stream import ResponseStream
from stoker.gateway.request_context import Guard, Handler, RequestContext, Stage
from stoker.gateway.routing.select_backend import SelectBackend
from stoker.gateway.usage import genai_conventions as genai
from stoker.gateway.usage.used_tokens import is_cut
from stoker.usage_records import CLIENT_LEFT

if TYPE_CHECKING:  # an extra that may not be installed
    from opentelemetry.trace import Span

    from stoker.gateway.tracing.otlp_traces import Traces

Attributes = dict[str, str | int | float | bool]


def with_spans(row: Sequence[Guard | Stage], traces: Traces) -> list[Guard | Stage]:
    """The steps of a row, with a span for each that takes time."""
    return [_traced(step, traces) for step in row]


def _traced(stage: Guard | Stage, traces: Traces) -> Guard | Stage:
    if isinstance(stage, SelectBackend):
        return TraceUntilItProceeds(stage, traces, "queue", _selected)
    if isinstance(stage, PrepareForBackend):
        return TraceUntilItProceeds(stage, traces, "fit", _fitted)
    return TraceBackend(stage, traces) if isinstance(stage, Forward) else stage


class TraceRequest:
    """The span of a whole request: all others are within it."""

    def __init__(self, traces: Traces) -> None:
        self._traces = traces

    async def __call__(self, context: RequestContext, proceed: Handler, /) -> web.StreamResponse:
        """Set ``context.span``."""
        request = context.request
        named: Attributes = {genai.HTTP_METHOD: request.method, genai.HTTP_ROUTE: request.path}
        name = f"{request.method} {request.path}"
        span = context.span = self._traces.request(name, request.headers, named)
        context.trace_headers = self._traces.headers_of(span)
        status = CLIENT_LEFT
        try:
            response = await proceed(context)
            status = 502 if is_cut(context) else response.status
        except ConnectionError:
            raise
        except Exception as error:
            status = error_mapping.answer_to(request, error)[0].status
            raise
        finally:
            if span.is_recording():
                span.set_attributes({genai.HTTP_STATUS: status, **_asked(context)})
                _end(span, status)
        return response


class TraceUntilItProceeds:
    """A span for what a stage does before those after it: once for each time that it calls them."""

    def __init__(
        self,
        stage: Stage,
        traces: Traces,
        name: str,
        describe: Callable[[RequestContext], Attributes],
    ) -> None:
        self._stage = stage
        self._traces = traces
        self._name = name
        self._describe = describe

    async def __call__(self, context: RequestContext, proceed: Handler, /) -> web.StreamResponse:
        """Answer as the stage does."""
        span = context.span
        if span is None or not span.is_recording():
            return await self._stage(context, proceed)
        began_ns = time.time_ns()
        has_proceeded = False

        async def proceeding(context: RequestContext) -> web.StreamResponse:
            nonlocal began_ns, has_proceeded
            has_proceeded = True
            self._traces.past(self._name, span, began_ns, self._describe(context))
            try:
                return await proceed(context)
            finally:
                began_ns = time.time_ns()

        failed: Attributes = {genai.ERROR_TYPE: str(CLIENT_LEFT)}
        try:
            response = await self._stage(context, proceeding)
            failed = {}
            return response
        except Exception as error:
            failed = {genai.ERROR_TYPE: type(error).__name__}
            raise
        finally:
            if not has_proceeded:
                self._traces.past(self._name, span, began_ns, failed)


class TraceBackend:
    """The span of the call to a backend, which gets its id, and may add spans of its own to it."""

    def __init__(self, stage: Stage, traces: Traces) -> None:
        self._stage = stage
        self._traces = traces

    async def __call__(self, context: RequestContext, proceed: Handler, /) -> web.StreamResponse:
        """Set ``context.trace_headers``, and answer as the stage does."""
        if context.span is None or not context.span.is_recording():
            return await self._stage(context, proceed)
        name = f"{genai.operation_of(context.request.path)} {context.model.id}"
        span = self._traces.call(name, context.span, _called(context))
        context.trace_headers = self._traces.headers_of(span)
        is_complete = False
        try:
            response = await self._stage(context, proceed)
            is_complete = True
            return response
        finally:
            answer = context.answer
            if answer is not None:
                _note_answer(span, answer)
            status = 502 if answer is None or answer.error is not None else answer.status
            _end(span, status if is_complete else CLIENT_LEFT)


def _asked(context: RequestContext) -> Attributes:
    """Whose request for which model it was, as far as it came."""
    found: Attributes = {"stoker.owner": context.caller.owner}
    model = getattr(context, "model", None)
    if model is not None:
        found[genai.REQUEST_MODEL] = model.id
    return found


def _selected(context: RequestContext) -> Attributes:
    return {"stoker.backend": context.backend.endpoint.url}


def _fitted(context: RequestContext) -> Attributes:
    sent = context.outgoing
    found: Attributes = {"stoker.cut_tokens": sent.cut_tokens}
    if sent.prompt_tokens is not None:
        found["stoker.counted_prompt_tokens"] = sent.prompt_tokens
    if sent.cuts.any:
        found["stoker.cut_steps"] = " ".join(sent.cuts.steps)
    return found


def _called(context: RequestContext) -> Attributes:
    endpoint = context.backend.endpoint
    url = urlsplit(endpoint.url)
    return {
        genai.OPERATION: genai.operation_of(context.request.path),
        genai.PROVIDER: endpoint.engine or genai.NO_PROVIDER,
        genai.REQUEST_MODEL: context.model.id,
        genai.REQUEST_STREAM: context.outgoing.streamed,
        genai.SERVER_ADDRESS: url.hostname or "",
        genai.SERVER_PORT: url.port or (443 if url.scheme == "https" else 80),
    }


def _note_answer(span: Span, answer: ResponseStream) -> None:
    """When its first token came, and its tokens as reported."""
    usage: Mapping[str, int] = answer.report.usage or {}
    counts = {
        genai.INPUT_TOKENS: usage.get("prompt_tokens"),
        genai.OUTPUT_TOKENS: usage.get("completion_tokens"),
        genai.CACHE_READ_TOKENS: answer.report.cached_tokens,
        genai.REASONING_TOKENS: answer.report.reasoning_tokens,
    }
    span.set_attributes({name: count for name, count in counts.items() if count is not None})
    if answer.first_byte_at is not None and answer.streaming:
        ago_s = asyncio.get_running_loop().time() - answer.first_byte_at
        span.add_event("first_token", timestamp=time.time_ns() - int(ago_s * 1e9))


def _end(span: Span, status: int) -> None:
    if status >= 400:
        span.set_attribute(genai.ERROR_TYPE, str(status))
    span.end()
