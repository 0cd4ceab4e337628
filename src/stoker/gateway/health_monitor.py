"""Ask the backends of a gateway regularly whether they are well, and what they serve."""

from __future__ import annotations

import asyncio
import logging

import aiohttp

from stoker import engines
from stoker.engines.server_detection import recognise
from stoker.errors import StokerError
from stoker.gateway.app import Gateway
from stoker.gateway.routing.backend_pool import Upstream

_log = logging.getLogger("stoker.gateway")

#: Checks in a row that a backend must fail: a single one may have met a long garbage collection.
_MISSES = 2
#: Even a backend that was never seen down is asked again what it serves.
_REDISCOVER_S = 60.0


class HealthMonitor:
    """Asks every backend regularly whether it is well, and what it serves when it comes back."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._misses: dict[Upstream, int] = {}
        self._discovered_at: dict[Upstream, float] = {}

    async def check(self, http: aiohttp.ClientSession) -> None:
        """Ask all of them once, at the same time; then serve what waits for one that is back."""
        upstreams = self._gateway.pool.upstreams
        self._misses = {u: n for u, n in self._misses.items() if u in upstreams}
        self._discovered_at = {u: t for u, t in self._discovered_at.items() if u in upstreams}
        await asyncio.gather(*(self._check_one(http, upstream) for upstream in upstreams))
        self._gateway.pool.wake()

    async def _check_one(self, http: aiohttp.ClientSession, upstream: Upstream) -> None:
        try:
            well = await self._is_well(http, upstream)
        except (aiohttp.ClientError, asyncio.TimeoutError, StokerError, OSError):
            well = False
        except (KeyError, TypeError, ValueError) as error:
            _log.warning(
                "backend %s gave an answer that can't be read: %r", upstream.backend.url, error
            )
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
