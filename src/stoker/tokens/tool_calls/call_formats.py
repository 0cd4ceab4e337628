"""The formats in which models print tool calls: where each begins, ends, and what it says.

A candidate looks at the text from its own beginning, each time that more has come. It answers
``None`` while it needs more, ``REJECTED`` as soon as the text can't be a call, else ``FoundCall``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from stoker.tokens.tool_calls.bracket_scanner import BracketScanner
from stoker.tokens.tool_calls.call_validation import (
    CALL_KEYS,
    NAME_KEYS,
    Call,
    ToolSchemas,
    pairs_in_xml,
    parameters_in_xml,
    parse_json,
)


@dataclass(frozen=True, slots=True)
class FoundCall:
    """Calls, and the index after the last character that belongs to them."""

    calls: tuple[Call, ...]
    end: int


class Rejected:
    """This is no call."""


REJECTED = Rejected()
Verdict = FoundCall | Rejected | None
Reader = Callable[[str, bool], Verdict]

_BLANK = " \t\r\n"
#: The first key of an object, or of the first object in an array, and its value if it is text.
_FIRST_KEY = re.compile(r'[\[{\s]*"([^"\\]*)("?)(?:(?<=")\s*:\s*"([^"\\]*)("?))?')
_IDENTIFIER = re.compile(r"[A-Za-z_][\w.\-/]*")
_HEAD_CHARS = 400
#: How far behind a marker a call's arguments begin at most.
_NAME_CHARS = 300


def skip_blank(text: str, start: int) -> int:
    """Return the index of the first character from ``start`` that is not white space."""
    while start < len(text) and text[start] in _BLANK:
        start += 1
    return start


def begins_with(text: str, start: int, word: str) -> bool | None:
    """Say whether ``word`` stands at ``start``; ``None`` while the text is too short to tell."""
    if text.startswith(word, start):
        return True
    return None if word.startswith(text[start:]) else False


class JsonValue:
    """A JSON object or array that describes calls, from its opening bracket."""

    def __init__(self, offered: ToolSchemas, start: int, *, sure: bool) -> None:
        self._offered = offered
        self._start = start
        self._sure = sure
        self._scanner = BracketScanner(start)

    def read(self, text: str, final: bool) -> Verdict:
        if not self._sure and self._is_other_json(text):
            return REJECTED
        end = self._scanner.end(text)
        if end is None:
            return REJECTED if final else None
        calls = self._offered.calls_in(parse_json(text[self._start : end]), sure=self._sure)
        return FoundCall(tuple(calls), end) if calls else REJECTED

    def _is_other_json(self, text: str) -> bool:
        """Say as early as possible that this JSON is an answer, not a call."""
        head = text[self._start : self._start + _HEAD_CHARS]
        match = _FIRST_KEY.match(head)
        if match is None:
            return len(head.strip("[{" + _BLANK)) > 0 or len(head) == _HEAD_CHARS
        key, key_ends, value, value_ends = match.groups()
        if not key_ends:
            return not any(known.startswith(key) for known in CALL_KEYS)
        if key not in CALL_KEYS:
            return True
        return bool(value_ends) and key in NAME_KEYS and value not in self._offered


class Arguments:
    """The JSON object of one call whose name is already known."""

    def __init__(self, offered: ToolSchemas, name: str, start: int) -> None:
        self._offered = offered
        self._name = name
        self._start = start
        self._scanner = BracketScanner(start)

    def read(self, text: str, final: bool) -> Verdict:
        end = self._scanner.end(text)
        if end is None:
            return REJECTED if final else None
        value = parse_json(text[self._start : end])
        if not isinstance(value, dict):
            return REJECTED
        call = self._offered.call(self._name, value)
        return REJECTED if call is None else FoundCall((call,), end)


class PythonCalls:
    """``[f(a=1), g(b="x")]``, Llama 4's pythonic form, from its opening bracket."""

    def __init__(self, offered: ToolSchemas, start: int) -> None:
        self._offered = offered
        self._start = start
        self._scanner = BracketScanner(start, quotes="\"'")

    def read(self, text: str, final: bool) -> Verdict:
        name_start = skip_blank(text, self._start + 1)
        if not self._may_name_a_tool(text[name_start : name_start + 200]):
            return REJECTED
        end = self._scanner.end(text)
        if end is None:
            return REJECTED if final else None
        calls = self._offered.calls_in_python(text[self._start : end])
        return FoundCall(tuple(calls), end) if calls else REJECTED

    def _may_name_a_tool(self, head: str) -> bool:
        name, bracket, _ = head.partition("(")
        if bracket:
            return name.rstrip() in self._offered
        return any(known.startswith(name) for known in self._offered.names)


