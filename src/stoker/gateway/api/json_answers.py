"""Answers in JSON, which is what the gateway sends whole."""

from __future__ import annotations

import time
from collections.abc import Mapping
from email.utils import formatdate
from functools import lru_cache
from typing import Any

import orjson
from aiohttp import web
from aiohttp.http import SERVER_SOFTWARE


class JsonAnswer(web.Response):
    """JSON that is sent with its head in one piece, without the steps that other bodies need."""

    def __init__(
        self, body: bytes, *, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(body=body, status=status, headers=headers, content_type="application/json")
        self._asked: web.BaseRequest | None = None

    @property
    def keep_alive(self) -> bool | None:
        """Whether its client may ask again on the same connection."""
        return self._asked.keep_alive if self._asked is not None else None

    async def prepare(self, request: web.BaseRequest) -> None:
        """Take what it is an answer to."""
        self._asked = request

    async def write_eof(self, data: bytes = b"") -> None:
        """Send it. Raises ``ConnectionResetError`` where the client has left."""
        request = self._asked
        transport = request.transport if request is not None else None
        if request is None or transport is None or transport.is_closing():
            raise ConnectionResetError("the client left")
        body = self.body
        if not isinstance(body, bytes):
            raise TypeError("the body of a JSON answer is bytes")
        head = self._head(request, len(body))
        transport.write(head if request.method == "HEAD" else head + body)
        if transport.get_write_buffer_size():  # a client that reads slowly gets no other answer
            await request.writer.drain()

    def _head(self, request: web.BaseRequest, length: int) -> bytes:
        major, minor = request.version
        fields = [f"{name}: {value}" for name, value in self.headers.items()]
        if "Connection" not in self.headers:
            if not request.keep_alive:
                fields.append("Connection: close")
            elif minor == 0:
                fields.append("Connection: keep-alive")
        written = "".join(fields)
        if "\n" in written or "\r" in written:  # it would begin another header
            raise ValueError("a header of an answer holds a line end")
        status = f"HTTP/{major}.{minor} {self.status} {self.reason}"
        ends = _of_second(int(time.time())), f"Content-Length: {length}\r\n\r\n"
        # A page's name is given back as it came: aiohttp reads what is no UTF-8 like this.
        return "\r\n".join((status, *fields, *ends)).encode("utf-8", "surrogateescape")


@lru_cache(maxsize=1)
def _of_second(second: int) -> str:
    """The headers that are the same in every answer of a second."""
    return f"Server: {SERVER_SOFTWARE}\r\nDate: {formatdate(second, usegmt=True)}"


def ok(value: Any) -> web.Response:
    """200 with this value as JSON."""
    return JsonAnswer(orjson.dumps(value))
