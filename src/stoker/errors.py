"""The one way in which Stoker tells a person that something went wrong."""

from __future__ import annotations

import re

#: A name and a password in an address, as in ``https://me:secret@mirror.example.com``.
_CREDENTIALS = re.compile(r"(?<=://)[^/\s@]+@")


class StokerError(Exception):
    """Something a person can act on: what happened, why, and what to do next.

    ``exit_code`` is 1 where the work failed and 2 where the command was used wrongly. Credentials
    in addresses are left out, whatever other program's words they came with.
    """

    exit_code = 1

    def __init__(self, what: str, why: str = "", fix: str = "") -> None:
        self.what, self.why, self.fix = (_CREDENTIALS.sub("", text) for text in (what, why, fix))
        super().__init__(self.what)

    def __str__(self) -> str:
        return " ".join(part for part in (self.what, self.why, self.fix) if part)


class UsageError(StokerError):
    """The command was given something that it cannot take."""

    exit_code = 2
