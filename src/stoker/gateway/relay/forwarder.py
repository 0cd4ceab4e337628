"""The stage that sends a request to its backend, and the answer back to the client."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

import orjson
from aiohttp import web

from stoker.engines import refusals
from stoker.gateway.api import openai_errors
from stoker.gateway.api.json_answers import JsonAnswer
from stoker.gateway.client_apis.client_api import AnswerForm, Asked
from stoker.gateway.gateway_state import GatewayState
from stoker.gateway.prompt.conversation_keys import conversation_id
from stoker.gateway.relay.backend_connection import BackendGoneError
from stoker.gateway.relay.event_editor import AsItIs, Rewrite
from stoker.gateway.relay.legacy_calls import LegacyCalls
from stoker.gateway.relay.refused_fields import Path
from stoker.gateway.relay.response_stream import ResponseStream
from stoker.gateway.relay.tool_call_rewriter import TextCalls
from stoker.gateway.request_context import Handler, RequestContext
from stoker.gateway.routing.pooled_backend import PooledBackend
from stoker.gateway.routing.priority import HEADER
from stoker.gateway.tracing.trace_context import trace_headers

_log = logging.getLogger("stoker.gateway")

#: A backend that answers so can't take requests now.
_UNWELL = frozenset({502, 503, 504})
#: Answers after which another backend may do better. A 500 may be the request's own doing, so it
#: is no sign of the backend's health.
_RETRIED = _UNWELL | {429, 500}
#: With these, servers refuse fields that they do not know. Those with 500 name them, as Python does
#: for an unexpected argument.
_REFUSES_FIELDS = frozenset({400, 422, 500, 501})
#: The same, where the refusal may be of a field that it does not name.
_MAY_REFUSE_FIELDS = frozenset({400, 422})
#: A server that refuses several fields names them one by one.
_MOST_REFUSALS = 8
_RELAYED_HEADERS = frozenset({b"x-request-id", b"retry-after"})


class Forward:
    """Streams the answer of ``context.backend`` to the client, or answers with the whole of it."""

    def __init__(self, state: GatewayState) -> None:
        self._metrics = state.metrics
        self._live = state.live_streams
        self._linger_s = state.timings.linger_s

    async def __call__(self, context: RequestContext, _: Handler, /) -> web.StreamResponse:
        """Set ``context.answer`` and ``context.may_retry``. The last stage: it never proceeds."""
        answer = await self._begin(context)
        if answer.status != 200:
            answer = await self._without_refused_fields(context, answer)
        context.answer = answer
        if answer.status == 200 and context.outgoing.added:
            context.backend.taken_fields |= context.outgoing.added
        self._judge(context.backend, answer)
        context.may_retry = _failed_before_its_first_byte(answer)
        try:
            if answer.streaming:
                return await self._stream(context, answer)
            return self._whole(context, answer)
        except (asyncio.CancelledError, ConnectionError):
            self._drop(answer)
            raise
        finally:
            self._live.discard(answer)
            self._note_faults(answer, context.backend)

    async def _without_refused_fields(
        self, context: RequestContext, answer: ResponseStream
    ) -> ResponseStream:
        """The answer, asked for again without each field that the backend refuses needlessly."""
        backend, left_out = context.backend, frozenset[Path]()
        for _ in range(_MOST_REFUSALS):
            refused = _refused_fields(context, answer)
            if not refused:
                break
            left_out |= refused
            self._live.discard(answer)
            context.outgoing = context.outgoing.without(refused)
            answer = await self._begin(context)
        if answer.status == 200 and left_out:
            backend.refused_fields |= left_out
            names = ", ".join(".".join(path) for path in sorted(left_out))
            _log.warning("backend %s refuses %s: left out from now on", backend.endpoint.url, names)
        return answer

    async def _begin(self, context: RequestContext) -> ResponseStream:
        """The answer, when there is something of it to pass on."""
        connections, ask = context.backend.connections, context.outgoing
        form = _answer_form(context)
        sent = connections.request(ask.path or context.request.path, ask.payload, _headers(context))
        while True:
            try:
                connection = await connections.take()
            except BackendGoneError as error:
                return ResponseStream.none(error)
            answer = ResponseStream(
                connection,
                streamed=ask.streamed,
                wants_usage=ask.wants_usage,
                rewrite=_rewrite(context),
                form=ask.form,
                api=form.stream(_asked(context)) if form and ask.streamed else None,
                choices=ask.choices,
                progress_key=ask.progress_key,
                shows_progress=ask.shows_progress,
                on_first_byte=context.first_token.over if context.first_token else None,
                native=ask.native,
            )
            self._live.add(answer)
            connection.send(sent, answer)
            try:
                await answer.begun
            except asyncio.CancelledError:
                self._drop(answer)
                raise
            stale = connection.reused and answer.error is not None and not answer.status
            if not stale:
                return answer
            # The backend had closed an idle connection: that is no sign of its health.
            self._live.discard(answer)

    def _judge(self, backend: PooledBackend, answer: ResponseStream) -> None:
        """Take the answer's beginning, or its lack, as a sign of the backend's health."""
        if answer.error is not None:
            self._metrics.faults.labels("gone").inc()
            _log.warning("backend %s: %s", backend.endpoint.url, answer.error)
        elif answer.status >= 500:
            _log.warning("backend %s answered %d", backend.endpoint.url, answer.status)
        if answer.error is not None or answer.status in _UNWELL:
            backend.failed()
        elif answer.status:
            backend.succeeded()

    async def _stream(self, context: RequestContext, answer: ResponseStream) -> web.StreamResponse:
        request = context.request
        headers = {**context.outgoing.headers, **_relayed(answer), **context.answer_headers}
        response = web.StreamResponse(headers=headers)
        response.content_type = "text/event-stream"
        response.headers["Cache-Control"] = "no-cache"
        response.headers["X-Accel-Buffering"] = "no"
        context.head_sent = True
        await response.prepare(request)
        await response.write(answer.writer.take_pending())
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("the client left")
        answer.writer.attach(transport, chunked=request.version >= (1, 1))
        await answer.ended
        await self._finish(response, transport)
        return response

    async def _finish(
        self, response: web.StreamResponse, transport: asyncio.WriteTransport
    ) -> None:
        """End the client's stream, which waits for a slow client, but not for ever."""
        if not transport.get_write_buffer_size():
            await response.write_eof()
            return
        try:
            await asyncio.wait_for(response.write_eof(), self._linger_s)
        except asyncio.TimeoutError:
            transport.abort()
            raise ConnectionResetError("the client does not read") from None

    def _whole(self, context: RequestContext, answer: ResponseStream) -> web.Response:
        ask = context.outgoing
        headers = {**ask.headers, **_relayed(answer)}
        if answer.error is not None and not answer.status:
            return openai_errors.not_ready()
        if answer.error is not None:
            return openai_errors.backend_failed()
        if answer.status != 200:
            _note_refusal(context.backend, answer)
            if answer.status == 404 and answer.refusal.is_no_path:
                return openai_errors.no_such_path(ask.path or context.request.path)
            return openai_errors.relayed(answer.status, answer.refusal, headers)
        return self._good(context, answer, headers)

    def _good(
        self, context: RequestContext, answer: ResponseStream, headers: dict[str, str]
    ) -> web.Response:
        try:
            value, body = answer.collected.in_normal_form()
        except ValueError:
            self._metrics.faults.labels("answer is not JSON").inc()
            _log.warning("a backend answered %d with a body that is not JSON", answer.status)
            return openai_errors.unreadable()
        if isinstance(value, dict):
            is_none = context.outgoing.streamed and _has_no_choices(context, value)
            refusal = refusals.of_value(value) if is_none else refusals.of_answer(value)
            if refusal is not None:
                return openai_errors.relayed(502, refusal, headers)
            if is_none:
                return openai_errors.no_choices()
            answer.report.note(value)
            form = _answer_form(context)
            if form:
                body = orjson.dumps(form.whole(value, _asked(context)))
        return JsonAnswer(body, headers=headers)

    def _drop(self, answer: ResponseStream) -> None:
        """The client left: stop the backend's work at once."""
        answer.abort()
        self._live.discard(answer)
        self._metrics.left.inc()
        _log.info("a client left before its answer was complete")

    def _note_faults(self, answer: ResponseStream, backend: PooledBackend) -> None:
        if answer.error is not None and answer.streaming:
            backend.failed()
        for fault in answer.faults:
            self._metrics.faults.labels(fault).inc()
            _log.warning("backend %s: the answer: %s", backend.endpoint.url, fault)