class XmlFunction:
    """Qwen3-Coder's ``<function=name><parameter=key>...``, or Llama's with a JSON object."""

    OPEN, CLOSE = "<function=", "</function>"

    def __init__(self, offered: ToolSchemas, start: int) -> None:
        self._offered = offered
        self._start = start
        self._searched = start
        self._arguments: Arguments | None = None

    def read(self, text: str, final: bool) -> Verdict:
        name_start = self._start + len(self.OPEN)
        name_end = text.find(">", name_start, name_start + 200)
        if name_end < 0:
            too_long = len(text) - name_start >= 200 or "\n" in text[name_start:]
            return REJECTED if final or too_long else None
        name = text[name_start:name_end].strip(" \"'")
        if name not in self._offered:
            return REJECTED
        body = skip_blank(text, name_end + 1)
        if text.startswith("{", body):
            return self._read_json(text, final, name, body)
        return self._read_parameters(text, final, name, name_end + 1)

    def _read_json(self, text: str, final: bool, name: str, body: int) -> Verdict:
        if self._arguments is None:
            self._arguments = Arguments(self._offered, name, body)
        verdict = self._arguments.read(text, final)
        return _with_closing(text, verdict, final, self.CLOSE)

    def _read_parameters(self, text: str, final: bool, name: str, body: int) -> Verdict:
        end = self._end_of_parameters(text, body, final)
        if end is None:
            return REJECTED if final else None
        arguments = parameters_in_xml(text[body:end])
        call = None if arguments is None else self._offered.call_from_texts(name, arguments)
        return REJECTED if call is None else FoundCall((call,), end + len(self.CLOSE))

    def _end_of_parameters(self, text: str, body: int, final: bool) -> int | None:
        """Return where the closing tag stands that is no part of a parameter's value."""
        self._searched = max(self._searched, body)
        while (end := text.find(self.CLOSE, self._searched)) >= 0:
            inside = text[body:end].rstrip()
            if inside.endswith("</parameter>") or "<parameter=" not in inside:
                return end
            closes = begins_with(text, skip_blank(text, end + len(self.CLOSE)), "</tool_call>")
            if closes or final:
                return end
            if closes is None:
                return None
            self._searched = end + 1
        self._searched = max(self._searched, len(text) - len(self.CLOSE))
        return None


class GlmCall:
    """GLM 4.5: ``<tool_call>name`` and pairs of ``<arg_key>`` and ``<arg_value>``."""

    CLOSE = "</tool_call>"

    def __init__(self, offered: ToolSchemas, start: int) -> None:
        self._offered = offered
        self._start = start
        self._searched = start

    def read(self, text: str, final: bool) -> Verdict:
        match = _IDENTIFIER.match(text, self._start)
        if match is None:
            return REJECTED
        name = match.group()
        if match.end() == len(text) and not final:
            may_be = any(known.startswith(name) for known in self._offered.names)
            return None if may_be else REJECTED
        if name not in self._offered:
            return REJECTED
        end = self._end_of_pairs(text, match.end())
        if end is None:
            return REJECTED if final else None
        arguments = pairs_in_xml(text[match.end() : end])
        call = None if arguments is None else self._offered.call_from_texts(name, arguments)
        return REJECTED if call is None else FoundCall((call,), end + len(self.CLOSE))

    def _end_of_pairs(self, text: str, body: int) -> int | None:
        """Return where the closing tag stands that is no part of a value."""
        self._searched = max(self._searched, body)
        while (end := text.find(self.CLOSE, self._searched)) >= 0:
            inside = text[body:end].rstrip()
            if inside.endswith("</arg_value>") or "<arg_key>" not in inside:
                return end
            self._searched = end + 1
        self._searched = max(self._searched, len(text) - len(self.CLOSE))
        return None


