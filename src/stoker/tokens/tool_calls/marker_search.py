"""Where the next marker stands in the text of an answer, and whether it counts there."""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass

from stoker.tokens.tool_calls.call_candidate import BLANK
from stoker.tokens.tool_calls.call_formats import MARKERS
from stoker.tokens.tool_calls.call_validation import ToolSchemas
from stoker.tokens.tool_calls.message_headers import BODY_ENDS, FIRST_OPENINGS, HEADERS
from stoker.tokens.tool_calls.named_calls import may_begin_named, named_reader
from stoker.tokens.tool_calls.thinking_tags import CLOSING_TAGS, THINKING_TAGS
from stoker.tokens.tool_calls.unmarked_calls import Fenced

_WORDS = (*MARKERS, *HEADERS, *BODY_ENDS, *THINKING_TAGS, *CLOSING_TAGS)
_HELD = (*_WORDS, Fenced.OPEN)
_LONGEST_MARKER = max(map(len, _HELD))
_ANYWHERE = "|".join(re.escape(m) for m in sorted(_WORDS, key=len, reverse=True))
_AT_LINE_START = r"[ \t]*(?:(?P<bare>(?=[{\[]|```))|(?P<named>(?=<?[A-Za-z_✿])))"
#: Where the text goes on with a line, and where it begins one.
_MARKER = re.compile(rf"{_ANYWHERE}|(?<=\n){_AT_LINE_START}")
_MARKER_OF_LINE = re.compile(rf"{_ANYWHERE}|(?:(?<=\n)|\A){_AT_LINE_START}")
_SPAN_STEP = re.compile(r"`+|\n|[^`\n]+")
#: Every beginning of a marker that is not a whole one.
PREFIXES = frozenset(marker[:length] for marker in _HELD for length in range(1, len(marker)))


class MarkerSearch:
    """Finds markers in the pending text, by the text that was passed on before it."""

    def __init__(self, offered: ToolSchemas) -> None:
        self._offered = offered
        self._line_start = True
        self._code_span = _CodeSpan()
        #: Nothing but white space has come since the beginning, a call or the end of a message:
        #: only there a header begins a message. Anywhere else it is quoted.
        self.fresh = True
        #: Inside a code block that is no call, brackets at the beginning of a line are code.
        self.in_code = False
        #: Inside a fence of a language in which no model calls tools, everything is text.
        self.quoting = False

    def passed(self, text: str) -> None:
        """This text is passed on."""
        self._code_span = self._code_span.after(text)
        self.fresh = self.fresh and not text.strip(BLANK)
        line = text.rpartition("\n")[2]
        self._line_start = not line.strip(" \t") and ("\n" in text or self._line_start)

    def passed_call(self) -> None:
        """A call is passed on."""
        self._line_start = self.fresh = True
        self._code_span = _CodeSpan()

    def thinking_ended(self) -> None:
        """What comes now is the answer."""
        self.in_code, self._line_start = False, True

    def begin_fence(self, info: str) -> None:
        """A code fence begins or ends here, with ``info`` on its line."""
        self.in_code = not self.in_code
        self.quoting = self.in_code and Fenced.quotes(info)

    def find(
        self, text: str, closing_tags: Container[str], closings: Container[str]
    ) -> re.Match[str] | None:
        """The first marker of ``text`` that counts.

        ``closing_tags`` end the thinking, and ``closings`` the message, that the text is in.
        """
        blank = len(text) - len(text.lstrip(BLANK))
        span, read = self._code_span, 0
        marker = _MARKER_OF_LINE if self._line_start else _MARKER
        for match in marker.finditer(text):
            word, at_start = match.group(), match.start() <= blank
            span, read = span.after(text[read : match.start()]), match.start()
            if word in CLOSING_TAGS:
                if word in closing_tags:
                    return match
                continue
            if word in THINKING_TAGS and not self._begins_line(text, match.start()):
                continue
            if match.lastgroup == "named" and not named_reader(self._offered, text, match.end()):
                continue
            if self._is_quoted(match, span) or (word in BODY_ENDS and word not in closings):
                continue
            if self._counts(match, at_start):
                return match
        return None

    def may_begin_marker(self, text: str) -> int:
        """Return how many characters at the end may become a marker with what comes next."""
        if length := self._may_begin_named(text):
            return length
        tail = text[-_LONGEST_MARKER:]
        for length in range(len(tail), 0, -1):
            begun = tail[-length:]
            if begun in PREFIXES and not (
                begun[0].isalpha() and not self._begins_line(text, len(text) - length)
            ):
                return length
        return 0

    def _may_begin_named(self, text: str) -> int:
        line_start = text.rfind("\n") + 1
        if self.in_code or not (line_start or self._line_start):
            return 0
        line = text[line_start:]
        return len(line) if may_begin_named(self._offered, line) else 0

    def _counts(self, match: re.Match[str], at_start: bool) -> bool:
        """Whether a marker is where one of its kind may be."""
        word = match.group()
        if word in THINKING_TAGS:
            return True
        if word in HEADERS or word in FIRST_OPENINGS:
            return self.fresh and at_start
        return not word[:1].isalpha() or self._begins_line(match.string, match.start())

    def _is_quoted(self, match: re.Match[str], span: _CodeSpan) -> bool:
        """Whether a marker stands in a fence of another language, or between backticks."""
        if match.lastgroup == "bare":
            return self.quoting and not match.string.startswith(Fenced.OPEN, match.end())
        return self.quoting or span.is_open or (match.lastgroup == "named" and self.in_code)

    def _begins_line(self, text: str, start: int) -> bool:
        """Whether only blanks stand between ``start`` and the beginning of its line, or a call."""
        _, line_end, line = text[:start].rpartition("\n")
        return not line.strip(" \t") and bool(line_end or self._line_start)


@dataclass(frozen=True, slots=True)
class _CodeSpan:
    """Whether the text so far ends within backticks, which quote a marker in its line."""

    inside: bool = False
    run: int = 0

    @property
    def is_open(self) -> bool:
        return self.inside != (0 < self.run < len(Fenced.OPEN))

    def after(self, text: str) -> _CodeSpan:
        """Return what holds once ``text`` has come too."""
        if "`" not in text and "\n" not in text:
            return _CodeSpan(self.is_open) if text else self
        now = self
        for part in _SPAN_STEP.findall(text):
            if part[0] == "`":
                now = _CodeSpan(now.inside, now.run + len(part))
            else:
                now = _CodeSpan(now.is_open and part != "\n")
        return now
