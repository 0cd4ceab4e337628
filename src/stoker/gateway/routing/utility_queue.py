"""Utility requests that wait until no turn needs the slot."""

from __future__ import annotations

import asyncio
import math

from stoker.gateway.routing import priority
from stoker.gateway.routing.backend_pool import Pool
from stoker.gateway.routing.owner_shares import OwnerShares
from stoker.gateway.routing.pooled_backend import PooledBackend
from stoker.gateway.routing.priority import BackendLoad, Utility
from stoker.gateway.routing.slot_queue import SlotQueue, Waiter
from stoker.gateway.timings import GatewayTimings

#: Keeps a timer that fires a moment early from firing all the time.
_LEAST_TIMER_S = 0.001


class UtilityQueue:
    """Utility requests that turns go before. Of each client one is under way at a time."""

    def __init__(
        self, pool: Pool, turns: SlotQueue, timings: GatewayTimings, shares: OwnerShares
    ) -> None:
        self._pool = pool
        self._turns = turns
        self._timings = timings
        self._queue = SlotQueue(timings.max_waiting, shares)
        #: The one of each client that has a slot, or waits for it like a turn.
        self._under_way: dict[str, Waiter] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._queue)

    def enter(self, waiter: Waiter) -> None:
        """Let it wait. Raises ``BusyError`` where the queue is full and its client has the most."""
        self._queue.enter(waiter)
        self.start()

    def leave(self, waiter: Waiter) -> None:
        """It no longer waits, here or like a turn, whatever became of it."""
        self._queue.remove(waiter)
        if self._under_way.get(waiter.client) is waiter and not waiter.has_slot:
            self.ended(waiter.client)

    def ended(self, client: str) -> None:
        """The client's utility request is no longer under way."""
        self._under_way.pop(client, None)

    def start(self) -> None:
        """Send the requests that may go now, and set the timer for the next ones."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._queue:
            return
        soonest = min(map(self._start_one, self._queue.heads()), default=math.inf)
        if soonest < math.inf:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(soonest, _LEAST_TIMER_S), self.start)

    def _start_one(self, waiter: Waiter) -> float:
        """Send it if it is time; seconds until the next check."""
        utility = waiter.utility
        if utility is None or waiter.client in self._under_way:
            return math.inf  # the end of the other one starts this again
        waited_s = _now() - waiter.since
        if waited_s >= self._timings.max_utility_wait_s:
            self._join_turns(waiter)
            return math.inf
        backend, wait_s = self._soonest(waiter, utility, waited_s)
        if backend is None or wait_s > 0:
            return min(wait_s, self._timings.max_utility_wait_s - waited_s)
        self._under_way[waiter.client] = waiter
        self._queue.give(waiter, backend)
        return math.inf

    def _join_turns(self, waiter: Waiter) -> None:
        """It has let turns go first for long enough: from now on it waits like one."""
        self._queue.remove(waiter)
        self._under_way[waiter.client] = waiter
        self._turns.add(waiter)
        for backend in self._pool.serving(waiter.model):
            self._turns.serve(backend)

    def _soonest(
        self, waiter: Waiter, utility: Utility, waited_s: float
    ) -> tuple[PooledBackend | None, float]:
        """The backend that it may be sent to first, and in how many seconds."""
        found: tuple[PooledBackend | None, float] = None, math.inf
        for backend in self._pool.serving(waiter.model):
            if backend in waiter.avoid:
                continue
            wait_s = priority.wait_s(utility, self._load(backend, waiter.model), waited_s)
            known = found[0]
            if known is None or (wait_s, backend.in_flight) < (found[1], known.in_flight):
                found = backend, wait_s
        return found

    def _load(self, backend: PooledBackend, model: str) -> BackendLoad:
        return BackendLoad(
            slots=backend.slots(model),
            in_flight=backend.in_flight - backend.completions,
            is_waited_for=self._turns.is_waited_for(backend),
            quiet_s=_now() - backend.turn_at,
        )


def _now() -> float:
    return asyncio.get_running_loop().time()
