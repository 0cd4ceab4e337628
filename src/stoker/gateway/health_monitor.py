"""Ask the backends of a gateway regularly whether they are well, and what they serve."""

from __future__ import annotations

import asyncio
import logging

import aiohttp

from stoker import engines
from stoker.engines.server_detection import UnusableServerError, reachable, recognise
from stoker.engines.unanswered import NO_ANSWER, OTHER_FORM
from stoker.errors import StokerError
from stoker.gateway.routing.pooled_backend import PooledBackend
from stoker.gateway.running_gateway import Gateway

_log = logging.getLogger("stoker.gateway")

#: Checks in a row that a backend must fail: a single one may have met a long garbage collection.
_MISSES = 2
#: Even a backend that was never seen down is asked again what it serves.
_REDISCOVER_S = 60.0


class HealthMonitor:
    """Asks every backend regularly whether it is well, and what it serves when it comes back."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._misses: dict[PooledBackend, int] = {}
        #: How many answers had begun at the check before.
        self._begun: dict[PooledBackend, int] = {}
        self._discovered_at: dict[PooledBackend, float] = {}

    async def check(self, http: aiohttp.ClientSession) -> None:
        """Ask all of them once, at the same time; then serve what waits for one that is back."""
        backends = self._gateway.pool.backends
        self._misses = {b: n for b, n in self._misses.items() if b in backends}
        self._begun = {b: n for b, n in self._begun.items() if b in backends}
        self._discovered_at = {b: t for b, t in self._discovered_at.items() if b in backends}
        await asyncio.gather(*(self._check_one(http, backend) for backend in backends))
        self._gateway.slots.wake()

    async def _check_one(self, http: aiohttp.ClientSession, backend: PooledBackend) -> None:
        is_well = await self._asked(http, backend)
        has_answered = self._has_answered(backend)
        if is_well:
            self._misses[backend] = 0
            if not backend.healthy:
                _log.info("backend %s is up: %s", backend.endpoint.url, ", ".join(backend.models))
                backend.recovered()
            backend.down_cause = ""
            return
        if backend.healthy and has_answered:
            self._misses[backend] = 0
            return
        misses = self._misses[backend] = self._misses.get(backend, 0) + 1
        if backend.healthy and (misses >= _MISSES or not backend.models):
            backend.healthy = False
            _log.warning("backend %s is down", backend.endpoint.url)
        if not backend.healthy:
            await self._say_why(http, backend)

    def _has_answered(self, backend: PooledBackend) -> bool:
        """Whether it has begun to answer a request since the last check.

        A busy server may answer no check in time, and work on requests all the same.
        """
        before = self._begun.get(backend, 0)
        self._begun[backend] = backend.answers_begun
        return backend.answers_begun > before

    async def _asked(self, http: aiohttp.ClientSession, backend: PooledBackend) -> bool:
        try:
            return await self._is_well(http, backend)
        except (*NO_ANSWER, StokerError):
            return False
        except OTHER_FORM as error:
            _log.warning(
                "backend %s gave an answer that can't be read: %r", backend.endpoint.url, error
            )
            return False

    async def _say_why(self, http: aiohttp.ClientSession, backend: PooledBackend) -> None:
        """Log why a backend can't be used, once for each reason, and keep it for clients."""
        there = backend.endpoint
        try:
            if there.engine:
                await reachable(http, there)
            else:
                await recognise(there.url, there.key, there.key_env)
        except UnusableServerError as error:
            if error.cause != backend.down_cause:
                backend.down_cause = error.cause
                _log.warning("backend %s: %s", there.url, error.problem)
        except (*NO_ANSWER, StokerError, ValueError):
            backend.down_cause = ""  # it answers other questions than a while ago

    async def _is_well(self, http: aiohttp.ClientSession, backend: PooledBackend) -> bool:
        """Whether it answers; where it was away, or long not asked, also what it serves now."""
        endpoint, now = backend.endpoint, asyncio.get_running_loop().time()
        stale = now - self._discovered_at.get(backend, -_REDISCOVER_S) >= _REDISCOVER_S
        if not endpoint.engine:
            found = await recognise(endpoint.url, endpoint.key, endpoint.key_env)
            backend.endpoint, models = found.backend, found.models
        elif not await engines.server_client(endpoint.engine).ready(http, endpoint):
            return False
        elif stale or not backend.healthy:
            models = tuple(await engines.server_client(endpoint.engine).discover(http, endpoint))
        else:
            return True
        backend.serve(models)
        self._discovered_at[backend] = now
        return True
