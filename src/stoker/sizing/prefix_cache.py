"""vLLM's cache of prompt blocks, exactly, kept as runs of blocks instead of single ones.

vLLM (``vllm/v1/core/block_pool.py``) keeps free blocks in a queue: blocks whose content is known go
to its end when their last user is done, the last block of a prompt first, and others to its front;
new blocks come from its front and lose their content then. All blocks of a request are touched,
freed and evicted in the order of their place, so this class keeps *runs* of them: a prompt of
150,000 tokens is two or three runs and not 9,400 blocks, which makes a simulated request
cheap. ``tests/integration/test_vllm_scheduler.py`` compares every decision with vLLM's own classes.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable

Chain = Hashable


class BlockRun:
    """Full blocks ``lo`` to ``hi`` (not included) of one chain of content, all used alike."""

    __slots__ = ("after", "before", "chain", "hi", "lo", "users")

    def __init__(self, chain: Chain, lo: int, hi: int, users: int) -> None:
        self.chain = chain
        self.lo = lo
        self.hi = hi
        #: Requests that hold these blocks; with 0 they are in the queue of free blocks.
        self.users = users
        self.before: BlockRun | None = None
        self.after: BlockRun | None = None


#: A part of a run that a prompt can begin with: the run, and the first and last block of it.
Piece = tuple[BlockRun, int, int]


class Holding:
    """The blocks of one request: runs with known content, then ``open_blocks`` without."""

    __slots__ = ("cached", "open_blocks", "runs")

    def __init__(self) -> None:
        self.runs: list[BlockRun] = []
        #: Blocks from the first on whose content is known to the cache.
        self.cached = 0
        self.open_blocks = 0


class PrefixCache:
    """The blocks of one engine. A *chain* names content; equal chains have equal content."""

    def __init__(self, blocks: int) -> None:
        self.blocks = blocks
        self.free = blocks
        #: Free blocks without content, which are at the front of the queue and used first.
        self._blank = blocks
        #: The runs of each chain in the order in which their content became known. Two runs hold
        #: the same blocks where two requests read one content at the same time.
        self._chains: dict[Chain, list[BlockRun]] = {}
        self._holdings: dict[Holding, None] = {}
        self._oldest: BlockRun | None = None
        self._newest: BlockRun | None = None

    def match(self, parts: Iterable[tuple[Chain, int]], limit: int) -> tuple[list[Piece], int]:
        """The longest known beginning, up to ``limit`` blocks, and how many of them are free.

        ``parts`` are the chains of a prompt with the block at which each ends.
        """
        pieces: list[Piece] = []
        at = free = 0
        for chain, chain_end in parts:
            end = min(chain_end, limit)
            runs = self._chains.get(chain)
            while runs and at < end:
                piece = _piece_at(runs, at, end)
                if piece is None:
                    break
                pieces.append(piece)
                if not piece[0].users:
                    free += piece[2] - at
                at = piece[2]
            if at < end:
                break
        return pieces, free

    def hold(self, holding: Holding, pieces: list[Piece]) -> None:
        """Let a request use ``pieces``, which were matched just now."""
        self._holdings[holding] = None
        for run, lo, hi in pieces:
            part = self._cut_out(run, lo, hi)
            if not part.users:
                self._unqueue(part)
                self.free -= hi - lo
            part.users += 1
            holding.runs.append(part)
            holding.cached = hi

    def take(self, count: int) -> None:
        """Use ``count`` free blocks, the longest unused first. There must be as many."""
        self.free -= count
        blank = min(count, self._blank)
        self._blank -= blank
        count -= blank
        while count and (run := self._oldest):
            evicted = min(count, run.hi - run.lo)
            run.hi -= evicted
            count -= evicted
            if run.hi == run.lo:
                self._unqueue(run)
                self._forget(run)

    def learn(self, holding: Holding, chain: Chain, end: int) -> None:
        """Make the content of a request's blocks known up to block ``end``, all of ``chain``."""
        start = holding.cached
        if end <= start:
            return
        holding.open_blocks -= end - start
        holding.cached = end
        runs = self._chains.setdefault(chain, [])
        last = holding.runs[-1] if holding.runs else None
        overlaps = any(r.hi > start and r.lo < end for r in runs)
        if last and last.chain == chain and last.users == 1 and last.hi == start and not overlaps:
            last.hi = end
            return
        run = BlockRun(chain, start, end, 1)
        runs.append(run)
        holding.runs.append(run)

    def release(self, holding: Holding) -> None:
        """Free a request's blocks: those at its end are evicted first."""
        del self._holdings[holding]
        self._blank += holding.open_blocks
        self.free += holding.open_blocks
        for run in reversed(holding.runs):
            run.users -= 1
            if not run.users:
                self.free += run.hi - run.lo
                self._queue_last(run)
        holding.runs.clear()
        holding.cached = holding.open_blocks = 0

    def _cut_out(self, run: BlockRun, lo: int, hi: int) -> BlockRun:
        """The run of exactly ``lo`` to ``hi``, cut out of ``run`` if that is longer."""
        if hi < run.hi:
            run = self._split(run, hi)
        if lo > run.lo:
            self._split(run, lo)
        return run

    def _split(self, run: BlockRun, at: int) -> BlockRun:
        """Make a run of the blocks below ``at``, and return it; ``run`` keeps those from there on.

        A free run keeps its place in the queue: the upper part is evicted before the lower one.
        """
        lower = BlockRun(run.chain, run.lo, at, run.users)
        run.lo = at
        runs = self._chains[run.chain]
        runs.insert(runs.index(run), lower)
        if not run.users:
            self._queue_after(run, lower)
            return lower
        for holding in self._holdings:
            if run in holding.runs:
                holding.runs.insert(holding.runs.index(run), lower)
        return lower

    def _forget(self, run: BlockRun) -> None:
        runs = self._chains[run.chain]
        runs.remove(run)
        if not runs:
            del self._chains[run.chain]

    def _queue_last(self, run: BlockRun) -> None:
        run.before = self._newest
        if self._newest is None:
            self._oldest = run
        else:
            self._newest.after = run
        self._newest = run

    def _queue_after(self, run: BlockRun, new: BlockRun) -> None:
        new.before, new.after = run, run.after
        if run.after is None:
            self._newest = new
        else:
            run.after.before = new
        run.after = new

    def _unqueue(self, run: BlockRun) -> None:
        before, after = run.before, run.after
        if before is None:
            self._oldest = after
        else:
            before.after = after
        if after is None:
            self._newest = before
        else:
            after.before = before
        run.before = run.after = None


def _piece_at(runs: list[BlockRun], at: int, end: int) -> Piece | None:
    """The blocks from ``at`` on that became known first: up to where an earlier run has some."""
    for index, run in enumerate(runs):
        if run.lo <= at < run.hi:
            hi = min(run.hi, end)
            for earlier in runs[:index]:
                if at < earlier.lo < hi:
                    hi = earlier.lo
            return run, at, hi
    return None