def _has_no_choices(context: RequestContext, value: Mapping[str, Any]) -> bool:
    """Whether a body in place of events is no answer of a chat or a completion."""
    return context.outgoing.form is None and not isinstance(value.get("choices"), list)


def _rewrite(context: RequestContext) -> Rewrite | None:
    rewrite = context.outgoing.rewrite
    if context.outgoing.answers:
        return rewrite or AsItIs()
    if context.rules.api:  # it reads answers in the normal form only
        return rewrite or TextCalls(())
    return LegacyCalls(rewrite) if rewrite is not None and context.legacy_calls else rewrite


def _answer_form(context: RequestContext) -> AnswerForm | None:
    """What makes the backend's answer one of the client's API; ``None`` where it is one."""
    return context.outgoing.answers or context.rules.api


def _asked(context: RequestContext) -> Asked:
    body = context.client_body if context.rules.api else context.body
    return Asked(body, context.model.id, context.outgoing.prompt_tokens)


def _refused_fields(context: RequestContext, answer: ResponseStream) -> frozenset[Path]:
    """What is worth leaving out after this answer; nothing where it is no such refusal."""
    if answer.streaming or answer.error is not None or answer.status not in _REFUSES_FIELDS:
        return frozenset()
    named = context.outgoing.refused_in(answer.whole)
    if named or answer.status not in _MAY_REFUSE_FIELDS:
        return named
    # What the gateway adds must not be what makes a request fail.
    return context.outgoing.added - context.backend.taken_fields


