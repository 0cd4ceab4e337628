"""The command line and the server that the measured relays share."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable

import uvloop
from aiohttp import web


def run(relay: Callable[[str], web.BaseRunner]) -> None:
    """Serve ``relay(backend)`` on ``--port`` in front of ``--backend``, and print the port."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--backend", required=True, help="the backend's base URL")
    options, _ = parser.parse_known_args()
    uvloop.run(_serve(relay, options.backend, options.port))


async def _serve(relay: Callable[[str], web.BaseRunner], backend: str, port: int) -> None:
    runner = relay(backend)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()
