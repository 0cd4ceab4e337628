"""Which of an engine's arguments are better than a plan's on this machine, by measurement. Pure.

A trial and the best plan so far are measured in turns, so that what changes on the machine changes
both. A trial is kept where it was clearly faster each time, and the best once more at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import TypeAlias

from stoker.errors import StokerError
from stoker.planning import Plan, Trial

#: Seconds for the same work under a plan. Raises ``StokerError`` where it does not start.
Measure: TypeAlias = Callable[[Plan], float]
#: Seconds that are left.
TimeLeft: TypeAlias = Callable[[], float]

#: How often both are measured. Where neither is faster, and the same work differs from itself by a
#: tenth, one of them is ``LEAST_GAIN`` faster three times in a row once in 16, and another three
#: times at the end once in 256.
PAIRS = 3
#: Less than this is not worth an argument of its own.
LEAST_GAIN = 1.03
#: A trial that was slower by this factor at the first time is not measured again.
_HOPELESS = 0.9


@dataclass(frozen=True, slots=True)
class Measuring:
    """A trial is about to be measured: the ``number``-th of ``of``."""

    trial: Trial
    number: int
    of: int


@dataclass(frozen=True, slots=True)
class Judged:
    """What came of a trial."""

    trial: Trial
    #: Time without it / time with it; ``None`` where the engine does not start with it.
    gain: float | None
    kept: bool
    #: Why it does not start.
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """The end of a search."""

    #: The best plan; the one that was given where nothing is better.
    plan: Plan
    #: How much faster it is than the one that was given.
    gain: float
    #: The time was up before all trials were measured.
    is_partial: bool = False


SearchEvent: TypeAlias = Measuring | Judged


@dataclass(frozen=True, slots=True)
class Pairs:
    """Seconds of the same work without and with a change, measured in turns."""

    without: tuple[float, ...]
    with_it: tuple[float, ...]

    @property
    def gain(self) -> float:
        """The median of the ratios of neighbours."""
        return median(a / b for a, b in zip(self.without, self.with_it, strict=True))

    @property
    def is_better(self) -> bool:
        """Whether it was faster each time, beyond what is not worth it."""
        return all(a >= LEAST_GAIN * b for a, b in zip(self.without, self.with_it, strict=True))


def search(
    plan: Plan,
    trials: Iterable[Trial],
    measure: Measure,
    time_left: TimeLeft,
    known: Mapping[str, float | None] = {},
) -> Generator[SearchEvent, None, Found]:
    """Try one trial after the other on top of the best so far, then the best against ``plan``.

    ``known``: trials by name that were measured before and were not better. Raises ``StokerError``
    where the best so far does not start, which is no fault of a trial.
    """
    best, is_partial = plan, False
    open_ = [trial for trial in trials if trial.name not in known]
    for number, trial in enumerate(open_, 1):
        changed = best.with_arguments(trial.arguments)
        if changed.fingerprint == best.fingerprint:
            continue
        yield Measuring(trial, number, len(open_))
        try:
            pairs = _measured(best, changed, measure, time_left)
        except _TrialError as failed:
            yield Judged(trial, None, kept=False, problem=failed.problem)
            continue
        if pairs is None:
            is_partial = True
            break
        if pairs.is_better:
            best = changed
        yield Judged(trial, pairs.gain, kept=pairs.is_better)
    if best is plan:
        return Found(plan, 1.0, is_partial)
    try:
        final = _measured(plan, best, measure, lambda: float("inf"))
    except _TrialError:
        final = None  # it did start before: not to be relied on
    if final is None or not final.is_better:
        return Found(plan, 1.0, is_partial)
    return Found(best, final.gain, is_partial)


class _TrialError(Exception):
    """The engine does not start, or does not answer, with what is tried."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


def _measured(plan: Plan, changed: Plan, measure: Measure, time_left: TimeLeft) -> Pairs | None:
    """Both in turns; ``None`` where the time is up. One that is far slower is measured once."""
    without: list[float] = []
    with_it: list[float] = []
    for _ in range(PAIRS):
        if time_left() <= 2 * max((*without, *with_it, 0.0)):
            return None
        without.append(measure(plan))
        try:
            with_it.append(measure(changed))
        except StokerError as error:
            raise _TrialError(error.what) from error
        if without[0] / with_it[0] < _HOPELESS:
            break
    return Pairs(tuple(without), tuple(with_it))
