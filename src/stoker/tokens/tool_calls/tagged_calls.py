"""Calls whose arguments stand between tags, each with its name: the data of the formats.

A value goes on until its closing tag is followed by what may follow it: the next argument or the
end of the call. So it may hold the closing tags itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from stoker.tokens.tool_calls.argument_types import from_text
from stoker.tokens.tool_calls.call_candidate import (
    IDENTIFIER,
    NAME_CHARS,
    REJECTED,
    ChosenReader,
    FoundCall,
    Rejected,
    Verdict,
    begins_with,
    skip_blank,
    word_at,
)
from stoker.tokens.tool_calls.call_validation import ToolSchemas
from stoker.tokens.tool_calls.json_calls import Arguments
from stoker.tokens.tool_calls.strict_json import parse_json_or_python

_ATTRIBUTE = re.compile(r"(?P<key>\w+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'<>]+))")


@dataclass(frozen=True, slots=True)
class TagSyntax:
    """The tags of one format.

    ``opening`` begins a call and ``argument`` an argument; the attributes of each follow, up to
    ``tag_end``. ``value`` stands between an argument's name and its value, where the name is no
    attribute.
    """

    opening: str
    closing: str
    argument: str
    end_argument: str
    tag_end: str = ">"
    value: str = ""
    name_key: str = "name"
    argument_key: str = "name"


def _invoke(space: str) -> TagSyntax:
    return TagSyntax(
        f"<{space}invoke", f"</{space}invoke>", f"<{space}parameter", f"</{space}parameter>"
    )


#: DeepSeek's name space; models write its bars twice or as ASCII, too
#: (https://github.com/AgentFlocks/flocks/pull/687, https://github.com/cline/cline/issues/13348).
DSML_SPACES = ("｜DSML｜", "|DSML|", "｜｜DSML｜｜", "||DSML||")
_PARAM = "<param"
_PARAMETER = TagSyntax("<function name", "</function>", "<parameter", "</parameter>")
#: ``<invoke name="f"><parameter name="key">value</parameter></invoke>`` and what is like it.
#: Sources: the chat templates of MiniMax M2 and dots (no name space), DeepSeek V3.2 and V4
#: (DSML; V4.1 has a blank behind it), Step 3 (steptml), MiniCPM5 (function, param), Kimi K3.
TAGS: tuple[TagSyntax, ...] = (
    *(_invoke(space) for space in ("", *DSML_SPACES, "steptml:", "antml:", "atem:")),
    *(_invoke(f"{space} ") for space in DSML_SPACES),
    TagSyntax("<function name", "</function>", _PARAM, "</param>"),
    TagSyntax(
        "<|open|>call",
        "<|close|>call<|sep|>",
        "<|open|>argument",
        "<|close|>argument<|sep|>",
        tag_end="<|sep|>",
        name_key="tool",
        argument_key="key",
    ),
)
#: GLM 4.5 and later, and with a name space or a suffix LongCat, K2 Horizon and Hy 3:
#: ``name`` and pairs of ``<arg_key>`` and ``<arg_value>``. From their chat templates.
_PAIR = re.compile(r"<(?P<space>(?:longcat_|ifm\|)?)arg_key(?P<suffix>(?::\w+)?)>")
_PAIR_BEGINS = ("<arg_key>", "<longcat_arg_key>", "<ifm|arg_key>", "<arg_key:")


class TaggedCall(ChosenReader):
    """One call in one of the formats of ``TAGS``, from its opening tag.

    ``followers`` are the markers that may stand behind it where it is in a wrapper.
    """

    def __init__(
        self, offered: ToolSchemas, start: int, syntax: TagSyntax, followers: tuple[str, ...] = ()
    ) -> None:
        self._offered = offered
        self._start = start
        self._syntax = syntax
        self._followers = (*followers, syntax.opening) if followers else ()

    def _choose(self, text: str) -> ArgumentTags | Arguments | Rejected | None:
        name_start = self._start + len(self._syntax.opening)
        if self._syntax.opening.endswith("name"):
            name_start -= len("name")
        tag = _read_tag(text, name_start, self._syntax)
        if tag is None or isinstance(tag, Rejected):
            return tag
        name = self._offered.resolve(tag.attributes.get(self._syntax.name_key, ""))
        if name is None:
            return REJECTED
        body = skip_blank(text, tag.end)
        if body == len(text):
            return None
        syntax = self._syntax
        if syntax.argument == _PARAM:  # models mix MiniMax' and Qwen's forms
            word = word_at(text, body, (_PARAMETER.argument,))
            if word is None:
                return None
            syntax = _PARAMETER if word else syntax
        if text[body] == "{":  # DeepSeek V3.2 writes the arguments as JSON at times
            self._after = self._syntax.closing
            return Arguments(self._offered, name, body)
        return ArgumentTags(self._offered, name, tag.end, syntax, self._followers)


class PairedCall(ChosenReader):
    """``name`` and its pairs of tags, up to the closing tag of the whole call."""

    def __init__(self, offered: ToolSchemas, start: int, closing: str) -> None:
        self._offered = offered
        self._start = start
        self._closing = closing

    def _choose(self, text: str) -> ArgumentTags | Rejected | None:
        match = IDENTIFIER.match(text, self._start)
        if match is None:
            return REJECTED
        if match.end() == len(text):
            return None if self._offered.may_name(match.group()) else REJECTED
        name = self._offered.resolve(match.group())
        if name is None:
            return REJECTED
        at = skip_blank(text, match.end())
        separator = word_at(text, at, ("<tool_sep>", "<tool_sep:opensource>"))
        if separator is None:
            return None
        at = skip_blank(text, at + len(separator or ""))
        tags = self._tags(text, at)
        if tags is None or isinstance(tags, Rejected):
            return tags
        return ArgumentTags(self._offered, name, at, tags)

    def _tags(self, text: str, at: int) -> TagSyntax | Rejected | None:
        match = _PAIR.match(text, at)
        if match is not None:
            return self._syntax(match["space"], match["suffix"])
        begins = word_at(text, at, (self._closing, *_PAIR_BEGINS))
        if begins == self._closing:
            return self._syntax("", "")
        may_be = begins is None or (begins == "<arg_key:" and len(text) - at < NAME_CHARS)
        return None if may_be else REJECTED

    def _syntax(self, space: str, suffix: str) -> TagSyntax:
        def tag(name: str) -> str:
            return f"{space}{name}{suffix}>"

        return TagSyntax(
            "",
            self._closing,
            f"<{tag('arg_key')}",
            f"</{tag('arg_value')}",
            tag_end=f"</{tag('arg_key')}",
            value=f"<{tag('arg_value')}",
        )


@dataclass(frozen=True, slots=True)
class _Tag:
    """What a tag contains, and the index after it."""

    text: str
    attributes: dict[str, str]
    end: int


class ArgumentTags:
    """The arguments of a call whose name is known, up to the tag that closes the call."""

    def __init__(
        self,
        offered: ToolSchemas,
        name: str,
        start: int,
        syntax: TagSyntax,
        followers: tuple[str, ...] = (),
    ) -> None:
        self._offered = offered
        self._name = name
        self._at = start
        self._syntax = syntax
        self._followers = followers
        #: Where the call may end, though nothing follows that does behind a call.
        self._doubtful: int | None = None
        self._values: dict[str, Any] = {}
        self._open: _Tag | None = None
        self._searched = start

    def read(self, text: str, final: bool) -> Verdict:
        while True:
            if self._open is None:
                done = self._next_argument(text)
                if done is None or isinstance(done, Rejected):
                    return REJECTED if final else done
                if isinstance(done, FoundCall):
                    return done
                self._open, self._searched = done, done.end
            end = self._end_of_value(text, final)
            if end is None:
                return REJECTED if final else None
            self._take(self._open, text[self._open.end : end])
            self._open, self._at = None, end + len(self._syntax.end_argument)

    def _next_argument(self, text: str) -> _Tag | FoundCall | Rejected | None:
        at = skip_blank(text, self._at)
        word = word_at(text, at, (self._syntax.closing, self._syntax.argument))
        if not word:
            return REJECTED if word is False else None
        if word == self._syntax.closing:
            call = self._offered.call(self._name, self._values)
            return REJECTED if call is None else FoundCall((call,), at + len(word))
        return self._argument_tag(text, at + len(word))

    def _argument_tag(self, text: str, at: int) -> _Tag | Rejected | None:
        tag = _read_tag(text, at, self._syntax)
        if tag is None or isinstance(tag, Rejected):
            return tag
        end = tag.end
        if self._syntax.value:
            end = skip_blank(text, end)
            opens = begins_with(text, end, self._syntax.value)
            if not opens:
                return None if opens is None else REJECTED
            end += len(self._syntax.value)
            return _Tag(tag.text, {self._syntax.argument_key: tag.text.strip()}, end)
        return tag if tag.attributes.get(self._syntax.argument_key) else REJECTED

    def _end_of_value(self, text: str, final: bool) -> int | None:
        """Return the index of the tag that closes the value; those within it are skipped."""
        closing, argument = self._syntax.end_argument, self._syntax.argument
        while (end := text.find(closing, self._searched)) >= 0:
            at = skip_blank(text, end + len(closing))
            follows = word_at(text, at, (argument, self._syntax.closing))
            if follows == self._syntax.closing and self._followers:
                follows = self._follows_call(text, at + len(follows), final)
                self._doubtful = end if follows is False and not self._doubtful else self._doubtful
            if follows is None:
                return None
            if follows:
                return self._first_end(text, end)
            self._searched = end + 1
        self._searched = max(self._searched, len(text) - len(closing) + 1)
        return self._doubtful if final else None

    def _follows_call(self, text: str, at: int, final: bool) -> str | Literal[False] | None:
        """Return what of ``followers`` stands behind a call; the end of the answer is one."""
        at = skip_blank(text, at)
        found = word_at(text, at, self._followers)
        return self._followers[0] if found is None and final else found

    def _first_end(self, text: str, end: int) -> int:
        """Prefer an end that was in doubt, where another call begins behind it."""
        first = self._doubtful
        is_first = first is not None and self._syntax.opening in text[first:end]
        return first if first is not None and is_first else end

    def _take(self, tag: _Tag, value: str) -> None:
        """Remember a value, as it stands where the tag declares a text."""
        key = tag.attributes[self._syntax.argument_key]
        kind = tag.attributes.get("string", tag.attributes.get("type", ""))
        schema = self._offered.type_of(self._name, key)
        if kind in {"true", "string"}:
            self._values[key] = value
            return
        parsed = parse_json_or_python(value) if kind else None
        is_null = kind in {"false", "null"} and value.strip() == "null"
        typed = parsed is not None or is_null
        self._values[key] = parsed if typed else from_text(value, schema)


def _read_tag(text: str, at: int, syntax: TagSyntax) -> _Tag | Rejected | None:
    """Read the rest of a tag from behind its first word."""
    end = text.find(syntax.tag_end, at, at + NAME_CHARS)
    if end < 0:
        return REJECTED if len(text) - at >= NAME_CHARS else None
    inside = text[at:end]
    found = {m["key"]: next(filter(None, m.groups()[1:]), "") for m in _ATTRIBUTE.finditer(inside)}
    # Kimi K3 writes these two signs of an attribute as entities.
    values = {
        key: value.replace("&quot;", '"').replace("&amp;", "&") for key, value in found.items()
    }
    return _Tag(inside, values, end + len(syntax.tag_end))
