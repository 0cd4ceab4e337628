"""``stoker gateway``: a gateway that a configuration file sets up, and changes, while it runs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import aiohttp

from stoker.errors import StokerError
from stoker.gateway import Gateway, GatewayLimits, Served
from stoker.gateway import gateway_config as configuration
from stoker.gateway.gateway_config import Config
from stoker.gateway.health_monitor import HealthMonitor
from stoker.gateway.limits import DEFAULT_LIMITS
from stoker.server.gateway_listener import listening

_log = logging.getLogger("stoker.gateway")


def apply(gateway: Gateway, config: Config) -> None:
    """Serve with this configuration from now on; what did not change is left as it is."""
    gateway.use_keys(config.keys)
    gateway.use_origins(config.origins)
    gateway.use_aliases(config.aliases)
    gateway.use_caches_per_owner(config.caches_per_owner)
    gateway.serve([Served(b.backend, (), b.fit, b.max_concurrent) for b in config.backends])


class Service:
    """A gateway that runs by a configuration file until a signal stops it."""

    def __init__(self, path: Path, limits: GatewayLimits = DEFAULT_LIMITS) -> None:
        self._path = path
        self._limits = limits
        self._config = configuration.load(path)
        self._gateway = Gateway(limits=limits)
        self._monitor = HealthMonitor(self._gateway)
        self._reload = asyncio.Event()
        self._stop = asyncio.Event()

    async def run(self, on_ready: Callable[[str, Gateway], None]) -> None:
        """Listen, call ``on_ready`` with the address, and serve until SIGTERM or SIGINT.

        SIGHUP or a change of the file reads it again. Raises ``StokerError`` where it can't listen.
        """
        self._handle_signals()
        apply(self._gateway, self._config)
        async with listening(self._gateway, self._config.bind, self._config.port) as endpoint:
            try:
                async with aiohttp.ClientSession() as http:
                    # A backend that hangs delays no other.
                    with contextlib.suppress(asyncio.TimeoutError):
                        check = self._monitor.check(http)
                        await asyncio.wait_for(check, self._limits.first_check_s)
                    on_ready(endpoint, self._gateway)
                    await self._serve(http)
            finally:
                await self._gateway.drain(self._limits.drain_s)

    async def _serve(self, http: aiohttp.ClientSession) -> None:
        checking = asyncio.create_task(self._check_regularly(http))
        reading = asyncio.create_task(self._reload_on_change(http))
        stopping = asyncio.create_task(self._stop.wait())
        tasks = (checking, reading, stopping)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for task in (checking, reading):
            if not task.cancelled():
                task.result()  # neither ends by itself: this raises what ended it

    async def _check_regularly(self, http: aiohttp.ClientSession) -> None:
        while True:
            await asyncio.sleep(self._config.health_check_s)
            await self._monitor.check(http)

    async def _reload_on_change(self, http: aiohttp.ClientSession) -> None:
        changed_at = _changed_at(self._path)
        while True:
            try:
                await asyncio.wait_for(self._reload.wait(), self._limits.config_poll_s)
            except asyncio.TimeoutError:
                if _changed_at(self._path) == changed_at:
                    continue
            self._reload.clear()
            changed_at = _changed_at(self._path)
            self._read_again()
            await self._monitor.check(http)

    def _read_again(self) -> None:
        """Take the file's new content; with one that is not in order, all stays as it was."""
        try:
            new = configuration.load(self._path)
        except StokerError as error:
            _log.error("the configuration was not reloaded: %s", error)
            return
        if (new.bind, new.port) != (self._config.bind, self._config.port):
            _log.warning("a changed bind or port takes effect at the next start")
        self._config = new
        apply(self._gateway, new)
        _log.info("configuration reloaded: %d backends", len(new.backends))

    def _handle_signals(self) -> None:
        if sys.platform == "win32":
            return
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self._reload.set)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)


def _changed_at(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:  # an editor may be between removing and writing it
        return 0
