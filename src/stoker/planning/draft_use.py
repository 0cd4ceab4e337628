"""What drafts of speculative decoding bring, by a server's own counts and by the plan's costs."""

from __future__ import annotations

from dataclasses import dataclass

#: Fewer steps show too little: these are ten answers of agent mode (``requirements.NEEDS``) at two
#: tokens a step. Answers differ more than steps do: 32 % of the drafts are right in prose, and 98 %
#: in code.
WARM_UP_STEPS = 2000
#: Drafts cost where answers are slower than this part of the speed without. The cost of a step is
#: predicted and not measured, and half of the gains that are published for Qwen3.8-27B on 11 kinds
#: of GPU are within 7 % of the prediction (docs/contributing/planning.md).
COSTS_BELOW = 0.9
#: Two stretches in a row: one task with many answers of one kind decides nothing.
_SLOW_STEPS = 2 * WARM_UP_STEPS


@dataclass(frozen=True, slots=True)
class DraftCounts:
    """What a server has counted of its drafts since it was started."""

    #: Steps in which drafts were checked, of all requests together.
    steps: int
    drafted: int
    accepted: int

    @property
    def tokens_per_step(self) -> float:
        """Tokens that a step has added to an answer: its own, and the drafts that were right."""
        return 1 + self.accepted / max(1, self.steps)

    @property
    def drafts_per_step(self) -> float:
        """How many were checked in a step; an engine may draft fewer than planned."""
        return self.drafted / max(1, self.steps)

    @property
    def warmed_up(self) -> bool:
        """Whether they show anything."""
        return self.steps >= WARM_UP_STEPS

    def since(self, earlier: DraftCounts) -> DraftCounts:
        """What was counted after ``earlier``, by the same process."""
        return DraftCounts(
            self.steps - earlier.steps,
            self.drafted - earlier.drafted,
            self.accepted - earlier.accepted,
        )


@dataclass(frozen=True, slots=True)
class DraftCost:
    """What a plan's drafts cost by the engine's model of speed, for one request at a time."""

    #: Making and checking one draft, in steps without drafts.
    draft_steps: float
    #: Tokens that a step is expected to add to an answer.
    tokens_per_step: float

    def gain(self, counts: DraftCounts) -> float:
        """How many times the speed without drafts these counts mean: below 1 they cost."""
        return counts.tokens_per_step / (1 + counts.drafts_per_step * self.draft_steps)


@dataclass(frozen=True, slots=True)
class DraftUse:
    """The drafts of a server that runs."""

    counts: DraftCounts
    #: ``None`` where the costs of its kind of drafts are not known.
    cost: DraftCost | None = None
    #: The user has set them, or ``stoker tune`` has found them: they are never switched off.
    wanted: bool = False
    #: What was counted while they went on costing (``DraftJudge``).
    slow: DraftCounts | None = None
    #: They were switched off after these counts.
    switched_off: bool = False

    @property
    def shown(self) -> DraftCounts:
        """The counts that matter: those of the time in which they cost, else all."""
        return self.slow or self.counts

    @property
    def gain(self) -> float | None:
        """How many times the speed without drafts; ``None`` where that is not known."""
        return self.cost.gain(self.shown) if self.cost is not None else None


class DraftJudge:
    """Whether drafts go on costing: looks at one stretch of ``WARM_UP_STEPS`` after the other."""

    def __init__(self, cost: DraftCost) -> None:
        self._cost = cost
        #: At the end of the last stretch, and of the last one that was quick enough.
        self._judged = self._quick = DraftCounts(0, 0, 0)

    def slow(self, counts: DraftCounts) -> DraftCounts | None:
        """With what is counted by now: the last stretches, where enough of them were too slow.

        A server that is never idle is asked late: then one stretch is as long as several.
        """
        if counts.steps < self._judged.steps:  # another process
            self._judged = self._quick = DraftCounts(0, 0, 0)
        stretch = counts.since(self._judged)
        if stretch.warmed_up:
            self._judged = counts
            if self._cost.gain(stretch) >= COSTS_BELOW:
                self._quick = counts
        found = self._judged.since(self._quick)
        return found if found.steps >= _SLOW_STEPS else None
