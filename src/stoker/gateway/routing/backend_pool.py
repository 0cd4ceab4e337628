"""The backends behind the gateway: which can answer, which should, and what waits for them."""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from stoker.engines import Backend, ServedModel
from stoker.gateway.limits import DEFAULT_LIMITS, GatewayLimits
from stoker.gateway.prompt.fit_settings import FitSettings
from stoker.gateway.relay.backend_connection import BackendConnections
from stoker.gateway.routing import priority
from stoker.gateway.routing.priority import BackendLoad, Utility

#: Failures in a row after which a backend is left alone ...
FAILURES = 3
#: ... for this long; then one request at a time tries it, until one succeeds.
OPEN_S = 10.0
#: A backend with this many more requests than the least busy one gets no more of them for a prefix
#: that it has read: all conversations of an editor begin with the same tools.
_SLACK = 4
#: Keeps a timer that fires a moment early from firing all the time.
_LEAST_TIMER_S = 0.001
#: Prefixes remembered for each backend. Each is a number: about 1 MB for all.
_PREFIXES = 8192


class BusyError(Exception):
    """Every backend of the model is at its limit; ``retry_after_s`` is for the client."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__("all backends are busy")
        self.retry_after_s = retry_after_s


class NoBackendError(Exception):
    """No backend of the model is up."""


class Upstream:
    """One backend: what it serves, its health and its load."""

    def __init__(
        self,
        backend: Backend,
        models: Sequence[ServedModel],
        max_concurrent: int | None = None,
        fit: FitSettings | None = None,
    ) -> None:
        self.backend = backend
        self.models = {model.id: model for model in models}
        self.max_concurrent = max_concurrent
        self.fit = fit or FitSettings()
        self.connections = BackendConnections(backend)
        self.healthy = True
        self.in_flight = 0
        self.retired = False
        #: When a turn last came or ended here, on the event loop's clock.
        self.turn_at = -math.inf
        self._failures = 0
        self._open_until = 0.0
        self._prefixes: OrderedDict[int, None] = OrderedDict()

    @property
    def usable(self) -> bool:
        """Whether a request may be sent: it is up, and has not just failed several times."""
        return self.healthy and not self.retired and time.monotonic() >= self._open_until

    @property
    def has_room(self) -> bool:
        """Whether one more request is below its limit, which is one until it is well again."""
        limit = self._limit
        return limit is None or self.in_flight < limit

    @property
    def _limit(self) -> int | None:
        return 1 if self._failures >= FAILURES else self.max_concurrent

    def slots(self, model: str) -> int | None:
        """Requests that it works on at the same time; ``None`` where that is not bounded."""
        served = self.models.get(model)
        bounds = (self._limit, served.parallel if served else None)
        return min((n for n in bounds if n is not None), default=None)

    def window(self, model: str) -> int | None:
        """The context window of a model in tokens; ``None`` where it is not known."""
        served = self.models.get(model)
        return served.max_model_len if served else None

    def succeeded(self) -> None:
        """An answer began."""
        self._failures = 0

    def failed(self) -> None:
        """It refused, broke off before the first byte, or answered 502, 503 or 504."""
        self._failures += 1
        if self._failures >= FAILURES:
            self._open_until = time.monotonic() + OPEN_S

    def recovered(self) -> None:
        """It was down, and is up again: earlier failures no longer count."""
        self.healthy, self._failures, self._open_until = True, 0, 0.0

    def shared_prefix(self, prefixes: Sequence[int]) -> int:
        """How many leading parts of a prompt it has read lately."""
        known = self._prefixes
        return next((i for i in range(len(prefixes), 0, -1) if prefixes[i - 1] in known), 0)

    def remember(self, prefixes: Sequence[int]) -> None:
        """It reads a prompt of these parts."""
        for prefix in prefixes:
            self._prefixes[prefix] = None
            self._prefixes.move_to_end(prefix)
        while len(self._prefixes) > _PREFIXES:
            self._prefixes.popitem(last=False)


def prefixes_of(request: Mapping[str, Any]) -> list[int]:
    """One number for each leading part of the prompt: tools, then message by message."""
    running = hash(orjson.dumps(request.get("tools") or request.get("prompt")))
    prefixes = [running]
    messages = request.get("messages")
    for message in messages if isinstance(messages, list) else ():
        running = hash((running, orjson.dumps(message)))
        prefixes.append(running)
    return prefixes


@dataclass(eq=False, slots=True)
class BackendSlot:
    """A slot at a backend, to be given back with ``Pool.release``."""

    upstream: Upstream
    client: str
    is_utility: bool = False


@dataclass(eq=False)
class _Waiter:
    model: str
    avoid: Sequence[Upstream]
    slot: asyncio.Future[BackendSlot]
    #: Of a utility request: what it is, and since when it waits.
    utility: Utility | None = None
    since: float = 0.0

    def takes(self, upstream: Upstream) -> bool:
        return self.model in upstream.models and upstream not in self.avoid


class Pool:
    """All backends. A slot is taken with ``acquire`` and given back with ``release``."""

    def __init__(self, limits: GatewayLimits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self.upstreams: list[Upstream] = []
        self._waiting: OrderedDict[str, deque[_Waiter]] = OrderedDict()
        #: Utility requests that turns go before, and the clients that have one under way.
        self._held: OrderedDict[str, deque[_Waiter]] = OrderedDict()
        self._has_utility: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None

    def replace(self, upstreams: Sequence[Upstream]) -> None:
        """Send new requests to these from now on; running ones end where they are."""
        for old in self.upstreams:
            if old not in upstreams:
                old.retired = True
                old.connections.close()
        self.upstreams = list(upstreams)
        self.wake()

    def wake(self) -> None:
        """Give slots to waiting requests, at backends that are well again."""
        for upstream in self.upstreams:
            self._serve_waiting(upstream)
        if self._held:
            self._start_utilities()

    def models(self) -> dict[str, ServedModel]:
        """Every model that some backend serves; its window is the smallest that it has."""
        found: dict[str, ServedModel] = {}
        for upstream in self.upstreams:
            for name, model in upstream.models.items():
                known = found.get(name)
                found[name] = model if known is None else _smaller(known, model)
        return found

    def serving(self, model: str) -> list[Upstream]:
        """The usable backends of a model."""
        return [u for u in self.upstreams if model in u.models and u.usable]

    def smallest(self, model: str) -> Upstream:
        """The backend of a model with the smallest window, a usable one if any is."""
        candidates = self.serving(model) or [u for u in self.upstreams if model in u.models]
        return min(candidates, key=lambda u: u.window(model) or math.inf)

    @property
    def waiting(self) -> int:
        """Requests that wait for a slot."""
        return _length(self._waiting) + _length(self._held)

    async def acquire(
        self,
        model: str,
        client: str,
        request: Mapping[str, Any],
        avoid: Sequence[Upstream] = (),
        utility: Utility | None = None,
    ) -> BackendSlot:
        """A slot at the backend with the longest shared prefix, then with the least to do.

        Where all are at their limit, waits in a queue that serves clients in turn. A utility
        request lets turns go first, and is the only one of its client that is under way. Raises
        ``NoBackendError`` where none is up and ``BusyError`` where the wait is too long.
        """
        candidates = [u for u in self.serving(model) if u not in avoid]
        if not candidates:
            raise NoBackendError(model)
        if utility is not None:
            waiter = _Waiter(model, avoid, _new_slot(), utility, _now())
            return await self._wait(client, waiter, self._held)
        prefixes = prefixes_of(request) if self._has_several(model) else ()
        free = [u for u in candidates if u.has_room]
        if free:
            slot = _taken(_route(free, prefixes), client)
        else:
            waiter = _Waiter(model, avoid, _new_slot())
            slot = await self._wait(client, waiter, self._waiting)
        slot.upstream.remember(prefixes)
        return slot

    def release(self, slot: BackendSlot) -> None:
        """A request ended there: the slot goes to a waiting one, client by client in turn."""
        upstream = slot.upstream
        upstream.in_flight -= 1
        if slot.is_utility:
            self._has_utility.discard(slot.client)
        else:
            upstream.turn_at = _now()
        self._serve_waiting(upstream)
        if self._held:
            self._start_utilities()

    def _has_several(self, model: str) -> bool:
        """Whether there is ever a choice, be it that only one is up or free right now."""
        return sum(model in u.models for u in self.upstreams) > 1

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

    def _serve_waiting(self, upstream: Upstream) -> None:
        while upstream.usable and upstream.has_room:
            found = self._next_waiter(upstream)
            if found is None:
                return
            client, waiter = found
            waiter.slot.set_result(_taken(upstream, client, waiter.utility))

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
        upstream, wait_s = self._soonest(waiter, utility, waited_s)
        if upstream is None or wait_s > 0:
            return min(wait_s, self._limits.max_utility_wait_s - waited_s)
        self._has_utility.add(client)
        _leave(self._held, client, waiter)
        if client in self._held:
            self._held.move_to_end(client)
        waiter.slot.set_result(_taken(upstream, client, waiter.utility))
        return math.inf

    def _soonest(
        self, waiter: _Waiter, utility: Utility, waited_s: float
    ) -> tuple[Upstream | None, float]:
        """The backend that it may be sent to first, and in how many seconds."""
        found: tuple[Upstream | None, float] = None, math.inf
        for upstream in self.serving(waiter.model):
            if upstream in waiter.avoid:
                continue
            wait_s = priority.wait_s(utility, self._load(upstream, waiter.model), waited_s)
            known = found[0]
            if known is None or (wait_s, upstream.in_flight) < (found[1], known.in_flight):
                found = upstream, wait_s
        return found

    def _load(self, upstream: Upstream, model: str) -> BackendLoad:
        return BackendLoad(
            slots=upstream.slots(model),
            in_flight=upstream.in_flight,
            is_waited_for=any(w.takes(upstream) for q in self._waiting.values() for w in q),
            quiet_s=_now() - upstream.turn_at,
        )

    def _queue_utility(self, client: str, waiter: _Waiter) -> None:
        """It has let turns go first for long enough: from now on it waits like one."""
        _leave(self._held, client, waiter)
        self._has_utility.add(client)
        self._waiting.setdefault(client, deque()).append(waiter)
        for upstream in self.serving(waiter.model):
            self._serve_waiting(upstream)

    def _next_waiter(self, upstream: Upstream) -> tuple[str, _Waiter] | None:
        for client, queue in self._waiting.items():
            waiter = next((w for w in queue if w.takes(upstream)), None)
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


def _taken(upstream: Upstream, client: str, utility: Utility | None = None) -> BackendSlot:
    upstream.in_flight += 1
    if utility is None:
        upstream.turn_at = _now()
    return BackendSlot(upstream, client, utility is not None)


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


def _route(free: Sequence[Upstream], prefixes: Sequence[int]) -> Upstream:
    if len(free) == 1:
        return free[0]
    most = min(u.in_flight for u in free) + _SLACK
    near = [u for u in free if u.in_flight <= most]
    return max(near, key=lambda u: (u.shared_prefix(prefixes), -u.in_flight))
