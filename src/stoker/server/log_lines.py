"""Lines from the bytes of an engine's log, progress bars among them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

#: A progress bar is redrawn about ten times a second; the log shows it this often.
PROGRESS_EVERY_S = 5.0
#: A longer line is cut to this length, which is enough to recognise it.
_MAX_LINE_BYTES = 65536
#: A return before a line feed is part of the line's end; any other lets a bar be written over.
#: A return at the end of the bytes so far waits for what follows.
_END = re.compile(rb"(\r?\n|\r(?=[^\n]))")


class Lines:
    """Bytes in pieces of any size go in, lines come out.

    A progress bar ends with a carriage return each time it is drawn. One of these every
    ``progress_every_s`` is a line, and the last: enough to show that the engine makes progress,
    and not so many that they push everything else out of the log.
    """

    def __init__(
        self,
        now: Callable[[], float] = time.monotonic,
        progress_every_s: float = PROGRESS_EVERY_S,
    ) -> None:
        self._now = now
        self._progress_every_s = progress_every_s
        self._rest = b""
        self._next_progress_at = float("-inf")
        #: The beginning of the current line was returned already.
        self._cut = False

    def feed(self, data: bytes) -> list[str]:
        """The lines that are complete now."""
        *parts, self._rest = _END.split(self._rest + data)
        found: list[str] = []
        for line, end in zip(parts[::2], parts[1::2], strict=True):
            if not self._cut and (end != b"\r" or self._is_due(line)):
                found.append(_text(line))
            self._cut = False
        if len(self._rest) > _MAX_LINE_BYTES:
            found += self.end()
            self._cut = True
        return found

    def end(self) -> list[str]:
        """The rest, after the last bytes."""
        rest, self._rest = _text(self._rest), b""
        return [rest] if rest and not self._cut else []

    def _is_due(self, progress: bytes) -> bool:
        now = self._now()
        if not progress.strip() or now < self._next_progress_at:
            return False
        self._next_progress_at = now + self._progress_every_s
        return True


def _text(line: bytes) -> str:
    return line.decode("utf-8", errors="replace").rstrip()
