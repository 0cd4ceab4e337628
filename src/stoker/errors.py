"""The one way in which Stoker tells a person that something went wrong."""

from __future__ import annotations


class StokerError(Exception):
    """Something a person can act on: what happened, why, and what to do next.

    ``exit_code`` is 1 where the work failed and 2 where the command was used wrongly.
    """

    exit_code = 1

    def __init__(self, what: str, why: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.fix = fix

    def __str__(self) -> str:
        return " ".join(part for part in (self.what, self.why, self.fix) if part)


class UsageError(StokerError):
    """The command was given something that it cannot take."""

    exit_code = 2
