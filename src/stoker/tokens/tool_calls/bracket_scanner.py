"""Find where a JSON value or a Python call ends, without reading anything twice."""

from __future__ import annotations

import re

_JSON_STEP = re.compile(r'["\\{}\[\]]')
_PYTHON_STEP = re.compile(r"""\"\"\"|'''|["'\\(){}\[\]]""")
_OPEN, _CLOSE = "{[(", "}])"


class BracketScanner:
    """Follows brackets and strings from an opening bracket to the one that closes it.

    ``quotes`` are the characters that delimit strings: ``"`` in JSON, both kinds in Python, where
    three of a kind delimit a string of several lines.
    """

    def __init__(self, start: int, *, quotes: str = '"') -> None:
        self._position = start
        self._depth = 0
        self._quote: str | None = None
        self._end: int | None = None
        self._quotes = quotes
        self._step = _JSON_STEP if quotes == '"' else _PYTHON_STEP

    def end(self, text: str) -> int | None:
        """Return the index after the closing bracket, ``None`` while ``text`` has none yet."""
        if self._end is not None:
            return self._end
        while match := self._step.search(text, self._position):
            at, mark = match.start(), match.group()
            if self._is_undecided(text, at, mark):
                self._position = at
                return None
            if mark == "\\":
                self._position = at + 2 if self._quote else at + 1
                continue
            self._position = self._after_mark(at, mark)
            if self._bracket(mark):
                self._end = self._position
                return self._end
        self._position = len(text)
        return None

    def _is_undecided(self, text: str, at: int, mark: str) -> bool:
        """Whether what comes next decides what ``mark`` is: an escaped sign, or more quotes."""
        if mark == "\\":
            return at + 1 >= len(text)
        is_quote = self._step is _PYTHON_STEP and mark in "\"'"
        return is_quote and len(text) < at + 3 and not text[at:].strip(mark)

    def _after_mark(self, at: int, mark: str) -> int:
        """Three quotes inside a string with other quotes are ordinary characters of it."""
        inside = self._quote is not None and len(mark) > 1 and mark != self._quote
        return at + (1 if inside else len(mark))

    def _bracket(self, mark: str) -> bool:
        """Take one quote or bracket; return whether it closes the first one."""
        if self._quote is not None:
            closes = mark == self._quote or (len(self._quote) == 1 and mark == self._quote * 3)
            self._quote = None if closes else self._quote
        elif mark[0] in self._quotes:
            self._quote = mark
        elif mark in _OPEN:
            self._depth += 1
        elif mark in _CLOSE:
            self._depth -= 1
            return self._depth <= 0
        return False
