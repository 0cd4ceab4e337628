"""A relay before a real server that remembers what was asked and when clients left."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson
from aiohttp import web

Body = dict[str, Any]

#: Headers that belong to one connection, not to the message.
_HOP = {"host", "content-length", "transfer-encoding", "connection", "content-encoding"}


@dataclass
class Asked:
    """One request that went through."""

    path: str
    body: dict[str, Any] = field(default_factory=dict)
    status: int = 0
    answer: bytes = b""
    left: bool = False
    done: bool = False

    def text(self) -> str:
        """The text of a streamed answer, as far as it has come."""
        lines = [line[6:] for line in self.answer.split(b"\n") if line.startswith(b"data: {")]
        choices = [choice for line in lines for choice in orjson.loads(line).get("choices", [])]
        return "".join(choice["delta"].get("content") or "" for choice in choices)


class Proxy:
    """Relays to ``upstream`` from a thread of its own, on a port of its own.

    ``change`` may write a chat's body anew: what a small model won't do of itself is asked for.
    """

    def __init__(self, upstream: str, change: Callable[[Body], Body] | None = None) -> None:
        self.upstream = upstream
        self._change = change
        self.asked: list[Asked] = []
        self.url = ""
        self._loop = asyncio.new_event_loop()
        self._runner: web.AppRunner | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Proxy:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def chats(self) -> list[Asked]:
        """The chat completions so far, in the order in which they came."""
        return [asked for asked in self.asked if asked.path == "/v1/chat/completions"]

    async def _start(self) -> None:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._relay)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        self._client = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None))

    async def _close(self) -> None:
        await self._client.close()
        if self._runner:
            await self._runner.cleanup()

    async def _relay(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        asked = Asked(request.path, orjson.loads(raw) if raw else {})
        self.asked.append(asked)
        if self._change and request.path == "/v1/chat/completions":
            raw = orjson.dumps(self._change(asked.body))
        headers = {k: v for k, v in request.headers.items() if k.lower() not in _HOP}
        url = self.upstream + request.path_qs
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
