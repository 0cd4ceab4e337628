"""The backends behind the gateway: which can answer, which should, and what waits for them."""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stoker.engines import ServedModel
from stoker.gateway.limits import DEFAULT_LIMITS, GatewayLimits
from stoker.gateway.routing import priority
from stoker.gateway.routing.pooled_backend import PooledBackend, prefixes_of
from stoker.gateway.routing.priority import BackendLoad, Utility

#: A backend with this many more requests than the least busy one gets no more of them for a prefix
#: that it has read: all conversations of an editor begin with the same tools.
_SLACK = 4
#: Keeps a timer that fires a moment early from firing all the time.
_LEAST_TIMER_S = 0.001


class BusyError(Exception):
    """Every backend of the model is at its limit; ``retry_after_s`` is for the client."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__("all backends are busy")
        self.retry_after_s = retry_after_s


class NoBackendError(Exception):
    """No backend of the model is up."""


@dataclass(eq=False, slots=True)
class BackendSlot:
    """A slot at a backend, to be given back with ``Pool.release``."""

    backend: PooledBackend
    client: str
    is_utility: bool = False


@dataclass(eq=False)
class _Waiter:
    model: str
    avoid: Sequence[PooledBackend]
    slot: asyncio.Future[BackendSlot]
    #: Of a utility request: what it is, and since when it waits.
    utility: Utility | None = None
    since: float = 0.0

    def takes(self, backend: PooledBackend) -> bool:
        return self.model in backend.models and backend not in self.avoid


class Pool:
    """All backends. A slot is taken with ``acquire`` and given back with ``release``."""

    def __init__(self, limits: GatewayLimits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self.backends: list[PooledBackend] = []
        self._waiting: OrderedDict[str, deque[_Waiter]] = OrderedDict()
        #: Utility requests that turns go before, and the clients that have one under way.
        self._held: OrderedDict[str, deque[_Waiter]] = OrderedDict()
        self._has_utility: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None

    def replace(self, backends: Sequence[PooledBackend]) -> None:
        """Send new requests to these from now on; running ones end where they are."""
        for old in self.backends:
            if old not in backends:
                old.retired = True
                old.connections.close()
        self.backends = list(backends)
        self.wake()

    def wake(self) -> None:
        """Give slots to waiting requests, at backends that are well again."""
        for backend in self.backends:
            self._serve_waiting(backend)
        if self._held:
            self._start_utilities()

    def models(self) -> dict[str, ServedModel]:
        """Every model that some backend serves; its window is the smallest that it has."""
        found: dict[str, ServedModel] = {}
        for backend in self.backends:
            for name, model in backend.models.items():
                known = found.get(name)
                found[name] = model if known is None else _smaller(known, model)
        return found

    def serving(self, model: str) -> list[PooledBackend]:
        """The usable backends of a model."""
        return [b for b in self.backends if model in b.models and b.usable]

    def smallest(self, model: str) -> PooledBackend:
        """The backend of a model with the smallest window, a usable one if any is."""
        candidates = self.serving(model) or [b for b in self.backends if model in b.models]
        return min(candidates, key=lambda b: b.window(model) or math.inf)

    @property
    def waiting(self) -> int:
        """Requests that wait for a slot."""
        return _length(self._waiting) + _length(self._held)

    async def acquire(
        self,
        model: str,
        client: str,
        request: Mapping[str, Any],
        avoid: Sequence[PooledBackend] = (),
        utility: Utility | None = None,
    ) -> BackendSlot:
        """A slot at the backend with the longest shared prefix, then with the least to do.

        Where all are at their limit, waits in a queue that serves clients in turn. A utility
        request lets turns go first, and is the only one of its client that is under way. Raises
        ``NoBackendError`` where none is up and ``BusyError`` where the wait is too long.
        """
        candidates = [b for b in self.serving(model) if b not in avoid]
        if not candidates:
            raise NoBackendError(model)
        if utility is not None:
            waiter = _Waiter(model, avoid, _new_slot(), utility, _now())
            return await self._wait(client, waiter, self._held)
        prefixes = prefixes_of(request) if self._has_several(model) else ()
        free = [b for b in candidates if b.has_room]
        if free:
            slot = _taken(_route(free, prefixes), client)
        else:
            waiter = _Waiter(model, avoid, _new_slot())
            slot = await self._wait(client, waiter, self._waiting)
        slot.backend.remember(prefixes)
        return slot

    def release(self, slot: BackendSlot) -> None:
        """A request ended there: the slot goes to a waiting one, client by client in turn."""
        backend = slot.backend
        backend.in_flight -= 1
        if slot.is_utility:
            self._has_utility.discard(slot.client)
        else:
            backend.turn_at = _now()
        self._serve_waiting(backend)
        if self._held:
            self._start_utilities()

    def _has_several(self, model: str) -> bool:
        """Whether there is ever a choice, be it that only one is up or free right now."""
        return sum(model in b.models for b in self.backends) > 1

    async def _wait(self, client: str, waiter: _Waiter, queues: _Queues) -> BackendSlot:
        if _length(queues) >= self._limits.max_waiting:
            self._make_room(client, queues)
        queues.setdefault(client, deque()).append(waiter)
        if waiter.utility:
            self._start_utilities()
        try:
            # Not wait_for: until Python 3.12 it can lose a cancellation that comes with the slot.
            await asyncio.wait({waiter.slot}, timeout=self._limits.max_wait_s)
        except asyncio.CancelledError:
            if waiter.slot.done() and not waiter.slot.exception():
                self.release(waiter.slot.result())  # it got a slot at the moment it was cancelled
            raise
        finally:
            self._give_up(client, waiter)
        if not waiter.slot.done():
            raise BusyError(retry_after_s=30)
        return waiter.slot.result()

    def _make_room(self, client: str, queues: _Queues) -> None:
        """The queue is full: the client with the most requests in it loses its last one."""
        longest = max(queues, key=lambda name: len(queues[name]))
        if len(queues[longest]) <= len(queues.get(client, ())) + 1:
            raise BusyError(retry_after_s=10)
        last = queues[longest][-1]
        self._give_up(longest, last)
        last.slot.set_exception(BusyError(retry_after_s=10))

    def _give_up(self, client: str, waiter: _Waiter) -> None:
        """The request no longer waits, whatever became of it."""
        _leave(self._held, client, waiter)
        if _leave(self._waiting, client, waiter) and waiter.utility:
            self._has_utility.discard(client)
        if self._held:
            self._start_utilities()

    def _serve_waiting(self, backend: PooledBackend) -> None:
        while backend.usable and backend.has_room:
            found = self._next_waiter(backend)
            if found is None:
                return
            client, waiter = found
            waiter.slot.set_result(_taken(backend, client, waiter.utility))

    def _start_utilities(self) -> None:
        """Send the utility requests that may go now, and set the timer for the next ones."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waits = [self._start_utility(client) for client in list(self._held)]
        soonest = min(waits, default=math.inf)
        if soonest < math.inf:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(soonest, _LEAST_TIMER_S), self._start_utilities)

    def _start_utility(self, client: str) -> float:
        """Send the client's first one if it is time; seconds until the next check."""
        waiter = self._held[client][0]
        utility = waiter.utility
        if utility is None or client in self._has_utility:
            return math.inf  # the end of the other one starts this again
        waited_s = _now() - waiter.since
        if waited_s >= self._limits.max_utility_wait_s:
            self._queue_utility(client, waiter)
            return math.inf
        backend, wait_s = self._soonest(waiter, utility, waited_s)
        if backend is None or wait_s > 0:
            return min(wait_s, self._limits.max_utility_wait_s - waited_s)
        self._has_utility.add(client)
        _leave(self._held, client, waiter)
        if client in self._held:
            self._held.move_to_end(client)
        waiter.slot.set_result(_taken(backend, client, waiter.utility))
        return math.inf

    def _soonest(
        self, waiter: _Waiter, utility: Utility, waited_s: float
    ) -> tuple[PooledBackend | None, float]:
        """The backend that it may be sent to first, and in how many seconds."""
        found: tuple[PooledBackend | None, float] = None, math.inf
        for backend in self.serving(waiter.model):
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
            in_flight=backend.in_flight,
            is_waited_for=any(w.takes(backend) for q in self._waiting.values() for w in q),
            quiet_s=_now() - backend.turn_at,
        )

    def _queue_utility(self, client: str, waiter: _Waiter) -> None:
        """It has let turns go first for long enough: from now on it waits like one."""
        _leave(self._held, client, waiter)
        self._has_utility.add(client)
        self._waiting.setdefault(client, deque()).append(waiter)
        for backend in self.serving(waiter.model):
            self._serve_waiting(backend)

    def _next_waiter(self, backend: PooledBackend) -> tuple[str, _Waiter] | None:
        for client, queue in self._waiting.items():
            waiter = next((w for w in queue if w.takes(backend)), None)
            if waiter is None:
                continue
            queue.remove(waiter)
            self._waiting.move_to_end(client)
            if not queue:
                del self._waiting[client]
            return client, waiter
        return None


