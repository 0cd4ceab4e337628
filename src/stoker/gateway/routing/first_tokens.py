"""Turns whose first token a person waits for, and completions that let them go first.

On a CPU two models share the cores: what one of them reads, the other is slower by. A suggestion
that comes a moment later is not missed, and the first word of an answer is.
"""

from __future__ import annotations

import asyncio


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
    """All turns of one gateway that have no first token yet."""

    def __init__(self, max_hold_s: float) -> None:
        self._max_hold_s = max_hold_s
        self._pending = 0
        self._held: set[asyncio.Future[None]] = set()

    @property
    def pending(self) -> int:
        """How many first tokens are waited for."""
        return self._pending

    def begin(self) -> FirstTokenWait:
        """A turn was sent to its backend."""
        self._pending += 1
        return FirstTokenWait(self)

    def end_one(self) -> None:
        """One of them is no longer waited for."""
        self._pending -= 1
        if self._pending:
            return
        for held in self._held:
            if not held.done():
                held.set_result(None)

    async def none_pending(self) -> None:
        """Return once no first token is waited for, and after ``max_hold_s`` in any case.

        An answer that is not streamed shows its first token at its end: that may be long after.
        """
        if not self._pending:
            return
        held: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._held.add(held)
        try:
            await asyncio.wait({held}, timeout=self._max_hold_s)
        finally:
            self._held.discard(held)
