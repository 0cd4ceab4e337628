"""Counts in a store that several gateways share; in memory while that store is away."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial

from stoker.gateway.limiting.counters import (
    STORE_TIMEOUT_S,
    Charge,
    Outcome,
    SharedStore,
    StoreAwayError,
)
from stoker.gateway.limiting.memory_counters import MemoryCounters

_log = logging.getLogger("stoker.gateway")

#: A store that does not answer is asked again this often, beside the requests.
RETRY_S = 1.0
#: Counters that one call to the store changes at most, so that it ends in time.
_SENT_AT_ONCE = 500
#: How long the start waits for the store.
_START_S = 3.0


class SharedCounters:
    """Takes from the store, and from memory while the store is away.

    Memory holds what this gateway counted itself, so that its limits go on where they were. What is
    counted without an answer, and what is counted while the store is away, is sent to it together.
    """

    def __init__(self, store: SharedStore, on_change: Callable[[bool], None]) -> None:
        """``on_change`` learns whether the store answers."""
        self._store = store
        self._on_change = on_change
        self._memory = MemoryCounters()
        #: By the counter's name and the bucket.
        self._unsent: dict[tuple[str, int], Charge] = {}
        self._is_up = False
        self._has_warned = False
        self._sending: asyncio.Task[None] | None = None
        #: Calls to the store whose requests have ended.
        self._left: set[asyncio.Task[Outcome]] = set()

    async def start(self) -> None:
        """Connect; without the store, go on without it."""
        self._on_change(False)
        sending = self._send_soon()
        await asyncio.wait({sending}, timeout=_START_S)

    async def take(self, charges: Sequence[Charge]) -> Outcome:
        """Count all charges, or none where one of them exceeds its counter's limit.

        Where the client leaves meanwhile, what the store takes all the same is given back to it.
        """
        if not self._is_up:
            return self._take_here(charges)
        taking = asyncio.create_task(self._take_anywhere(charges))
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:
            self._left.add(taking)
            taking.add_done_callback(partial(self._give_back, charges))
            raise

    async def _take_anywhere(self, charges: Sequence[Charge]) -> Outcome:
        with contextlib.suppress(StoreAwayError):
            return await self._take_shared(charges)
        return self._take_here(charges)

    def _give_back(self, charges: Sequence[Charge], taking: asyncio.Task[Outcome]) -> None:
        self._left.discard(taking)
        if not taking.cancelled() and not taking.exception() and taking.result().taken:
            self.add([charge._replace(amount=-charge.amount) for charge in charges])

    def _take_here(self, charges: Sequence[Charge]) -> Outcome:
        outcome = self._memory.take(charges)
        if outcome.taken:
            self._note(charges)
        return outcome

    def add(self, charges: Collection[Charge]) -> None:
        """Count these whatever the limits are; negative amounts are given back."""
        if charges:
            self._memory.add(charges)
            self._note(charges)

    async def tidy(self, now: float) -> None:
        """Forget what no longer counts here; the store does it by itself."""
        self._memory.tidy(now)
        for key, (counter, bucket, _) in list(self._unsent.items()):
            if counter.window.end_of(bucket) < now:
                del self._unsent[key]
        if self._is_up:
            with contextlib.suppress(StoreAwayError):  # the next request finds out
                await self._store.tidy(now)

    async def close(self) -> None:
        """Send what is left to the store, and disconnect."""
        if self._is_up and self._unsent:
            await asyncio.wait({self._send_soon()}, timeout=_START_S)
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.wait({self._sending})
        with contextlib.suppress(StoreAwayError):
            await self._store.close()

    async def _take_shared(self, charges: Sequence[Charge]) -> Outcome:
        on_its_way = {self._sending} if self._sending and not self._sending.done() else set()
        try:
            outcome = await self._store.take(charges)
            if not outcome.taken and on_its_way:  # what was given back a moment ago
                await asyncio.wait(on_its_way, timeout=STORE_TIMEOUT_S)
                outcome = await self._store.take(charges)
        except StoreAwayError as error:
            self._lost(error)
            raise
        if outcome.taken:
            self._memory.add(charges)
        return outcome

    def _note(self, charges: Iterable[Charge]) -> None:
        self._keep(charges)
        self._send_soon()

    def _keep(self, charges: Iterable[Charge]) -> None:
        for charge in charges:
            key = (charge.counter.name, charge.bucket)
            known = self._unsent.get(key)
            amount = charge.amount + (known.amount if known else 0)
            self._unsent[key] = charge._replace(amount=amount)

    def _send_soon(self) -> asyncio.Task[None]:
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send())
        return self._sending

    async def _send(self) -> None:
        """Send all that was not sent yet, in as many tries as it takes."""
        while self._unsent or not self._is_up:
            count = min(len(self._unsent), _SENT_AT_ONCE)
            part = [self._unsent.popitem()[1] for _ in range(count)]
            try:
                if not self._is_up:
                    await self._store.open()
                if part:
                    await self._store.add(part)
            except StoreAwayError as error:
                self._keep(part)
                self._lost(error)
                await asyncio.sleep(RETRY_S)
            else:
                self._found()

    def _found(self) -> None:
        if not self._is_up and not self._unsent:
            self._is_up, self._has_warned = True, False
            self._on_change(True)
            _log.info("the limits store answers: limits are shared with other gateways")

    def _lost(self, error: StoreAwayError) -> None:
        if not self._has_warned:
            self._has_warned = True
            _log.warning(
                "the limits store is away (%s): this gateway counts by itself until it is back",
                error,
            )
        if self._is_up:
            self._is_up = False
            self._on_change(False)
            self._send_soon()