class Wrapped:
    """What stands behind a marker such as ``<tool_call>``: JSON, XML, GLM's form, or Python."""

    def __init__(self, offered: ToolSchemas, start: int, closing: str = "") -> None:
        self._offered = offered
        self._start = start
        self._closing = closing
        self._inner: JsonValue | XmlFunction | GlmCall | PythonCalls | None = None

    def read(self, text: str, final: bool) -> Verdict:
        body = skip_blank(text, self._start)
        if self._inner is None:
            chosen = self._choose(text, body)
            if chosen is None or isinstance(chosen, Rejected):
                return REJECTED if final else chosen
            self._inner = chosen
        verdict = self._inner.read(text, final)
        if isinstance(verdict, FoundCall) and isinstance(self._inner, GlmCall):
            return verdict
        return _with_closing(text, verdict, final, self._closing)

    def _choose(
        self, text: str, body: int
    ) -> JsonValue | XmlFunction | GlmCall | PythonCalls | Rejected | None:
        if body == len(text):
            return None
        if text[body] == "{":
            return JsonValue(self._offered, body, sure=True)
        if text[body] == "[":
            return self._choose_list(text, body)
        function = begins_with(text, body, XmlFunction.OPEN)
        if function is not False:
            return XmlFunction(self._offered, body) if function else None
        is_glm = self._closing == GlmCall.CLOSE
        return GlmCall(self._offered, body) if is_glm else REJECTED

    def _choose_list(self, text: str, body: int) -> JsonValue | PythonCalls | None:
        inner = skip_blank(text, body + 1)
        if inner == len(text):
            return None
        if text[inner] in "{]":
            return JsonValue(self._offered, body, sure=True)
        return PythonCalls(self._offered, body)


class Mistral:
    """``[TOOL_CALLS]``: a JSON array (v1 to v7), or ``name[ARGS]{...}`` (v11 and later)."""

    OPEN = "[TOOL_CALLS]"

    def __init__(self, offered: ToolSchemas, start: int) -> None:
        self._offered = offered
        self._start = start + len(self.OPEN)
        self._inner: JsonValue | Arguments | None = None

    def read(self, text: str, final: bool) -> Verdict:
        if self._inner is None:
            chosen = self._choose(text, skip_blank(text, self._start))
            if chosen is None or isinstance(chosen, Rejected):
                return REJECTED if final else chosen
            self._inner = chosen
        return self._inner.read(text, final)

    def _choose(self, text: str, body: int) -> JsonValue | Arguments | Rejected | None:
        if body == len(text):
            return None
        if text[body] in "[{":
            return JsonValue(self._offered, body, sure=True)
        brace = text.find("{", body, body + _NAME_CHARS)
        if brace < 0:
            return REJECTED if len(text) - body >= _NAME_CHARS else None
        name = re.split(r"\[CALL_ID\]|\[ARGS\]", text[body:brace])[0].strip()
        if name not in self._offered:
            return REJECTED
        return Arguments(self._offered, name, brace)


