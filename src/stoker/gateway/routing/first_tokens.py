"""Turns whose first token a person waits for, and completions that let them go first.

On a CPU two models share the cores: what one of them reads, the other is slower by. A suggestion
that comes a moment later is not missed, and the first word of an answer is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class FirstTokenWait:
    """One turn that has no first token yet. ``over`` may be called more than once."""

    def __init__(self, waits: FirstTokens) -> None:
        self._waits: FirstTokens | None = waits

    def over(self) -> None:
        """The first token came, or none will."""
        waits, self._waits = self._waits, None
        if waits is not None:
            waits.end_one()


class FirstTokens:
    """All turns of one gateway that have no first token yet.

    An answer that is not streamed shows its first token at its end, which may be long after: what
    lets turns go first does so for ``max_hold_s`` at most, and then until none is waited for.
    """

    def __init__(self, max_hold_s: float) -> None:
        self._max_hold_s = max_hold_s
        self._pending = 0
        self._held: set[asyncio.Future[None]] = set()
        #: Turns go first: one has no first token yet, and has not had ``max_hold_s`` of time.
        self._holds = False
        self._until = 0.0
        self._limit: asyncio.TimerHandle | None = None
        #: Called with ``True`` when turns begin to wait, and ``False`` when none does any more.
        self.watch: Callable[[bool], None] | None = None

    @property
    def pending(self) -> int:
        """How many first tokens are waited for."""
        return self._pending

    def begin(self) -> FirstTokenWait:
        """A turn was sent to its backend."""
        self._pending += 1
        if self._pending == 1:
            self._holds = True
            self._until = asyncio.get_running_loop().time() + self._max_hold_s
            if self.watch is not None:
                self._end_in_time()
                self.watch(True)
        return FirstTokenWait(self)

    def end_one(self) -> None:
        """One of them is no longer waited for."""
        self._pending -= 1
        if not self._pending and self._holds:
            self._go_on()

    async def none_pending(self) -> None:
        """Return once no first token is waited for, or turns have gone first for long enough."""
        if not self._holds:
            return
        self._end_in_time()
        held: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._held.add(held)
        try:
            await held
        finally:
            self._held.discard(held)

    def _end_in_time(self) -> None:
        """Hold what there is no longer than it may be: nothing sets a timer for nothing."""
        if self._limit is None:
            self._limit = asyncio.get_running_loop().call_at(self._until, self._go_on)

    def _go_on(self) -> None:
        """Nothing is held any longer, until turns begin to wait again."""
        self._holds = False
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None
        if self.watch is not None:
            self.watch(False)
        for held in self._held:
            if not held.done():
                held.set_result(None)
