"""Gives the slots of the backends to requests: which backend gets one, and which waits."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from stoker.gateway.routing.backend_pool import NoBackendError, Pool
from stoker.gateway.routing.owner_shares import OwnerShares
from stoker.gateway.routing.pooled_backend import PooledBackend, head_parts, prefixes_of
from stoker.gateway.routing.priority import Utility
from stoker.gateway.routing.slot_queue import BackendSlot, BusyError, SlotQueue, Waiter, take_slot
from stoker.gateway.routing.utility_queue import UtilityQueue
from stoker.gateway.timings import DEFAULT_TIMINGS, GatewayTimings

#: A backend with this many more requests than the least busy one gets no more of them for a prefix
#: that it has read: all conversations of an editor begin with the same tools.
_SLACK = 4


class BackendSlots:
    """The slots of a pool. One is taken with ``acquire`` and given back with ``release``."""

    def __init__(self, pool: Pool, timings: GatewayTimings = DEFAULT_TIMINGS) -> None:
        self._pool = pool
        self._max_wait_s = timings.max_wait_s
        self._shares = OwnerShares()
        self._turns = SlotQueue(timings.max_waiting, self._shares)
        self._utilities = UtilityQueue(pool, self._turns, timings, self._shares)

    @property
    def waiting(self) -> int:
        """Requests that wait for a slot."""
        return len(self._turns) + len(self._utilities)

    def wake(self) -> None:
        """Give slots to waiting requests, at backends that are new or well again."""
        for backend in self._pool.backends:
            self._turns.serve(backend)
        self._utilities.start()

    async def acquire(
        self,
        model: str,
        client: str,
        request: Mapping[str, Any],
        avoid: Sequence[PooledBackend] = (),
        utility: Utility | None = None,
        session: str | None = None,
        *,
        is_completion: bool = False,
    ) -> BackendSlot:
        """A slot at the backend that has read most of the conversation, or has its session.

        For a new conversation it is the one with the least to do.

        Where all are at their limit, waits in a queue that shares tokens among clients. A utility
        request lets turns go first, and is the only one of its client that is under way. Raises
        ``NoBackendError`` where none is up and ``BusyError`` where the wait is too long.
        """
        candidates = self._pool.serving(model, avoid)
        if not candidates:
            raise NoBackendError(model)
        if utility is not None:
            return await self._wait(Waiter(client, model, avoid, utility), self._utilities)
        prefixes = prefixes_of(request) if self._pool.has_several(model) else []
        own = hash((client, session)) if session and prefixes else None
        free = [b for b in candidates if b.has_room_for(is_completion=is_completion)]
        if free:
            taken = free[0] if len(free) == 1 else _route(free, request, prefixes, own)
            slot = take_slot(taken, client, self._shares, is_completion=is_completion)
        else:
            waiter = Waiter(client, model, avoid, is_completion=is_completion)
            slot = await self._wait(waiter, self._turns)
        if prefixes:
            slot.backend.remember(prefixes if own is None else [*prefixes, own])
        return slot

    def release(self, slot: BackendSlot, used_tokens: int = 0) -> None:
        """A request ended there: the slot goes to a waiting one, by what each client has used."""
        backend = slot.backend
        self._shares.end(slot.client, slot.expected_tokens, used_tokens)
        backend.in_flight -= 1
        backend.completions -= slot.is_completion
        if slot.is_utility:
            self._utilities.ended(slot.client)
        elif not slot.is_completion:
            backend.turn_at = asyncio.get_running_loop().time()
        self._turns.serve(backend)
        self._utilities.start()
        if not (backend.in_flight or self.waiting or self._pool.in_flight):
            self._shares.rest()

    async def _wait(self, waiter: Waiter, queue: SlotQueue | UtilityQueue) -> BackendSlot:
        queue.enter(waiter)
        try:
            # Not wait_for: until Python 3.12 it can lose a cancellation that comes with the slot.
            await asyncio.wait({waiter.slot}, timeout=self._max_wait_s)
        except asyncio.CancelledError:
            if waiter.has_slot:
                self.release(waiter.slot.result())  # at the moment when it was cancelled
            raise
        finally:
            self._leave(waiter)
        if not waiter.slot.done():
            raise BusyError(retry_after_s=30)
        return waiter.slot.result()

    def _leave(self, waiter: Waiter) -> None:
        """The request no longer waits, whatever became of it."""
        self._turns.remove(waiter)
        self._utilities.leave(waiter)
        self._utilities.start()


def _route(
    free: Sequence[PooledBackend],
    request: Mapping[str, Any],
    prefixes: Sequence[int],
    session: int | None,
) -> PooledBackend:
    """The one that has read the conversation; for a new one the least busy, then one with its head.

    With a head alone as the reason, all conversations of one client would share one backend while
    others are idle.
    """
    most = min(b.in_flight for b in free) + _SLACK
    near = [b for b in free if b.in_flight <= most]
    head = head_parts(request)

    def rank(backend: PooledBackend) -> tuple[int, bool, int, int]:
        shared = backend.shared_prefix(prefixes)
        of_conversation = shared if shared > head else 0
        return (of_conversation, backend.knows(session), -backend.in_flight, shared)

    return max(near, key=rank)
