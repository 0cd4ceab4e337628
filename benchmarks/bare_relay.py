"""The least that a relay on aiohttp can do: read the request, forward it, pass chunks on."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator

import aiohttp
import uvloop
from aiohttp import web


def app(backend: str) -> web.Application:
    """A relay in front of ``backend``, with no key, no parsing and no metrics."""
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
        ) as upstream:
            response = web.StreamResponse(status=upstream.status)
            response.headers["Content-Type"] = upstream.headers["Content-Type"]
            await response.prepare(request)
            async for chunk in upstream.content.iter_any():
                await response.write(chunk)
            await response.write_eof()
            return response

    application = web.Application(client_max_size=16 * 1024 * 1024)
    application.cleanup_ctx.append(session)
    application.router.add_route("*", "/{path:.*}", relay)
    return application


async def serve(backend: str, port: int) -> None:
    """Listen until ended; the port is printed."""
    runner = web.AppRunner(app(backend), access_log=None, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    print(runner.addresses[0][1], flush=True)

    await asyncio.Event().wait()


def main() -> None:
    """Serve on ``--port`` in front of ``--backend``."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--backend", required=True)
    arguments = parser.parse_args()
    uvloop.run(serve(arguments.backend, arguments.port))


if __name__ == "__main__":
    main()
