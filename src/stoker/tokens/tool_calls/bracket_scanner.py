"""Find where a JSON value or a Python call ends, without reading anything twice."""

from __future__ import annotations

import re

_JSON_STEP = re.compile(r'["\\{}\[\]]')
_PYTHON_STEP = re.compile(r"""["'\\(){}\[\]]""")
_OPEN, _CLOSE = "{[(", "}])"


class BracketScanner:
    """Follows brackets and strings from an opening bracket to the one that closes it.

    ``quotes`` are the characters that delimit strings: ``"`` in JSON, both kinds in Python.
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
            at, char = match.start(), match.group()
            if char == "\\":
                if at + 1 >= len(text):
                    self._position = at
                    return None  # what it escapes has not come yet
                self._position = at + 2 if self._quote else at + 1
                continue
            self._position = at + 1
            if self._bracket(char):
                self._end = self._position
                return self._end
        self._position = len(text)
        return None

    def _bracket(self, char: str) -> bool:
        """Take one quote or bracket; return whether it closes the first one."""
        if self._quote is not None:
            self._quote = None if char == self._quote else self._quote
        elif char in self._quotes:
            self._quote = char
        elif char in _OPEN:
            self._depth += 1
        elif char in _CLOSE:
            self._depth -= 1
            return self._depth <= 0
        return False
