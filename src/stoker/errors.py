"""The one shape of everything that goes wrong: what happened, why, and what to do next."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields

#: A name and a password in an address, as in ``https://me:secret@mirror.example.com``.
_CREDENTIALS = re.compile(r"(?<=://)[^/\s@]+@")


@dataclass(frozen=True, slots=True)
class Problem:
    """What happened, why, and what to do next, as a value that can be stored and compared.

    Credentials in addresses are removed, whichever program worded the text.
    """

    what: str
    why: str = ""
    fix: str = ""

    def __post_init__(self) -> None:
        for field in fields(self):
            text = getattr(self, field.name)
            object.__setattr__(self, field.name, _CREDENTIALS.sub("", text))

    def __str__(self) -> str:
        return " ".join(part for part in (self.what, self.why, self.fix) if part)


class StokerError(Exception):
    """A problem, raised.

    ``exit_code`` is 1 where the work failed and 2 where the command was used wrongly.
    """

    exit_code = 1

    def __init__(self, what: str, why: str = "", fix: str = "") -> None:
        self.problem = Problem(what, why, fix)
        super().__init__(self.problem.what)

    @classmethod
    def of(cls, problem: Problem) -> StokerError:
        """The problem, to be raised."""
        return cls(problem.what, problem.why, problem.fix)

    @property
    def what(self) -> str:
        """What happened."""
        return self.problem.what

    @property
    def why(self) -> str:
        """Why it happened; empty where that is not known."""
        return self.problem.why

    @property
    def fix(self) -> str:
        """What to do next."""
        return self.problem.fix

    def __str__(self) -> str:
        return str(self.problem)


class UsageError(StokerError):
    """The command was given something that it does not accept."""

    exit_code = 2
