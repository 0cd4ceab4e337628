"""HTTP as aiohttp speaks it, but for what it answers where a request can't be read.

aiohttp's own answer quotes the line that it can't read, which may hold a key.
"""

from __future__ import annotations

import contextlib
import logging
from typing import Any

from aiohttp import web

from stoker.gateway.api import openai_errors
from stoker.gateway.api.request_validation import MAX_BODY_BYTES
from stoker.gateway.app import GatewayApplication
from stoker.gateway.timings import GatewayTimings


def _without_content(record: logging.LogRecord) -> bool:
    """Keep what a client sent out of the log: aiohttp quotes a head that it can't read."""
    record.exc_info = record.exc_text = None
    return True


_http_log = logging.getLogger("stoker.gateway.http")
_http_log.addFilter(_without_content)


class _ClientConnection(web.RequestHandler):
    """One connection of a client."""

    __slots__ = ()

    def handle_error(
        self,
        request: Any,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What is answered to bytes that are no request; the connection is closed after it."""
        transport = request.transport
        if isinstance(exc, ConnectionError) and (transport is None or transport.is_closing()):
            raise exc  # the client left, which is no error of this server's
        answer = super().handle_error(request, status, exc, message)
        if isinstance(answer, web.Response):
            error = openai_errors.unreadable_request() if status < 500 else openai_errors.internal()
            answer.body, answer.content_type = error.body, error.content_type
        return answer


class _HttpServer(web.Server):
    def __call__(self) -> web.RequestHandler:
        return _ClientConnection(self, loop=self._loop, **self._kwargs)

    def _make_request(
        self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any
    ) -> web.BaseRequest:
        return web.BaseRequest(
            message, payload, protocol, writer, task, self._loop, client_max_size=MAX_BODY_BYTES
        )


class GatewayRunner(web.BaseRunner):
    """What runs the application: a client that leaves ends its handler, and one that sends no whole
    head within ``head_s`` is dropped.
    """

    __slots__ = ("_application", "_background", "_head_s")

    def __init__(self, application: GatewayApplication, timings: GatewayTimings) -> None:
        super().__init__(shutdown_timeout=timings.shutdown_s)
        self._application = application
        self._head_s = timings.head_s
        self._background = contextlib.AsyncExitStack()

    async def shutdown(self) -> None:
        """Requests that are under way are waited for by the server."""

    async def _make_server(self) -> web.Server:
        await self._background.enter_async_context(self._application.running())
        return _HttpServer(
            self._application.answer,
            handler_cancellation=True,
            access_log=None,
            logger=_http_log,
            keepalive_timeout=self._head_s,
        )

    async def _cleanup_server(self) -> None:
        await self._background.aclose()
