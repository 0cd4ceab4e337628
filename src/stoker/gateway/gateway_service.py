"""Look after the backends of a gateway: are they well, what do they serve, did the file change."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import aiohttp
from aiohttp import web

from stoker import engines, network_addresses
from stoker.engines.server_detection import recognise
from stoker.errors import StokerError
from stoker.gateway import config as configuration
from stoker.gateway.app import Gateway, Served
from stoker.gateway.config import Config
from stoker.gateway.routing.backend_pool import Upstream

_log = logging.getLogger("stoker.gateway")

#: Checks in a row that a backend must fail: a single one may have met a long garbage collection.
_MISSES = 2
#: How often the file's time of change is looked at.
_LOOK_S = 1.0
#: Even a backend that was never seen down is asked again what it serves.
_REDISCOVER_S = 60.0
#: How long the start waits for what the backends serve.
_FIRST_LOOK_S = 5.0
#: Answers that are under way when the order to stop comes have this long to end.
_DRAIN_S = 10.0


class HealthMonitor:
    """Asks every backend regularly whether it is well, and what it serves when it comes back."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._misses: dict[Upstream, int] = {}
        self._discovered_at: dict[Upstream, float] = {}

    async def look(self, http: aiohttp.ClientSession) -> None:
        """Ask all of them once, at the same time; then serve who waited for one that is back."""
        upstreams = self._gateway.pool.upstreams
        self._misses = {u: n for u, n in self._misses.items() if u in upstreams}
        self._discovered_at = {u: t for u, t in self._discovered_at.items() if u in upstreams}
        await asyncio.gather(*(self._look_at(http, upstream) for upstream in upstreams))
        self._gateway.pool.wake()

    async def _look_at(self, http: aiohttp.ClientSession, upstream: Upstream) -> None:
        try:
            well = await self._is_well(http, upstream)
        except (aiohttp.ClientError, asyncio.TimeoutError, StokerError, OSError):
            well = False
        except (KeyError, TypeError, ValueError) as error:  # it answers nonsense
            _log.warning("backend %s can't be understood: %r", upstream.backend.url, error)
            well = False
        if well:
            self._misses[upstream] = 0
            if not upstream.healthy:
                _log.info("backend %s is up: %s", upstream.backend.url, ", ".join(upstream.models))
                upstream.recovered()
            return
        misses = self._misses[upstream] = self._misses.get(upstream, 0) + 1
        if upstream.healthy and (misses >= _MISSES or not upstream.models):
            upstream.healthy = False
            _log.warning("backend %s is down", upstream.backend.url)

    async def _is_well(self, http: aiohttp.ClientSession, upstream: Upstream) -> bool:
        """Whether it answers; where it was away, or long not asked, also what it serves now."""
        backend, now = upstream.backend, asyncio.get_running_loop().time()
        stale = now - self._discovered_at.get(upstream, -_REDISCOVER_S) >= _REDISCOVER_S
        if not backend.engine:
            found = await recognise(backend.url, backend.key)
            upstream.backend, models = found.backend, found.models
        elif not await engines.server_client(backend.engine).ready(http, backend):
            return False
        elif stale or not upstream.healthy:
            models = tuple(await engines.server_client(backend.engine).discover(http, backend))
        else:
            return True
        upstream.models = {model.id: model for model in models}
        self._discovered_at[upstream] = now
        return True


def apply(gateway: Gateway, config: Config) -> None:
    """Serve with this configuration from now on; what did not change is left as it is."""
    gateway.use_keys(config.keys)
    gateway.use_origins(config.origins)
    gateway.serve([Served(b.backend, (), b.fit, b.max_concurrent) for b in config.backends])


class Service:
    """A gateway that runs by a configuration file until it is told to stop."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._config = configuration.load(path)
        self._gateway = Gateway()
        self._watch = HealthMonitor(self._gateway)
        self._reload = asyncio.Event()
        self._stop = asyncio.Event()

    async def run(self, on_ready: Callable[[str, Gateway], None]) -> None:
        """Listen, say so, and serve; SIGHUP or a change of the file reads it again.

        Raises ``StokerError`` where it can't listen.
        """
        self._handle_signals()
        apply(self._gateway, self._config)
        runner = self._gateway.runner()
        await runner.setup()
        try:
            await self._listen(runner)
            async with aiohttp.ClientSession() as http:
                with contextlib.suppress(asyncio.TimeoutError):  # one that hangs delays nobody
                    await asyncio.wait_for(self._watch.look(http), _FIRST_LOOK_S)
                on_ready(_endpoint(runner), self._gateway)
                await self._keep_looking(http)
        finally:
            await self._gateway.drain(_DRAIN_S)
            await runner.cleanup()

    async def _listen(self, runner: web.AppRunner) -> None:
        bind, port = self._config.bind, self._config.port
        try:
            await web.TCPSite(runner, bind, port).start()
        except OSError as error:
            raise StokerError(
                f"The gateway can't listen on {bind}:{port}.",
                f"The system says: {error.strerror or error}.",
                "Choose another port in the configuration, or stop what uses this one.",
            ) from error

    async def _keep_looking(self, http: aiohttp.ClientSession) -> None:
        looking = asyncio.create_task(self._look_regularly(http))
        reading = asyncio.create_task(self._reload_on_change(http))
        stopping = asyncio.create_task(self._stop.wait())
        tasks = (looking, reading, stopping)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for task in (looking, reading):
            if not task.cancelled():
                task.result()  # neither ends by itself: this raises what ended it

    async def _look_regularly(self, http: aiohttp.ClientSession) -> None:
        while True:
            await asyncio.sleep(self._config.health_check_s)
            await self._watch.look(http)

    async def _reload_on_change(self, http: aiohttp.ClientSession) -> None:
        changed_at = _changed_at(self._path)
        while True:
            try:
                await asyncio.wait_for(self._reload.wait(), _LOOK_S)
            except asyncio.TimeoutError:
                if _changed_at(self._path) == changed_at:
                    continue
            self._reload.clear()
            changed_at = _changed_at(self._path)
            self._read_again()
            await self._watch.look(http)

    def _read_again(self) -> None:
        """Take the file's new content; with one that is not in order, all stays as it was."""
        try:
            new = configuration.load(self._path)
        except StokerError as error:
            _log.error("the configuration was not reloaded: %s", error)
            return
        if (new.bind, new.port) != (self._config.bind, self._config.port):
            _log.warning("another address or port needs a new start: the old one is kept")
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


def _endpoint(runner: web.AppRunner) -> str:
    host, port = runner.addresses[0][:2]
    return network_addresses.endpoint(host, port)
