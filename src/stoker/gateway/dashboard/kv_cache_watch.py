"""How full the backends' KV caches are, asked only while the dashboard is looked at."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

import aiohttp

from stoker.engines import kv_cache_use
from stoker.engines.unanswered import UNANSWERED
from stoker.gateway.routing.pooled_backend import PooledBackend

#: All pages that are open share one question in this time.
_FRESH_S = 4.0
#: A page does not wait longer for a backend that hangs.
_WITHIN_S = 1.0


class KvCacheWatch:
    """The KV cache of each backend as it was last reported, from 0 to 1."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._asked_at = float("-inf")
        self._known: dict[PooledBackend, float] = {}

    async def uses(
        self, http: aiohttp.ClientSession, backends: Sequence[PooledBackend]
    ) -> dict[PooledBackend, float]:
        """What is known of the backends that are up. One that can't be asked now keeps its last."""
        self._known = {b: use for b, use in self._known.items() if b in backends and b.usable}
        if self._clock() >= self._asked_at + _FRESH_S:
            self._asked_at = self._clock()
            await asyncio.gather(*(self._ask(http, b) for b in backends if b.usable))
        return self._known

    async def _ask(self, http: aiohttp.ClientSession, backend: PooledBackend) -> None:
        models, idle = list(backend.models.values()), not backend.in_flight
        question = kv_cache_use.kv_cache_use(http, backend.endpoint, models, idle=idle)
        try:
            use = await asyncio.wait_for(question, _WITHIN_S)
        except UNANSWERED:
            return
        if use is not None:
            self._known[backend] = use
