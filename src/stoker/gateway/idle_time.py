"""For how long no request has come or ended at a backend."""

from __future__ import annotations

import asyncio

from stoker.gateway.routing.pooled_backend import PooledBackend
from stoker.gateway.running_gateway import Gateway

#: For this long no request must have come or ended. Utility requests follow after 3 s
#: (``routing/priority.py``), an agent's next turn as soon as its tools have run.
IDLE_S = 5.0


class IdleTime:
    """Looked at from time to time by what works while no request waits."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._busy_at = 0.0

    def is_busy(self, backend: PooledBackend) -> bool:
        """Whether it answers a request, or one waits for it, or it can't be asked."""
        return bool(backend.in_flight or self._gateway.slots.waiting) or not backend.usable

    def seconds(self, backend: PooledBackend) -> float:
        """Since it was last seen busy, or a turn came or ended there."""
        now = asyncio.get_running_loop().time()
        if self.is_busy(backend):
            self._busy_at = now
        return now - max(self._busy_at, backend.turn_at)