class DeepSeek:
    """DeepSeek V3 and R1 (``function<sep>name`` and fenced JSON), V3.1 (``name<sep>{...}``)."""

    BEGIN_ALL, END_ALL = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"
    BEGIN, SEP, END = "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>"

    def __init__(self, offered: ToolSchemas, start: int) -> None:
        self._offered = offered
        self._start = start
        self._arguments: Arguments | None = None

    def read(self, text: str, final: bool) -> Verdict:
        if self._arguments is None:
            chosen = self._choose(text)
            if chosen is None or isinstance(chosen, Rejected):
                return REJECTED if final else chosen
            self._arguments = chosen
        verdict = self._arguments.read(text, final)
        if not isinstance(verdict, FoundCall):
            return verdict
        closed = _with_closing(text, verdict, final, "```")
        if not isinstance(closed, FoundCall):
            return closed
        closed = _with_closing(text, closed, final, self.END)
        return _with_closing(text, closed, final, self.END_ALL)

    def _choose(self, text: str) -> Arguments | Rejected | None:
        begin = self._start
        if text.startswith(self.BEGIN_ALL, begin):
            begin = skip_blank(text, begin + len(self.BEGIN_ALL))
            starts = begins_with(text, begin, self.BEGIN)
            if not starts:
                return None if starts is None else REJECTED
        begin += len(self.BEGIN)
        brace = text.find("{", begin, begin + _NAME_CHARS)
        if brace < 0:
            return REJECTED if len(text) - begin >= _NAME_CHARS else None
        first, sep, second = text[begin:brace].partition(self.SEP)
        if not sep:
            return REJECTED
        name = second.split("```")[0].strip() or first.strip()
        return Arguments(self._offered, name, brace) if name in self._offered else REJECTED


class Fenced:
    """A code fence that holds nothing but calls."""

    OPEN = "```"
    _LANGUAGES = ("json", "tool_call", "tool_calls", "tool_code", "tool", "xml", "python", "")

    def __init__(self, offered: ToolSchemas, start: int) -> None:
        self._offered = offered
        self._start = start + len(self.OPEN)
        self._body: int | None = None
        self._inner: Reader | None = None
        self._calls: tuple[Call, ...] = ()

    def read(self, text: str, final: bool) -> Verdict:
        if self._body is None:
            line_end = text.find("\n", self._start)
            rejected = self._language(text, line_end)
            if rejected is not None or line_end < 0:
                return REJECTED if final else rejected
            self._body = line_end
        while not self._calls or not text.startswith(self.OPEN, skip_blank(text, self._body)):
            verdict = self._next_call(text, final, skip_blank(text, self._body))
            if not isinstance(verdict, FoundCall):
                return verdict
            if not verdict.calls:
                return FoundCall(self._calls, verdict.end)
            self._calls += verdict.calls
            self._body = verdict.end
        return FoundCall(self._calls, skip_blank(text, self._body) + len(self.OPEN))

    def _language(self, text: str, line_end: int) -> Rejected | None:
        language = text[self._start : None if line_end < 0 else line_end].strip().lower()
        if line_end < 0:
            may_be = any(known.startswith(language) for known in self._LANGUAGES)
            return None if may_be else REJECTED
        return None if language in self._LANGUAGES else REJECTED

    def _next_call(self, text: str, final: bool, body: int) -> Verdict:
        """Read one more call; ``FoundCall`` without calls where the fence ends unclosed."""
        if self._inner is None:
            chosen = self._choose(text, body)
            if chosen is None and final and self._calls:
                return FoundCall((), body)
            if chosen is None or isinstance(chosen, Rejected):
                return REJECTED if final else chosen
            self._inner = chosen
        verdict = self._inner(text, final)
        if isinstance(verdict, FoundCall):
            self._inner = None
        return verdict

    def _choose(self, text: str, body: int) -> Reader | Rejected | None:
        if body == len(text):
            return None
        if text[body] in "{[":
            return _bare(self._offered, text, body)
        for word in ("<tool_call>", self.OPEN):
            stands = begins_with(text, body, word)
            if stands is None:
                return None
            if stands and word != self.OPEN:
                return Wrapped(self._offered, body + len(word), GlmCall.CLOSE).read
        return REJECTED


