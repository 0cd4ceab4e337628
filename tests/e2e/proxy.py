"""A relay in front of a real server that records requests, answers and clients that left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson
from aiohttp import web
from tests.support.background_server import BackgroundServer

Body = dict[str, Any]

#: Headers that belong to one connection, not to the message.
_HOP = {"host", "content-length", "transfer-encoding", "connection", "content-encoding"}


@dataclass
class Asked:
    """One relayed request."""

    path: str
    body: dict[str, Any] = field(default_factory=dict)
    status: int = 0
    answer: bytes = b""
    left: bool = False
    done: bool = False

    def text(self) -> str:
        """The text of a streamed answer so far."""
        lines = [line[6:] for line in self.answer.split(b"\n") if line.startswith(b"data: {")]
        choices = [choice for line in lines for choice in orjson.loads(line).get("choices", [])]
        return "".join(choice["delta"].get("content") or "" for choice in choices)


class Proxy(BackgroundServer):
    """Relays requests to the server at ``target``.

    ``change`` may rewrite a chat's body, to ask for what a small model does not do by itself.
    """

    def __init__(self, target: str, change: Callable[[Body], Body] | None = None) -> None:
        super().__init__()
        self._target = target
        self._change = change
        self.asked: list[Asked] = []

    def chats(self) -> list[Asked]:
        """The chat completions so far, in order of arrival."""
        return [asked for asked in self.asked if asked.path == "/v1/chat/completions"]

    def app(self) -> web.Application:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._relay)
        app.cleanup_ctx.append(self._with_client)
        return app

    async def _with_client(self, _: web.Application) -> AsyncIterator[None]:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as self._client:
            yield

    async def _relay(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        asked = Asked(request.path, orjson.loads(raw) if raw else {})
        self.asked.append(asked)
        if self._change and request.path == "/v1/chat/completions":
            raw = orjson.dumps(self._change(asked.body))
        headers = {k: v for k, v in request.headers.items() if k.lower() not in _HOP}
        url = self._target + request.path_qs
        try:
            async with self._client.request(
                request.method, url, data=raw or None, headers=headers
            ) as answer:
                asked.status = answer.status
                kept = {k: v for k, v in answer.headers.items() if k.lower() not in _HOP}
                response = web.StreamResponse(status=answer.status, headers=kept)
                await response.prepare(request)
                async for chunk in answer.content.iter_any():
                    asked.answer += chunk
                    await response.write(chunk)
                await response.write_eof()
                asked.done = True
                return response
        except aiohttp.ClientConnectorError:
            return web.Response(status=502)
        except (asyncio.CancelledError, ConnectionResetError):
            asked.left = True
            raise
