"""An aiohttp server for tests that are not asynchronous themselves."""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from typing import TypeVar

from aiohttp import web

#: The most that starting and stopping may take.
_READY_S = 10
_Server = TypeVar("_Server", bound="BackgroundRunner")


class BackgroundRunner(ABC):
    """Serves what ``runner()`` runs, on a loopback port, in its own thread, within the ``with``."""

    def __init__(self, *, port: int = 0) -> None:
        self.url = ""
        self._port = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._runner: web.BaseRunner | None = None

    @abstractmethod
    def runner(self) -> web.BaseRunner:
        """What to run; called in the server's thread."""

    def __enter__(self: _Server) -> _Server:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(_READY_S)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(_READY_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_READY_S)
        self._loop.close()

    async def _start(self) -> None:
        self._runner = self.runner()
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def _close(self) -> None:
        if self._runner:
            await self._runner.cleanup()


class BackgroundServer(BackgroundRunner):
    """Serves ``app()`` in the same way."""

    def __init__(self, *, port: int = 0, handler_cancellation: bool = True) -> None:
        super().__init__(port=port)
        #: Whether a handler is cancelled when its client leaves.
        self._handler_cancellation = handler_cancellation

    @abstractmethod
    def app(self) -> web.Application:
        """The application to serve; called in the server's thread."""

    def runner(self) -> web.BaseRunner:
        """What runs the application."""
        return web.AppRunner(
            self.app(),
            handler_cancellation=self._handler_cancellation,
            access_log=None,
            shutdown_timeout=0.1,
        )
