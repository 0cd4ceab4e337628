"""The types of the room: a check, its result, and the report of a run."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from stoker.checks.target import Endpoint
from stoker.engines import Recognised


class Use(enum.Enum):
    """What an editor does with an endpoint."""

    CHAT = "chat"
    AGENT = "agent mode"
    COMPLETION = "inline completion"
    COMMIT = "commit messages"


class Status(enum.Enum):
    """The outcome of a check.

    ``UNSUPPORTED``: the server reports that it does not have an optional feature. ``SKIPPED``: the
    check did not run, or proved nothing either way.
    """

    PASSED = "pass"
    FAILED = "fail"
    UNSUPPORTED = "not supported"
    SKIPPED = "skipped"


#: Runs one check against an endpoint. Returns what was seen, or raises ``Failed``,
#: ``NotSupported`` or ``NotShown``.
Run = Callable[[Endpoint], str]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that an endpoint must do, tried with real requests."""

    id: str
    group: str
    promise: str
    #: Why an editor needs it.
    why: str
    fix: str
    run: Run
    #: These uses do not work without it.
    needed_for: frozenset[Use] = frozenset()
    #: These uses work worse without it.
    helps: frozenset[Use] = frozenset()


class Table:
    """The checks of one group, filled by a decorator on each function."""

    def __init__(self, prefix: str, group: str) -> None:
        self._prefix = prefix
        self._group = group
        self.checks: list[Check] = []

    def check(
        self,
        name: str,
        promise: str,
        *,
        why: str,
        fix: str,
        needed_for: Sequence[Use] = (),
        helps: Sequence[Use] = (),
    ) -> Callable[[Run], Run]:
        """Register the function as the check ``PREFIX.name``."""

        def add(run: Run) -> Run:
            self.checks.append(
                Check(
                    f"{self._prefix}.{name}",
                    self._group,
                    promise,
                    why,
                    fix,
                    run,
                    frozenset(needed_for),
                    frozenset(helps),
                )
            )
            return run

        return add


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of one check, and what was ``seen``."""

    check: Check
    status: Status
    seen: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the endpoint works for one use, and which checks decided that."""

    #: ``good``, ``limited`` (it works, but worse: ``missing`` failed), ``no`` (``missing`` failed),
    #: or ``not judged`` (``missing`` did not run or proved nothing).
    word: str
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CheckReport:
    """One run of the checks against one endpoint."""

    url: str
    model: str
    #: What answers there.
    found: Recognised
    results: tuple[Result, ...]
    verdicts: Mapping[Use, Verdict]
    requests: int
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    #: Why the run ended before all checks had run.
    stopped: str | None = None

    def count(self, status: Status) -> int:
        """How many checks have this outcome."""
        return sum(1 for result in self.results if result.status is status)

    @property
    def good(self) -> bool:
        """Whether no check that ran rules out chat or agent mode."""
        words = {self.verdicts[use].word for use in (Use.CHAT, Use.AGENT)}
        return self.stopped is None and "no" not in words
