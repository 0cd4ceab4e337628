"""A file of a site, with the reason for each line that a person may ask about."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

#: Comments are wrapped at this many characters.
_WIDTH = 100


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a file, and why it is there; without a reason it gets no comment."""

    text: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Reason:
    """What ``--explain`` prints: a line, or the name of a part, as it is in the file, and why."""

    at: str
    why: str


@dataclass(frozen=True, slots=True)
class SiteFile:
    """A file to write. ``path`` is relative to the folder of the site, with ``/``."""

    path: str
    text: str
    reasons: tuple[Reason, ...] = ()
    executable: bool = False

    @classmethod
    def of(
        cls, path: str, lines: Sequence[Line | str], *, comment: str = "#", executable: bool = False
    ) -> SiteFile:
        """A file of these lines. A reason becomes the comment above its line."""
        given = [Line(line) if isinstance(line, str) else line for line in lines]
        written = [text for line in given for text in _with_comment(line, comment)]
        return cls(
            path,
            "\n".join(written) + "\n",
            tuple(Reason(line.text.strip(), line.why) for line in given if line.why),
            executable,
        )


def indented(lines: Sequence[Line | str], spaces: int) -> list[Line]:
    """The lines, so many spaces further to the right."""
    given = [Line(line) if isinstance(line, str) else line for line in lines]
    return [Line(f"{' ' * spaces}{line.text}" if line.text else "", line.why) for line in given]


def _with_comment(line: Line, comment: str) -> list[str]:
    if not line.why:
        return [line.text]
    before = line.text[: len(line.text) - len(line.text.lstrip())] + f"{comment} "
    wrapped = textwrap.wrap(line.why, max(40, _WIDTH - len(before)), break_on_hyphens=False)
    return [*(before + part for part in wrapped), line.text]
