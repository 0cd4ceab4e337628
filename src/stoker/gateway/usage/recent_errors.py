"""The errors of late, for the dashboard: what kind, how often, and since when. Never content.

Equal errors are one entry, so that one client that tries again and again hides no other error.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from stoker.errors import Problem
from stoker.recent_values import RecentValues

#: Kinds of errors that are kept: some 500 bytes each.
_MOST = 100
#: A code of the gateway or of an engine. Any other text might quote a request.
_CODE = re.compile(r"[a-z0-9_]{1,40}")

#: The codes of what is no answer to a request: a stream that broke off, and an engine that ended.
BROKEN_OFF = "broken_off"
ENGINE_ENDED = "engine_ended"


@dataclass(frozen=True, slots=True)
class ErrorKind:
    """What equal errors have in common. Empty where it is not known."""

    code: str
    #: What the client was answered; ``None`` for what is no answer to a request.
    status: int | None = None
    #: As the gateway's table has it.
    path: str = ""
    #: The model's own name.
    model: str = ""
    owner: str = ""
    #: Why an engine ended.
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class SeenError:
    """How often a kind of error was seen, and when, in seconds since the epoch."""

    kind: ErrorKind
    count: int
    first_at: float
    last_at: float


class RecentErrors:
    """The kinds of errors that were seen last."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._seen = RecentValues[ErrorKind, SeenError](_MOST)

    def note(self, kind: ErrorKind) -> None:
        """It happened once more."""
        now = self._now()
        before = self._seen.get(kind) or SeenError(kind, 0, now, now)
        self._seen.put(kind, SeenError(kind, before.count + 1, before.first_at, now))

    def latest(self) -> list[SeenError]:
        """All of them, the last one first."""
        return list(reversed(self._seen.values()))


def safe_code(code: str | None) -> str:
    """A code as it may be kept; empty where it is none."""
    return code if code is not None and _CODE.fullmatch(code) else ""