def _note_refusal(backend: PooledBackend, answer: ResponseStream) -> None:
    """Log the status and the kind alone: the server's words may quote the prompt."""
    refusal, url = answer.refusal, backend.endpoint.url
    if answer.status < 400 or answer.status == 407:
        _log.warning("backend %s: %s", url, refusal.message)
    elif answer.status == 401:
        _log.warning("backend %s: %s (401)", url, backend.endpoint.refused_key)
    else:
        kind = f" ({refusal.loggable})" if refusal.loggable else ""
        _log.info("backend %s refused with status %d%s", url, answer.status, kind)


def _failed_before_its_first_byte(answer: ResponseStream) -> bool:
    """Whether the backend failed, and the client was sent nothing yet."""
    failed = answer.error is not None or answer.status in _RETRIED
    began = answer.streaming or (answer.is_events and answer.first_byte_at is not None)
    return failed and not began


def _headers(context: RequestContext) -> dict[str, str]:
    """What a backend gets besides the body: another gateway orders its own requests, and keeps the
    requests of a session together, as a router of engines does; engines add their spans to the
    trace. No other header of a client is sent on.
    """
    asked, traced = context.request.headers, context.trace_headers
    engine = context.backend.engine
    sessions = context.session_headers
    found = {**sessions, **(trace_headers(asked) if traced is None else traced)}
    messages = context.body.get("messages")
    if engine.session_header and isinstance(messages, list):
        session = next(iter(sessions.values()), None) or conversation_id(messages)
        found.setdefault(engine.session_header, session)
    orders = engine.behind is not None
    kind = "completion" if context.is_completion else "utility" if context.utility else None
    return {**found, HEADER: kind} if kind and orders else found


def _relayed(answer: ResponseStream) -> dict[str, str]:
    headers = answer.headers
    found = _RELAYED_HEADERS & headers.keys()
    return {name.decode(): headers[name].decode("latin-1") for name in found} if found else {}
