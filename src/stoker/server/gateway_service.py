"""``stoker gateway``: a gateway that a configuration file sets up, and changes, while it runs."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import signal
import sys
from collections.abc import AsyncGenerator
from functools import partial
from pathlib import Path

import aiohttp

from stoker import paths
from stoker.certificates.served_certificate import ServedCertificate
from stoker.database_addresses import address_in
from stoker.errors import StokerError
from stoker.gateway import Gateway, GatewayTimings, Served
from stoker.gateway import gateway_config as configuration
from stoker.gateway.gateway_config import Config
from stoker.gateway.health_monitor import HealthMonitor
from stoker.gateway.limiting import limits_store
from stoker.gateway.limiting.counters import Counters
from stoker.gateway.limiting.local_counters import LocalCounters, QuotaFile
from stoker.gateway.timings import DEFAULT_TIMINGS
from stoker.gateway.usage.metrics import Metrics
from stoker.server.gateway_access import GatewayAccess
from stoker.server.gateway_listener import listening
from stoker.usage_records import store_at

#: Settings that a line of the audit log names: a line is bounded.
_MOST_NAMED = 100

_log = logging.getLogger("stoker.gateway")


def apply(gateway: Gateway, access: GatewayAccess, config: Config) -> None:
    """Serve with this configuration from now on; what did not change is left as it is.

    Raises ``UsageError``, and changes nothing, where that would open the gateway to all.
    """
    access.configure(config.keys, config.sign_on)
    gateway.use_origins(config.origins)
    gateway.use_served_names(config.served_names)
    gateway.use_media_hosts(config.media_hosts)
    gateway.use_aliases(config.aliases)
    gateway.limiter.plans = config.limits
    gateway.use_caches_per_owner(config.caches_per_owner)
    gateway.serve([Served(b.backend, (), b.fit, b.max_concurrent) for b in config.backends])


class Service:
    """A gateway that runs by a configuration file until a signal stops it."""

    def __init__(
        self, path: Path, timings: GatewayTimings = DEFAULT_TIMINGS, *, insecure: bool = False
    ) -> None:
        self._path = path
        self._timings = timings
        #: Of the file that was read last; taken first, so that no later change is missed.
        self._changed_at = _changed_at(path)
        self._config = configuration.load(path)
        self._gateway = Gateway(timings=timings, counters=partial(_counters, path, self._config))
        self._access = GatewayAccess(self._gateway, self._config.bind, insecure=insecure)
        self._monitor = HealthMonitor(self._gateway)
        self._reload = asyncio.Event()
        #: Why the file as it is now was not read; empty where it was.
        self._fault = ""
        self._stop = asyncio.Event()

    @property
    def bind(self) -> str:
        """The address that it listens on."""
        return self._config.bind

    @property
    def _drain_s(self) -> float:
        configured = self._config.drain_s
        return self._timings.drain_s if configured is None else configured

    @property
    def gateway(self) -> Gateway:
        """What serves the requests."""
        return self._gateway

    async def run(self) -> AsyncGenerator[str, None]:
        """Listen, yield the address, and serve until SIGTERM or SIGINT.

        SIGHUP or a change of the file reads it again. Raises ``StokerError`` where it can't listen.
        """
        apply(self._gateway, self._access, self._config)
        self._access.log_start(config_sha256=self._config.sha256)
        self._handle_signals()
        config = self._config
        self._gateway.record_usage(store_at(config.usage), config.usage_days)
        self._gateway.send_traces(config.traces)
        tls = ServedCertificate(config.tls) if config.tls else None
        async with listening(self._gateway, config.bind, config.port, tls) as endpoint:
            try:
                async with aiohttp.ClientSession() as http:
                    # A backend that hangs delays no other.
                    with contextlib.suppress(asyncio.TimeoutError):
                        check = self._monitor.check(http)
                        await asyncio.wait_for(check, self._timings.first_check_s)
                    yield endpoint
                    await self._serve(http)
            finally:
                await self._gateway.drain(self._drain_s)
                await self._access.write_log(all_of_it=True)

    async def _serve(self, http: aiohttp.ClientSession) -> None:
        checking = asyncio.create_task(self._check_regularly(http))
        reading = asyncio.create_task(self._reload_on_change(http))
        following = asyncio.create_task(self._access.follow(self._timings.access_poll_s))
        stopping = asyncio.create_task(self._stop.wait())
        tasks = (checking, reading, following, stopping)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for task in (checking, reading, following):
            if not task.cancelled():
                task.result()  # neither ends by itself: this raises what ended it

    async def _check_regularly(self, http: aiohttp.ClientSession) -> None:
        while True:
            await asyncio.sleep(self._config.health_check_s)
            await self._monitor.check(http)

    async def _reload_on_change(self, http: aiohttp.ClientSession) -> None:
        while True:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._reload.wait(), self._timings.config_poll_s)
            found_at = _changed_at(self._path)
            if self._reload.is_set() or found_at != self._changed_at:
                self._fault = ""
            elif not self._fault:
                continue
            self._reload.clear()
            self._changed_at = found_at
            self._read_again()
            if not self._fault:
                await self._monitor.check(http)

    def _read_again(self) -> None:
        """Take the file's new content; with one that is not in order, all stays as it was."""
        try:
            new = configuration.load(self._path)
            apply(self._gateway, self._access, new)
        except StokerError as error:
            # Tried again each time: a file that can't be opened now may take keys away.
            if str(error) != self._fault:
                _log.error("the configuration was not reloaded: %s", error)
            self._fault = str(error)
            return
        self._fault = ""
        if _fixed(new) != _fixed(self._config):
            _log.warning(
                "a changed bind, port, tls, usage, traces or limits_store takes effect at the next "
                "start"
            )
        if new.sha256 != self._config.sha256:
            self._access.log(
                "configuration_changed",
                sha256_before=self._config.sha256,
                sha256=new.sha256,
                settings=configuration.changed_settings(self._config, new)[:_MOST_NAMED],
            )
        self._config = new
        _log.info("configuration reloaded: %d backends", len(new.backends))

    def _handle_signals(self) -> None:
        if sys.platform == "win32":
            return
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self._reload.set)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)


def _fixed(config: Config) -> tuple[object, ...]:
    """What stays as it was at the start."""
    recorded = config.usage, config.usage_days, config.traces, config.limits_store
    return config.bind, config.port, config.tls, *recorded


def _counters(path: Path, config: Config, metrics: Metrics) -> Counters:
    """Where this gateway counts what its limits are about."""
    if config.limits_store is not None:
        return limits_store.counters(address_in(config.limits_store, os.environ), metrics)
    gateway = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]
    return LocalCounters(QuotaFile(paths.state_dir() / f"quotas-{gateway}.json"))


def _changed_at(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:  # an editor may be between removing and writing it
        return 0
