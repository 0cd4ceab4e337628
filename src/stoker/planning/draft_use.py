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
#: Twice in a row: one long answer of one kind decides nothing.
_PARTS_BELOW = 2


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
        """What was counted after ``earlier``; all of it where the server is a new process."""
        if earlier.steps > self.steps:
            return self
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
    #: They have gone on costing (``DraftJudge``).
    costs: bool = False
    #: They were switched off after these counts.
    switched_off: bool = False

    @property
    def gain(self) -> float | None:
        """How many times the speed without drafts; ``None`` where that is not known."""
        return self.cost.gain(self.counts) if self.cost is not None else None


class DraftJudge:
    """Whether drafts go on costing: looks at one stretch of ``WARM_UP_STEPS`` after the other."""

    def __init__(self, cost: DraftCost) -> None:
        self._cost = cost
        self._before = DraftCounts(0, 0, 0)
        self._below = 0

    def costs(self, counts: DraftCounts) -> bool:
        """Whether the last stretches have all been too slow, with what is counted by now."""
        stretch = counts.since(self._before)
        if stretch.warmed_up:
            self._before = counts
            slow = self._cost.gain(stretch) < COSTS_BELOW
            # A server that is never idle is asked late: then one stretch is as long as several.
            self._below = self._below + stretch.steps // WARM_UP_STEPS if slow else 0
        elif counts.steps < self._before.steps:
            self._before, self._below = DraftCounts(0, 0, 0), 0
        return self._below >= _PARTS_BELOW
