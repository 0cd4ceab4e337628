"""Connections to a backend that hand its bytes on without a task between read and write.

An HTTP client library wakes a task for every chunk; measured (``benchmarks/gateway.py``), that
alone costs more than all of a relay's other work. Here the socket's read callback hands each piece
of the answer straight to a ``Sink``. Parsing HTTP is httptools' work, pooling is a list.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

import httptools

from stoker.engines import Backend, connection_errors

#: A backend on the same network that accepts no connection within this time is down.
CONNECT_S = 5.0
#: A head larger than this is no answer of a model's server.
_MAX_HEAD_BYTES = 1024 * 1024
#: A request of no more bytes is sent as one piece: to copy it costs less than to send several.
_JOINED_BYTES = 65_536
#: Idle connections kept to one backend; more are closed after use.
_KEPT = 64


class BackendGoneError(Exception):
    """The backend refused the connection, broke off, or sent something that is not HTTP."""


class Sink(Protocol):
    """Where an answer goes: ``head`` once, ``body`` for each piece, then ``done`` or ``failed``."""

    def head(self, status: int, headers: Mapping[bytes, bytes]) -> None:
        """The answer begins."""

    def body(self, data: bytes) -> None:
        """A piece of its body, with the transfer's framing taken off."""

    def done(self) -> None:
        """The answer is complete."""

    def failed(self, error: BackendGoneError) -> None:
        """The answer broke off, or never began."""


class BackendConnection(asyncio.Protocol):
    """One connection to a backend; it carries one request at a time."""

    def __init__(self, pool: BackendConnections) -> None:
        self._pool = pool
        self._transport: asyncio.Transport | None = None
        self._sink: Sink | None = None
        #: Of all answers on this connection, one after the other.
        self._parser: Any = httptools.HttpResponseParser(self)
        self._headers: dict[bytes, bytes] = {}
        self._reusable = True
        #: The pool kept it from an earlier request, so its end may have passed unnoticed.
        self.reused = False

    def send(self, request: Sequence[bytes], sink: Sink) -> None:
        """Send a whole request, which comes in pieces; the answer goes to ``sink``."""
        self._sink = sink
        self._headers = {}
        self._head_bytes = 0
        self._headers_ended = False
        if self._transport is None or self._transport.is_closing():
            self._fail("the connection was closed")
            return
        self._transport.writelines(request)

    def abort(self) -> None:
        """Drop the connection, on which the backend stops its work. Safe to call at any time."""
        self._sink = None
        if self._transport is not None:
            self._transport.abort()

    def pause(self) -> None:
        """Read no more for now: the client is slow, and the backend must wait for it."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    @property
    def usable(self) -> bool:
        """Whether another request can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    # asyncio's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is open."""
        self._transport = transport  # type: ignore[assignment]  # a stream transport, as asked

    def data_received(self, data: bytes) -> None:
        """Bytes came in; httptools calls the ``on_`` methods for what they mean."""
        if self._sink is None:
            self.abort()  # a backend that sends data unasked can't be trusted with another request
            return
        if not self._headers_ended:
            self._head_bytes += len(data)
            if self._head_bytes > _MAX_HEAD_BYTES:
                self._fail("its answer's head is larger than 1 MB")
                self.abort()
                return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fail("it answered something that is not HTTP")
            self.abort()

    def eof_received(self) -> bool:
        """The backend sends no more: close the connection, which ends in ``connection_lost``."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection ended; in the middle of an answer that is a failure."""
        self._pool.forget(self)
        sink = self._sink
        if sink is None:
            return
        if exc is None and self._headers_ended and self._ends_with_connection:
            self._sink = None
            sink.done()
            return
        self._fail("it broke off")

    # httptools' callbacks

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        """The head is whole. An interim answer (100 to 199) is not the answer."""
        if self._parser.get_status_code() < 200:
            self._headers = {}
            return
        self._headers_ended = True
        self._reusable = bool(self._parser.should_keep_alive())
        framed = b"content-length" in self._headers or b"transfer-encoding" in self._headers
        self._ends_with_connection = not framed
        if self._sink is not None:
            self._sink.head(self._parser.get_status_code(), self._headers)

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        if self._sink is not None:
            self._sink.body(data)

    def on_message_complete(self) -> None:
        """The answer is whole: give the connection back first, so that it can be used at once."""
        if not self._headers_ended:
            return
        sink, self._sink = self._sink, None
        if sink is None:
            return
        self._pool.give_back(self, keep=self._reusable)
        sink.done()

    _headers_ended = False
    _head_bytes = 0
    _ends_with_connection = False

    def _fail(self, why: str) -> None:
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.failed(BackendGoneError(why))


@dataclass(frozen=True, slots=True)
class _Address:
    host: str
    port: int
    tls: ssl.SSLContext | None
    prefix: str
    head: str


class BackendConnections:
    """The pooled connections to one backend."""

    def __init__(self, backend: Backend) -> None:
        self._address = _address(backend)
        self._idle: list[BackendConnection] = []
        self._closed = False

    async def take(self) -> BackendConnection:
        """A connection that is ready to send. Raises ``BackendGoneError`` where none opens."""
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                connection.reused = True
                return connection
        address = self._address
        try:
            _, connection = await asyncio.wait_for(
                asyncio.get_running_loop().create_connection(
                    lambda: BackendConnection(self), address.host, address.port, ssl=address.tls
                ),
                CONNECT_S,
            )
        except (OSError, asyncio.TimeoutError) as error:
            raise BackendGoneError(str(connection_errors.explain(error))) from error
        return connection

    def request(
        self, path: str, body: Sequence[bytes], headers: Mapping[str, str]
    ) -> Sequence[bytes]:
        """A POST of JSON to ``path`` of this backend, with these headers too, in pieces."""
        size = sum(map(len, body))
        more = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        head = (
            f"POST {self._address.prefix}{path} HTTP/1.1\r\n{self._address.head}{more}"
            f"Content-Type: application/json\r\nContent-Length: {size}\r\n\r\n"
        ).encode("latin-1")
        return [head, *body] if size > _JOINED_BYTES else [b"".join((head, *body))]

    def give_back(self, connection: BackendConnection, *, keep: bool) -> None:
        """The connection's request is over."""
        if keep and connection.usable and not self._closed and len(self._idle) < _KEPT:
            self._idle.append(connection)
        else:
            connection.abort()

    def forget(self, connection: BackendConnection) -> None:
        """The connection ended."""
        if connection in self._idle:
            self._idle.remove(connection)

    def close(self) -> None:
        """Drop every connection that carries no request; the others end with theirs."""
        self._closed = True
        for connection in list(self._idle):
            connection.abort()
        self._idle.clear()


def _address(backend: Backend) -> _Address:
    url = urlsplit(backend.url)
    tls = ssl.create_default_context() if url.scheme == "https" else None
    host = url.hostname or "127.0.0.1"
    port = url.port or (443 if tls else 80)
    lines = {"Host": url.netloc.rpartition("@")[2], "Accept": "*/*", **backend.headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return _Address(host, port, tls, url.path.rstrip("/"), head)
