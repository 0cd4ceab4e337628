"""HTTP as aiohttp speaks it, but for what it answers where a request can't be read.

aiohttp's own answer quotes the line that it can't read, which may hold a key.
"""

from __future__ import annotations

import logging
from typing import Any

from aiohttp import web

from stoker.gateway.api import openai_errors
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
        answer = super().handle_error(request, status, exc, message)
        if isinstance(answer, web.Response):
            error = openai_errors.unreadable_request() if status < 500 else openai_errors.internal()
            answer.body, answer.content_type = error.body, error.content_type
        return answer


class _HttpServer(web.Server):
    def __call__(self) -> web.RequestHandler:
        return _ClientConnection(self, loop=self._loop, **self._kwargs)


class GatewayRunner(web.AppRunner):
    """What runs the application: a client that leaves ends its handler, and one that sends no whole
    head within ``head_s`` is dropped.
    """

    def __init__(self, app: web.Application, timings: GatewayTimings) -> None:
        super().__init__(
            app,
            handler_cancellation=True,
            access_log=None,
            logger=_http_log,
            keepalive_timeout=timings.head_s,
            shutdown_timeout=timings.shutdown_s,
        )

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return _HttpServer(
            made.request_handler, request_factory=made.request_factory, **self._kwargs
        )
