"""Calls written as JSON: objects, arrays of them, and the arguments of a call named before."""

from __future__ import annotations

import re

from stoker.tokens.tool_calls.bracket_scanner import BracketScanner
from stoker.tokens.tool_calls.call_candidate import (
    BLANK,
    NAME_CHARS,
    REJECTED,
    FoundCall,
    Rejected,
    Verdict,
    skip_blank,
    with_closing,
)
from stoker.tokens.tool_calls.call_validation import CALL_KEYS, NAME_KEYS, ToolSchemas
from stoker.tokens.tool_calls.strict_json import missing_brackets, parse_json_or_python

#: The first key of an object, or of the first object in an array, and its value if it is text.
_FIRST_KEY = re.compile(
    r'[\[{ \t\r\n]*"([^"\\]*)("?)(?:(?<=")[ \t\r\n]*:[ \t\r\n]*"([^"\\]*)("?))?'
)
_HEAD_CHARS = 400
#: How many closing markers within a text are taken for the end of a call that lacks brackets.
_MAX_ATTEMPTS = 8
_OPENING = "[{" + BLANK


class JsonValue:
    """A JSON object or array that describes calls, from its opening bracket.

    Where the model marked it as a call (``sure``), Python's way to write the same is read too, and
    what small models get wrong: brackets that are missing before one of ``closings``, and brackets
    that are doubled as in the template of a prompt.
    """

    def __init__(
        self, offered: ToolSchemas, start: int, *, sure: bool, closings: tuple[str, ...] = ()
    ) -> None:
        self._offered = offered
        self._start = start
        self._sure = sure
        self._closings = closings
        self._searched = start
        self._attempts_left = _MAX_ATTEMPTS
        self._scanner: BracketScanner | None = None

    def read(self, text: str, final: bool) -> Verdict:
        if not self._sure and self._is_other_json(text):
            return REJECTED
        if self._scanner is None:
            self._scanner = value_scanner(text, self._start)
        end = None if self._scanner is None else self._scanner.end(text)
        if end is None:
            return self._completed(text) or (REJECTED if final else None)
        return self._calls(text[self._start : end], end)

    def _calls(self, written: str, end: int) -> FoundCall | Rejected:
        value = parse_json_or_python(written)
        if value is None and self._sure and written.startswith("{{") and written.endswith("}}"):
            value = parse_json_or_python(written[1:-1])
        calls = self._offered.calls_in(value, sure=self._sure)
        return FoundCall(tuple(calls), end) if calls else REJECTED

    def _completed(self, text: str) -> FoundCall | None:
        """The call up to a closing marker, where it lacks nothing but its last brackets."""
        while self._closings and self._attempts_left:
            found = (text.find(closing, self._searched) for closing in self._closings)
            end = min((at for at in found if at >= 0), default=None)
            if end is None:
                longest = max(map(len, self._closings))
                self._searched = max(self._searched, len(text) - longest)
                return None
            self._attempts_left -= 1
            self._searched = end + 1
            written = text[self._start : end].rstrip()
            missing = missing_brackets(written)
            verdict = self._calls(written + missing, end) if missing else None
            if isinstance(verdict, FoundCall):
                return verdict
        return None

    def _is_other_json(self, text: str) -> bool:
        """Whether this JSON is an answer, not a call; decided as early as possible."""
        head = text[self._start : self._start + _HEAD_CHARS]
        match = _FIRST_KEY.match(head)
        if match is None:
            return len(head.strip(_OPENING)) > 0 or len(head) == _HEAD_CHARS
        key, key_ends, value, value_ends = match.groups()
        if not key_ends:
            return not any(known.startswith(key) for known in CALL_KEYS)
        if key not in CALL_KEYS:
            return True
        return bool(value_ends) and key in NAME_KEYS and self._offered.resolve(value) is None


class Arguments:
    """The JSON object of one call whose name is already known.

    ``known`` accepts only arguments that the tool has: where the text may not be a call.
    """

    def __init__(self, offered: ToolSchemas, name: str, start: int, *, known: bool = False) -> None:
        self._known = known
        self._offered = offered
        self._name = name
        self._start = start
        self._scanner: BracketScanner | None = None

    def read(self, text: str, final: bool) -> Verdict:
        if self._scanner is None:
            self._scanner = value_scanner(text, self._start)
        end = None if self._scanner is None else self._scanner.end(text)
        if end is None:
            return REJECTED if final else None
        value = parse_json_or_python(text[self._start : end])
        if not isinstance(value, dict):
            return REJECTED
        if self._known and not value.keys() <= self._offered.parameters_of(self._name).keys():
            return REJECTED
        call = self._offered.call(self._name, value)
        return REJECTED if call is None else FoundCall((call,), end)


def value_scanner(text: str, start: int) -> BracketScanner | None:
    """Return what finds the end of a JSON value, or of a Python one where ``'`` comes first.

    ``None`` while that is undecided.
    """
    at = start
    while at < len(text) and text[at] in _OPENING:
        at += 1
    if at == len(text):
        return None
    return BracketScanner(start, quotes="\"'" if text[at] == "'" else '"')


class NamedArguments:
    """A name, and the JSON of its arguments, with a special token between the two.

    The tokens are those of the templates of DeepSeek V3, R1 and V3.1, of Kimi K2, of Mistral
    (tokenizers v11 and later), of PLaMo 3 and of Solar Open.
    """

    #: What stands between the beginning of a call and ``{``.
    _HEADER = re.compile(
        r"(?:function\s*(?:<｜tool▁sep｜>|<\|tool[▁_]sep\|>)\s*|[\w-]+<\|tool_call:name\|>)?(?P<name>[\w.\-/:]+)\s*"
        r"(?:<｜tool▁sep｜>|<\|tool[▁_]sep\|>|<\|tool_call:args\|>|<\|tool_call_argument_begin\|>|(?:\[CALL_ID\]\s*[\w\-]+\s*)?\[ARGS\]|"
        r"<\|plamo:end_tool_name:plamo\|><\|plamo:begin_tool_arguments:plamo\|>"
        r"(?:<\|plamo:constrain\|>json<\|plamo:msg\|>)?)?"
        r"\s*(?P<fence>```(?:json)?\s*)?"
    )

    def __init__(self, offered: ToolSchemas, start: int) -> None:
        self._offered = offered
        self._start = start
        self._fence = ""
        self._arguments: Arguments | None = None

    def read(self, text: str, final: bool) -> Verdict:
        if self._arguments is None:
            brace = text.find("{", self._start, self._start + NAME_CHARS)
            if brace < 0:
                too_long = len(text) - self._start >= NAME_CHARS
                return REJECTED if final or too_long else None
            header = self._HEADER.fullmatch(text, self._start, brace)
            name = None if header is None else self._offered.resolve(header["name"])
            if header is None or name is None:
                return REJECTED
            self._fence = "```" if header["fence"] else ""
            self._arguments = Arguments(self._offered, name, brace)
        return with_closing(text, self._arguments.read(text, final), final, self._fence)


def is_json(text: str, start: int) -> bool | None:
    """Whether the bracket at ``start`` opens JSON, not a list of Python calls."""
    if text[start] == "{":
        return True
    inner = skip_blank(text, start + 1)
    return None if inner == len(text) else text[inner] in "{]["