_Queues = OrderedDict[str, deque[_Waiter]]


def _now() -> float:
    return asyncio.get_running_loop().time()


def _new_slot() -> asyncio.Future[BackendSlot]:
    return asyncio.get_running_loop().create_future()


def _taken(backend: PooledBackend, client: str, utility: Utility | None = None) -> BackendSlot:
    backend.in_flight += 1
    if utility is None:
        backend.turn_at = _now()
    return BackendSlot(backend, client, utility is not None)


def _leave(queues: _Queues, client: str, waiter: _Waiter) -> bool:
    """Take it out of the client's queue; whether it was there."""
    queue = queues.get(client)
    if queue is None or waiter not in queue:
        return False
    queue.remove(waiter)
    if not queue:
        del queues[client]
    return True


def _length(queues: _Queues) -> int:
    return sum(len(queue) for queue in queues.values())


def _smaller(one: ServedModel, other: ServedModel) -> ServedModel:
    """A model of two backends, with a window that both have."""
    if other.max_model_len is None or one.max_model_len is None:
        return one if one.max_model_len else other
    return one if one.max_model_len <= other.max_model_len else other


def _route(free: Sequence[PooledBackend], prefixes: Sequence[int]) -> PooledBackend:
    if len(free) == 1:
        return free[0]
    most = min(b.in_flight for b in free) + _SLACK
    near = [b for b in free if b.in_flight <= most]
    return max(near, key=lambda b: (b.shared_prefix(prefixes), -b.in_flight))
