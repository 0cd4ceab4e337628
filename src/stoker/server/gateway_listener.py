"""Serve a gateway at an address: for ``stoker up`` and for ``stoker gateway``."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from aiohttp import web

from stoker import network_addresses
from stoker.errors import StokerError
from stoker.gateway import Gateway


@contextlib.asynccontextmanager
async def listening(gateway: Gateway, bind: str, port: int) -> AsyncIterator[str]:
    """Listen on ``bind`` and ``port`` (0 takes a free one) while the context lasts.

    Yields the endpoint. Raises ``StokerError`` where it can't listen there.
    """
    runner = gateway.runner()
    await runner.setup()
    try:
        await _bind(runner, bind, port)
        host, bound = runner.addresses[0][:2]
        yield network_addresses.endpoint(host, bound)
    finally:
        await runner.cleanup()


async def _bind(runner: web.AppRunner, bind: str, port: int) -> None:
    try:
        await web.TCPSite(runner, bind, port).start()
    except OSError as error:
        raise StokerError(
            f"The gateway can't listen on {bind}:{port}.",
            f"The system reports: {error.strerror or error}.",
            "Choose another port, or stop the program that uses this one.",
        ) from error
