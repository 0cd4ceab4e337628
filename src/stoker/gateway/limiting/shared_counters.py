"""Counts in a store that several gateways share; this gateway's share while that is away."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable, Collection, Sequence
from functools import partial

from stoker.gateway.limiting.charge_outbox import ChargeOutbox
from stoker.gateway.limiting.counters import (
    STORE_TIMEOUT_S,
    Charge,
    Outcome,
    SharedStore,
    StoreAwayError,
    StoreCall,
    StoreState,
)
from stoker.gateway.limiting.gateway_share import GatewayShare
from stoker.gateway.limiting.memory_counters import MemoryCounters

_log = logging.getLogger("stoker.gateway")

#: A store that does not answer is asked again this often, beside the requests.
RETRY_S = 1.0
#: How often a gateway checks in, also without requests: it learns so of a store that was lost.
CHECK_IN_S = 2.0
#: A store that is back decides alone after this: the other gateways have noticed by then, and have
#: sent what they had counted. Until then a request must be within this gateway's share, too.
SETTLE_S = CHECK_IN_S + RETRY_S
#: Between two looks at what is left to be sent meanwhile.
_SENT_EVERY_S = 0.1
#: How long a request waits for what its owner's last one gives back: some times what it takes.
_GIVING_BACK_S = 0.1
#: How long the start waits for the store.
_START_S = 3.0


class SharedCounters:
    """Takes from the store, and while the store is away from this gateway's share of the rest.

    Memory holds what this gateway counted itself, for a store that has forgotten it. What is
    counted without an answer, and what is counted while the store is away, is sent to it together.
    """

    def __init__(self, store: SharedStore, on_change: Callable[[bool], None]) -> None:
        """``on_change`` learns whether the store answers."""
        self._store = store
        self._on_change = on_change
        self._own = MemoryCounters()
        self._share = GatewayShare(self._own)
        self._gateway = secrets.token_hex(8)
        self._outbox = ChargeOutbox(self._gateway)
        self._contents = ""
        self._is_up = False
        #: When the store alone decides, on the event loop's clock; ``None`` while it is away.
        self._settled_at: float | None = None
        self._was_lost = False
        self._has_warned = False
        self._sending: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None
        #: Calls to the store whose requests have ended.
        self._left: set[asyncio.Task[Outcome]] = set()

    async def start(self) -> None:
        """Connect; without the store, go on without it."""
        self._on_change(False)
        self._watching = asyncio.create_task(self._watch())
        await asyncio.wait({self._send_soon()}, timeout=_START_S)

    async def take(self, charges: Sequence[Charge]) -> Outcome:
        """Count all charges, or none where one of them exceeds its counter's limit.

        Where the client leaves meanwhile, what the store takes all the same is given back to it.
        """
        if self._settled_at is None:
            return self._take_here(charges)
        if not self._is_up:
            outcome = self._share.outcome(charges)
            if not outcome.taken:
                return outcome
        taking = asyncio.create_task(self._take_anywhere(charges))
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:
            self._left.add(taking)
            taking.add_done_callback(partial(self._give_back, charges))
            raise

    def add(self, charges: Collection[Charge]) -> None:
        """Count these whatever the limits are; negative amounts are given back."""
        if not charges:
            return
        self._share.add(charges, is_up=self._is_up)
        self._outbox.note(charges)
        self._send_soon()

    async def tidy(self, now: float) -> None:
        """Forget what no longer counts here, and in a store that does not do so by itself."""
        self._own.tidy(now)
        self._share.tidy(now)
        self._outbox.forget_outdated(now)
        if self._is_up:
            with contextlib.suppress(StoreAwayError):  # the next request finds out
                await self._store.tidy(now)

    async def close(self) -> None:
        """Send what is left to the store, and disconnect."""
        if self._is_up and not self._outbox.is_empty:
            await asyncio.wait({self._send_soon()}, timeout=_START_S)
        tasks = {task for task in (self._sending, self._watching) if task is not None}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        with contextlib.suppress(StoreAwayError):
            await self._store.close()

    async def _take_anywhere(self, charges: Sequence[Charge]) -> Outcome:
        call = self._outbox.call(charges)
        with contextlib.suppress(StoreAwayError):
            return await self._take_shared(call)
        return self._take_in_doubt(call)

    async def _take_shared(self, call: StoreCall) -> Outcome:
        if self._sending and self._outbox.gives_back(call.charges):
            # A client that asks again at once has one place, not two: the other gateways' clients
            # would be refused for it.
            await asyncio.wait({self._sending}, timeout=_GIVING_BACK_S)
        on_its_way = {self._sending} if self._sending and not self._sending.done() else set()
        try:
            outcome = await self._store.take(call)
            if not outcome.taken and on_its_way:  # what was given back a moment ago
                await asyncio.wait(on_its_way, timeout=STORE_TIMEOUT_S)
                outcome = await self._store.take(call)
        except StoreAwayError as error:
            self._lost(error)
            raise
        if outcome.taken:
            self._own.add(call.charges)
            self._outbox.answered(call, _now())
        if self._is_up:
            self._share.note(call.charges, outcome)
        elif outcome.taken:
            self._share.took(call.charges)
        return outcome

    def _take_in_doubt(self, call: StoreCall) -> Outcome:
        """The store may have counted the call: sent again, it counts once whatever happened."""
        outcome = self._share.take(call.charges)
        self._outbox.repeat(call)
        if not outcome.taken:
            self._outbox.note(_negative(call.charges))
        self._send_soon()
        return outcome

    def _take_here(self, charges: Sequence[Charge]) -> Outcome:
        outcome = self._share.take(charges)
        if outcome.taken:
            self._outbox.note(charges)
            self._send_soon()
        return outcome

    def _give_back(self, charges: Sequence[Charge], taking: asyncio.Task[Outcome]) -> None:
        self._left.discard(taking)
        if not taking.cancelled() and not taking.exception() and taking.result().taken:
            self.add(_negative(charges))

    def _send_soon(self) -> asyncio.Task[None]:
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send())
        return self._sending

    async def _send(self) -> None:
        """Send all that was not sent yet, in as many tries as it takes."""
        while not self._outbox.is_empty or not self._is_up:
            try:
                if self._settled_at is None:
                    self._reached(await self._store.check_in(self._gateway))
                if calls := self._outbox.first():
                    await self._store.add(calls)
                    self._outbox.done(calls, _now())
            except StoreAwayError as error:
                self._lost(error)
                await asyncio.sleep(RETRY_S)
            else:
                await self._settle()

    async def _settle(self) -> None:
        """Use the store again where everything was sent, also by the other gateways."""
        if self._is_up or not self._outbox.is_empty:
            return
        if self._settled_at is None or _now() < self._settled_at:
            await asyncio.sleep(_SENT_EVERY_S)
            return
        self._is_up, self._has_warned = True, False
        self._share.end()
        self._on_change(True)
        _log.info("the limits store answers: limits are shared with other gateways")

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(CHECK_IN_S)
            try:
                self._reached(await self._store.check_in(self._gateway))
            except StoreAwayError as error:
                self._lost(error)

    def _reached(self, state: StoreState) -> None:
        """The store answers: with what it held, or without."""
        self._share.gateways = max(1, state.gateways)
        if self._contents not in ("", state.contents):
            self._lost(StoreAwayError("it has forgotten what was counted"))
            self._outbox.replace(self._own.all())
        self._contents = state.contents
        if self._settled_at is None:
            self._settled_at = _now() + (SETTLE_S if self._was_lost else 0.0)

    def _lost(self, error: StoreAwayError) -> None:
        self._was_lost = True
        if not self._has_warned:
            self._has_warned = True
            _log.warning(
                "the limits store is away (%s): this gateway counts by itself until it is back",
                error,
            )
        if self._settled_at is not None:
            self._settled_at = None
            self._outbox.repeat_latest(_now())
        if self._is_up:
            self._is_up = False
            self._on_change(False)
            self._send_soon()


def _negative(charges: Sequence[Charge]) -> list[Charge]:
    return [charge._replace(amount=-charge.amount) for charge in charges]


def _now() -> float:
    return asyncio.get_running_loop().time()
