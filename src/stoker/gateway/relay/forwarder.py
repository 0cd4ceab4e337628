"""One request's way to a backend and its answer's way back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

from stoker import engines
from stoker.gateway.api import openai_errors, request_validation
from stoker.gateway.relay.backend_connection import BackendGoneError
from stoker.gateway.relay.response_stream import ResponseStream, Rewrite
from stoker.gateway.routing.backend_pool import (
    BackendSlot,
    BusyError,
    NoBackendError,
    Pool,
    Upstream,
)
from stoker.gateway.routing.priority import HEADER, Utility
from stoker.gateway.usage.metrics import Metrics

_log = logging.getLogger("stoker.gateway")

#: A client that has not read the end of its answer after this long is not going to.
LINGER_S = 120.0
#: A backend that answers so can't take requests now.
_UNWELL = frozenset({502, 503, 504})
#: Answers after which another backend may do better. A 500 may be the request's own doing, so it
#: says nothing of the backend's health.
_RETRIED = _UNWELL | {429, 500}
_RELAYED_HEADERS = (b"x-request-id", b"retry-after")
_TRIES = 3
#: A request's key for "its client was sent the head of an answer".
BEGUN = web.RequestKey("begun", bool)
#: A request's key for the name of the holder of its key.
CLIENT = web.RequestKey("client", str)


@dataclass(frozen=True, slots=True)
class BackendRequest:
    """A request that is ready to be sent."""

    model: str
    client: str
    path: str
    body: Mapping[str, Any]
    streamed: bool = False
    #: The client asked for a usage event of its own.
    wants_usage: bool = True
    rewrite: Rewrite | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    #: Turns go before it.
    utility: Utility | None = None


class Exchange:
    """Sends requests to the pool's backends and streams the answers back."""

    def __init__(self, pool: Pool, metrics: Metrics) -> None:
        self._pool = pool
        self._metrics = metrics
        self._live: set[ResponseStream] = set()

    async def send(
        self, request: web.Request, ask: BackendRequest
    ) -> tuple[web.StreamResponse, ResponseStream | None]:
        """Answer ``request`` with a backend's answer to ``ask``.

        Another backend is tried only while the client has been sent nothing. Raises
        ``BadRequestError`` where the request can't be written.
        """
        payload = request_validation.written(ask.body)
        tried: list[Upstream] = []
        while True:
            try:
                place = await self._place(ask, tried)
            except NoBackendError:
                return openai_errors.not_ready(), None
            except BusyError as busy:
                _log.warning("all backends of %s are busy", ask.model)
                return openai_errors.busy(busy.retry_after_s), None
            except asyncio.CancelledError:
                self._note_left("in the queue")
                raise
            upstream = place.upstream
            try:
                answer = await self._begin(upstream, ask, payload)
                self._judge(upstream, answer)
                if not self._wants_another(ask, answer, upstream, tried):
                    return await self._relay(request, ask, answer, upstream), answer
            finally:
                self._pool.release(place)
            tried.append(upstream)

    async def _place(self, ask: BackendRequest, tried: list[Upstream]) -> BackendSlot:
        return await self._pool.acquire(
            ask.model, ask.client, ask.body, avoid=tried, utility=ask.utility
        )

    async def keep_alive(self, idle_s: float, silence_s: float) -> None:
        """Once in a while, write a comment to every stream that has been silent for ``idle_s``.

        A prompt of 15,000 tokens takes minutes on a CPU; clients give up on silence. A backend
        that was silent for ``silence_s`` is given up itself.
        """
        while True:
            await asyncio.sleep(min(idle_s, silence_s) / 3)
            now = asyncio.get_running_loop().time()
            for answer in list(self._live):
                _keep_alive(answer, now, idle_s, silence_s)

    async def _begin(
        self, upstream: Upstream, ask: BackendRequest, payload: bytes
    ) -> ResponseStream:
        """The answer, when there is something of it to pass on."""
        while True:
            try:
                connection = await upstream.connections.take()
            except BackendGoneError as error:
                return ResponseStream.none(error)
            answer = ResponseStream(
                connection,
                streamed=ask.streamed,
                wants_usage=ask.wants_usage,
                rewrite=ask.rewrite,
            )
            self._live.add(answer)
            headers = {HEADER: "utility"} if ask.utility and _orders(upstream) else {}
            connection.send(upstream.connections.request(ask.path, payload, headers), answer)
            try:
                await answer.begun
            except asyncio.CancelledError:
                self._drop(answer)
                raise
            stale = connection.reused and answer.error is not None and not answer.status
            if not stale:
                return answer
            # The backend had closed an idle connection: that says nothing of its health.
            self._live.discard(answer)

    def _judge(self, upstream: Upstream, answer: ResponseStream) -> None:
        """What the answer's beginning, or its lack, says of the backend's health."""
        if answer.error is not None:
            self._metrics.faults.labels("gone").inc()
            _log.warning("backend %s: %s", upstream.backend.url, answer.error)
        elif answer.status >= 500:
            _log.warning("backend %s answered %d", upstream.backend.url, answer.status)
        if answer.error is not None or answer.status in _UNWELL:
            upstream.failed()
        elif answer.status:
            upstream.succeeded()

    def _wants_another(
        self, ask: BackendRequest, answer: ResponseStream, upstream: Upstream, tried: list[Upstream]
    ) -> bool:
        """Whether this backend failed before it answered anything, and another may do."""
        failed = answer.error is not None or answer.status in _RETRIED
        began = answer.streaming or (answer.is_events and answer.first_byte_at is not None)
        others = [u for u in self._pool.serving(ask.model) if u not in (*tried, upstream)]
        if not failed or began or not others or len(tried) + 1 >= _TRIES:
            return False
        _log.info("trying another backend than %s", upstream.backend.url)
        self._live.discard(answer)
        return True

    async def _relay(
        self, request: web.Request, ask: BackendRequest, answer: ResponseStream, upstream: Upstream
    ) -> web.StreamResponse:
        try:
            if answer.streaming:
                return await self._stream(request, ask, answer)
            return self._whole(ask, answer)
        except (asyncio.CancelledError, ConnectionError):
            self._drop(answer)
            raise
        finally:
            self._live.discard(answer)
            self._note_faults(answer, upstream)

    async def _stream(
        self, request: web.Request, ask: BackendRequest, answer: ResponseStream
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={**ask.headers, **_relayed(answer)})
        response.content_type = "text/event-stream"
        response.headers["Cache-Control"] = "no-cache"
        response.headers["X-Accel-Buffering"] = "no"
        request[BEGUN] = True
        await response.prepare(request)
        await response.write(answer.take_first())
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("the client left")
        answer.attach(transport, chunked=request.version >= (1, 1))
        await answer.ended
        await _finish(response, transport)
        return response

    def _whole(self, ask: BackendRequest, answer: ResponseStream) -> web.Response:
        headers = {**ask.headers, **_relayed(answer)}
        if answer.error is not None and not answer.status:
            return openai_errors.not_ready()
        if answer.error is not None:
            return openai_errors.backend_failed()
        if answer.status != 200:
            return openai_errors.relayed(answer.status, answer.whole, headers)
        return self._good(ask, answer, headers)

    def _good(
        self, ask: BackendRequest, answer: ResponseStream, headers: dict[str, str]
    ) -> web.Response:
        try:
            value = orjson.loads(answer.whole)
        except orjson.JSONDecodeError:
            self._metrics.faults.labels("answer is not JSON").inc()
            _log.warning("a backend answered %d with a body that is not JSON", answer.status)
            return openai_errors.backend_failed()
        if isinstance(value, dict) and isinstance(value.get("usage"), dict):
            answer.note_usage(value)
        body = answer.whole
        if ask.rewrite is not None and isinstance(value, dict):
            body = orjson.dumps(answer.rewritten(value))
        return web.Response(body=body, content_type="application/json", headers=headers)

    def _drop(self, answer: ResponseStream) -> None:
        """The client left: stop the backend's work at once."""
        answer.abort()
        self._live.discard(answer)
        self._note_left("before its answer was complete")

    def _note_left(self, when: str) -> None:
        self._metrics.left.inc()
        _log.info("a client left %s", when)

    def _note_faults(self, answer: ResponseStream, upstream: Upstream) -> None:
        if answer.error is not None and answer.streaming:
            upstream.failed()
        for fault in answer.faults:
            self._metrics.faults.labels(fault).inc()
            _log.warning("backend %s: the answer: %s", upstream.backend.url, fault)


