"""A minimal relay on aiohttp: read the request, forward it, and pass the chunks on."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import relay_server
from aiohttp import web


def app(backend: str) -> web.Application:
    """A relay in front of ``backend``, without keys, parsing or metrics."""
    sessions: list[aiohttp.ClientSession] = []

    async def session(_: web.Application) -> AsyncIterator[None]:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as http:
            sessions.append(http)
            yield

    async def relay(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        headers = {"Content-Type": "application/json"}
        async with sessions[0].request(
            request.method, backend + request.path, data=body, headers=headers
        ) as answer:
            response = web.StreamResponse(status=answer.status)
            response.headers["Content-Type"] = answer.headers["Content-Type"]
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            await response.write_eof()
            return response

    application = web.Application(client_max_size=16 * 1024 * 1024)
    application.cleanup_ctx.append(session)
    application.router.add_route("*", "/{path:.*}", relay)
    return application


def runner(backend: str) -> web.AppRunner:
    """The relay without access log, which drops a request when its client leaves."""
    return web.AppRunner(app(backend), access_log=None, handler_cancellation=True)


if __name__ == "__main__":
    relay_server.run(runner)
