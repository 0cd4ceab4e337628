"""The requests of an engine that write their answers, one token a step, counted together."""

from __future__ import annotations

from heapq import heappop, heappush

from stoker.sizing.in_flight import InFlight


class Decoders:
    """Sums over all that decode, so that a step costs the same however many they are."""

    __slots__ = ("_ends", "_phases", "block_size", "count", "step", "tokens")

    def __init__(self, block_size: int) -> None:
        self.block_size = block_size
        #: Decode steps since the engine started.
        self.step = 0
        self.count = 0
        #: Tokens in the cache of all of them.
        self.tokens = 0
        #: How many need a new block at each step, by the step's remainder.
        self._phases = [0] * block_size
        self._ends: list[tuple[int, int, InFlight]] = []

    def join(self, one: InFlight) -> None:
        """Let ``one``, whose prompt is processed and whose first token is known, decode."""
        one.offset = one.computed - self.step
        one.end_step = self.step + one.goal - one.known
        one.chunk = 0
        self.count += 1
        self.tokens += one.computed
        self._phases[-one.offset % self.block_size] += 1
        heappush(self._ends, (one.end_step, one.order, one))

    def leave(self, one: InFlight) -> None:
        """Take ``one`` out, finished or not, and note how far it came."""
        one.computed = self.step + one.offset
        one.known = one.computed + 1
        self.count -= 1
        self.tokens -= one.computed
        self._phases[-one.offset % self.block_size] -= 1
        one.end_step = -1

    def new_blocks(self, steps: int) -> int:
        """Blocks that the next ``steps`` steps need."""
        whole, rest = divmod(steps, self.block_size)
        at, phases = self.step, self._phases
        need = whole * self.count
        for ahead in range(rest):
            need += phases[(at + ahead) % self.block_size]
        return need

    def steps_to_end(self) -> int | None:
        """Steps until the first of them is done; ``None`` where none decodes."""
        ends = self._ends
        while ends and ends[0][2].end_step != ends[0][0]:
            heappop(ends)
        return ends[0][0] - self.step if ends else None

    def advance(self, steps: int) -> list[InFlight]:
        """Count ``steps`` steps, and take out those that are done, in the order of admission."""
        self.step += steps
        self.tokens += steps * self.count
        done: list[InFlight] = []
        ends = self._ends
        while ends and ends[0][0] <= self.step:
            end, _, one = heappop(ends)
            if one.end_step == end:
                done.append(one)
                self.leave(one)
        return done
