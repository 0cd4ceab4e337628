"""Requests that wait for a slot at a backend."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from stoker.gateway.routing.owner_shares import OwnerShares
from stoker.gateway.routing.pooled_backend import PooledBackend
from stoker.gateway.routing.priority import Utility


class BusyError(Exception):
    """Every backend of the model is at its limit; ``retry_after_s`` is for the client."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__("all backends are busy")
        self.retry_after_s = retry_after_s


@dataclass(eq=False, slots=True)
class BackendSlot:
    """A slot at a backend, to be given back with ``BackendSlots.release``."""

    backend: PooledBackend
    client: str
    #: What its client was charged for it, until it is known what it used.
    expected_tokens: int
    is_utility: bool = False
    is_completion: bool = False


def take_slot(
    backend: PooledBackend,
    client: str,
    shares: OwnerShares,
    utility: Utility | None = None,
    *,
    is_completion: bool = False,
) -> BackendSlot:
    """Count one more request at the backend, and its client's share of the work."""
    backend.in_flight += 1
    backend.completions += is_completion
    if utility is None and not is_completion:
        backend.turn_at = asyncio.get_running_loop().time()
    return BackendSlot(backend, client, shares.begin(client), utility is not None, is_completion)


@dataclass(eq=False)
class Waiter:
    """One request that waits for a slot. Made where an event loop runs."""

    client: str
    model: str
    avoid: Sequence[PooledBackend]
    #: Of a utility request: what it is.
    utility: Utility | None = None
    is_completion: bool = False
    slot: asyncio.Future[BackendSlot] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    #: When it began to wait, on the event loop's clock.
    since: float = field(default_factory=lambda: asyncio.get_running_loop().time())

    def takes(self, backend: PooledBackend) -> bool:
        """Whether the request may be sent to this backend."""
        return self.model in backend.models and backend not in self.avoid

    @property
    def has_slot(self) -> bool:
        """Whether it got a slot."""
        return self.slot.done() and not self.slot.exception()


class SlotQueue:
    """Requests that wait, in a queue for each client; the one with the smallest share goes first.

    Clients of equal shares are served in turn.
    """

    def __init__(self, max_waiting: int, shares: OwnerShares) -> None:
        self._max_waiting = max_waiting
        self._shares = shares
        self._queues: OrderedDict[str, deque[Waiter]] = OrderedDict()

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def enter(self, waiter: Waiter) -> None:
        """Let it wait. Raises ``BusyError`` where the queue is full and its client has the most."""
        if len(self) >= self._max_waiting:
            self._make_room(waiter.client)
        self.add(waiter)

    def add(self, waiter: Waiter) -> None:
        """Let it wait, however many do."""
        self._queues.setdefault(waiter.client, deque()).append(waiter)

    def remove(self, waiter: Waiter) -> None:
        """It no longer waits here, if it did."""
        queue = self._queues.get(waiter.client)
        if queue is None or waiter not in queue:
            return
        queue.remove(waiter)
        if not queue:
            del self._queues[waiter.client]

    def give(self, waiter: Waiter, backend: PooledBackend) -> None:
        """It gets a slot at the backend; the other clients come before its client now."""
        self.remove(waiter)
        if waiter.client in self._queues:
            self._queues.move_to_end(waiter.client)
        slot = take_slot(
            backend,
            waiter.client,
            self._shares,
            waiter.utility,
            is_completion=waiter.is_completion,
        )
        waiter.slot.set_result(slot)

    def heads(self) -> list[Waiter]:
        """The first request of each client."""
        return [queue[0] for queue in self._queues.values()]

    def is_waited_for(self, backend: PooledBackend) -> bool:
        """Whether some request that waits may be sent to this backend."""
        return self._next(backend) is not None

    def serve(self, backend: PooledBackend) -> None:
        """Give the free slots of the backend to requests that wait."""
        while self._queues and backend.usable:
            waiter = self._next(backend, with_room=True)
            if waiter is None:
                return
            self.give(waiter, backend)

    def _next(self, backend: PooledBackend, *, with_room: bool = False) -> Waiter | None:
        room = {kind: backend.has_room_for(is_completion=kind) for kind in (False, True)}

        def may_go(waiter: Waiter) -> bool:
            return waiter.takes(backend) and (not with_room or room[waiter.is_completion])

        firsts = (next(filter(may_go, queue), None) for queue in self._queues.values())
        waiting = (waiter for waiter in firsts if waiter is not None)
        return min(waiting, key=lambda waiter: self._shares.mark(waiter.client), default=None)

    def _make_room(self, client: str) -> None:
        """The client with the most requests in the queue loses its last one."""
        longest = max(self._queues.values(), key=len)
        if len(longest) <= len(self._queues.get(client, ())) + 1:
            raise BusyError(retry_after_s=10)
        last = longest[-1]
        self.remove(last)
        last.slot.set_exception(BusyError(retry_after_s=10))
