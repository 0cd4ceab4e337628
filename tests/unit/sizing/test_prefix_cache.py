"""Runs of blocks behave as the single blocks that they stand for."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from stoker.sizing.prefix_cache import Holding, PrefixCache

BLOCKS, HEAD = 24, 5
Place = tuple[str, int]


class SingleBlocks:
    """vLLM's pool as it is: a queue of free blocks, each with the place that it holds, or none."""

    def __init__(self) -> None:
        self.queue: list[int] = list(range(BLOCKS))
        self.content: dict[int, Place] = {}
        self.users = [0] * BLOCKS
        #: Blocks with one content, in the order in which they got it.
        self.known: dict[Place, list[int]] = {}

    def match(self, places: list[Place]) -> list[int]:
        found = []
        for place in places:
            if not self.known.get(place):
                break
            found.append(self.known[place][0])
        return found

    def hold(self, blocks: list[int]) -> None:
        for block in blocks:
            if not self.users[block]:
                self.queue.remove(block)
            self.users[block] += 1

    def take(self, count: int) -> list[int]:
        taken, self.queue = self.queue[:count], self.queue[count:]
        for block in taken:
            if (place := self.content.pop(block, None)) is not None:
                self.known[place].remove(block)
            self.users[block] = 1
        return taken

    def learn(self, block: int, place: Place) -> None:
        self.content[block] = place
        self.known.setdefault(place, []).append(block)

    def release(self, blocks: list[int]) -> None:
        first: list[int] = []
        last: list[int] = []
        for block in reversed(blocks):
            self.users[block] -= 1
            if not self.users[block]:
                (last if block in self.content else first).append(block)
        self.queue = first + self.queue + last


class Comparison(RuleBasedStateMachine):
    """Requests come, grow and go, in both."""

    def __init__(self) -> None:
        super().__init__()
        self.runs, self.single = PrefixCache(BLOCKS), SingleBlocks()
        self.held: list[tuple[Holding, list[int], str]] = []

    @rule(talk=st.sampled_from("abc"), blocks=st.integers(1, 12), open_end=st.booleans())
    def come(self, talk: str, blocks: int, open_end: bool) -> None:
        places = [place(talk, at) for at in range(blocks)]
        found = self.single.match(places)
        pieces, free = self.runs.match((("head", HEAD), (talk, blocks)), blocks)
        assert (pieces[-1][2] if pieces else 0) == len(found)
        assert free == sum(not self.single.users[block] for block in found)
        more = blocks - len(found) + open_end
        if more + free > self.runs.free:
            return
        holding = Holding()
        self.runs.hold(holding, pieces)
        self.single.hold(found)
        own = found + self._take(holding, more)
        self._learn(holding, own, talk, blocks)
        self.held.append((holding, own, talk))

    @precondition(lambda self: self.held)
    @rule(pick=st.integers(0, 99), blocks=st.integers(1, 4))
    def grow(self, pick: int, blocks: int) -> None:
        holding, own, talk = self.held[pick % len(self.held)]
        if blocks > self.runs.free:
            return
        own += self._take(holding, blocks)
        self._learn(holding, own, talk, len(own))

    @precondition(lambda self: self.held)
    @rule(pick=st.integers(0, 99))
    def go(self, pick: int) -> None:
        holding, own, _ = self.held.pop(pick % len(self.held))
        self.runs.release(holding)
        self.single.release(own)

    @invariant()
    def as_many_are_free(self) -> None:
        assert self.runs.free == len(self.single.queue)

    def _take(self, holding: Holding, count: int) -> list[int]:
        self.runs.take(count)
        holding.open_blocks += count
        return self.single.take(count)

    def _learn(self, holding: Holding, own: list[int], talk: str, blocks: int) -> None:
        for at in range(holding.cached, blocks):
            self.single.learn(own[at], place(talk, at))
        self.runs.learn(holding, "head", min(blocks, HEAD))
        self.runs.learn(holding, talk, blocks)


def place(talk: str, at: int) -> Place:
    return ("head" if at < HEAD else talk, at)


TestRunsOfBlocks = Comparison.TestCase
TestRunsOfBlocks.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)