def _orders(upstream: Upstream) -> bool:
    """Whether it lets turns go first itself, and is to know what its client said."""
    return engines.lookup(upstream.backend.engine).behind is not None


async def _finish(response: web.StreamResponse, transport: asyncio.WriteTransport) -> None:
    """End the client's stream, which waits for a slow client, but not for ever."""
    if not transport.get_write_buffer_size():
        await response.write_eof()
        return
    try:
        await asyncio.wait_for(response.write_eof(), LINGER_S)
    except asyncio.TimeoutError:
        transport.abort()
        raise ConnectionResetError("the client does not read") from None


def _keep_alive(answer: ResponseStream, now: float, idle_s: float, silence_s: float) -> None:
    if answer.heard:
        answer.heard, answer.silent_since = False, now
    if now - answer.silent_since >= silence_s:
        answer.failed(BackendGoneError(f"it was silent for {silence_s:.0f} s"))
        answer.abort()
    elif answer.streamed and now - answer.last_write_at >= idle_s:
        if answer.streaming:
            answer.ping()
        else:
            answer.begin_early()


def observe_first_byte(metrics: Metrics, model: str, answer: ResponseStream, began: float) -> None:
    """Note the time to the first byte, both moments on the event loop's clock."""
    if answer.first_byte_at is not None:
        metrics.ttft.labels(model).observe(max(0.0, answer.first_byte_at - began))


def _relayed(answer: ResponseStream) -> dict[str, str]:
    return {
        name.decode(): answer.headers[name].decode("latin-1")
        for name in _RELAYED_HEADERS
        if name in answer.headers
    }