def _bare(offered: ToolSchemas, text: str, start: int) -> Reader | None:
    """Return the reader for a bracket that stands by itself; ``None`` while it is unclear."""
    if text[start] == "{":
        return JsonValue(offered, start, sure=False).read
    inner = skip_blank(text, start + 1)
    mistral = begins_with(text, start, Mistral.OPEN)
    if inner == len(text) or mistral is None:
        return None
    if mistral:
        return Mistral(offered, start).read
    if text[inner] == "{":
        return JsonValue(offered, start, sure=False).read
    return PythonCalls(offered, start).read


class Bare:
    """A call as bare JSON or Python at the beginning of a line."""

    def __init__(self, offered: ToolSchemas, start: int) -> None:
        self._offered = offered
        self._start = start
        self._inner: Reader | None = None

    def read(self, text: str, final: bool) -> Verdict:
        if self._inner is None:
            self._inner = _bare(self._offered, text, self._start)
            if self._inner is None:
                return REJECTED if final else None
        return self._inner(text, final)


class PythonTag:
    """Llama 3's ``<|python_tag|>``: JSON, or ``name.call(...)``; several are joined by ``;``."""

    OPEN = "<|python_tag|>"

    def __init__(self, offered: ToolSchemas, start: int) -> None:
        self._offered = offered
        self._start = start + len(self.OPEN)
        self._inner: JsonValue | None = None
        self._scanner: BracketScanner | None = None

    def read(self, text: str, final: bool) -> Verdict:
        body = skip_blank(text, self._start)
        if body == len(text):
            return REJECTED if final else None
        if text[body] in "{[":
            if self._inner is None:
                self._inner = JsonValue(self._offered, body, sure=True)
            return _with_closing(text, self._inner.read(text, final), final, ";")
        return self._read_python(text, final, body)

    def _read_python(self, text: str, final: bool, body: int) -> Verdict:
        match = _IDENTIFIER.match(text, body)
        if match is None or (match.end() < len(text) and text[match.end()] != "("):
            return REJECTED
        if match.end() == len(text):
            return REJECTED if final else None
        if self._scanner is None:
            self._scanner = BracketScanner(match.end(), quotes="\"'")
        end = self._scanner.end(text)
        if end is None:
            return REJECTED if final else None
        calls = self._offered.calls_in_python(text[body:end])
        return FoundCall(tuple(calls), end) if calls else REJECTED


def _with_closing(text: str, verdict: Verdict, final: bool, closing: str) -> Verdict:
    """Take the closing marker into what was found, if it follows; models forget it at times."""
    if not isinstance(verdict, FoundCall) or not closing:
        return verdict
    at = skip_blank(text, verdict.end)
    closes = begins_with(text, at, closing)
    if closes is None and not final:
        return None
    return FoundCall(verdict.calls, at + len(closing)) if closes else verdict


#: What begins each format wherever it stands, and what reads it from there.
MARKERS: dict[str, Callable[[ToolSchemas, int], Reader]] = {
    "<tool_call>": lambda o, at: Wrapped(o, at + len("<tool_call>"), "</tool_call>").read,
    "<tool_calls>": lambda o, at: Wrapped(o, at + len("<tool_calls>"), "</tool_calls>").read,
    "<|tool_call|>": lambda o, at: Wrapped(o, at + len("<|tool_call|>"), "<|/tool_call|>").read,
    "<tools>": lambda o, at: Wrapped(o, at + len("<tools>"), "</tools>").read,
    XmlFunction.OPEN: lambda o, at: Wrapped(o, at, "</tool_call>").read,
    PythonTag.OPEN: lambda o, at: PythonTag(o, at).read,
    Mistral.OPEN: lambda o, at: Mistral(o, at).read,
    DeepSeek.BEGIN_ALL: lambda o, at: DeepSeek(o, at).read,
    DeepSeek.BEGIN: lambda o, at: DeepSeek(o, at).read,
}
