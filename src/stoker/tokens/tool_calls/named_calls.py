"""Calls that begin a line with the name of a tool: as a tag, or before the JSON of its arguments.

Models that were taught the prompts of agents such as Cline print ``<read_file><path>a.py</path>
</read_file>``. Mistral's and Kimi's calls begin so where a server strips the special tokens:
``read_file[ARGS]{...}``, ``functions.read_file:0{...}``. GLM 4's have the name and the arguments on
a line each; ReAct's and Qwen 2's have a label before both.
"""

from __future__ import annotations

import re

from stoker.tokens.tool_calls.call_candidate import (
    REJECTED,
    FoundCall,
    Reader,
    Verdict,
    skip_blank,
    word_at,
)
from stoker.tokens.tool_calls.call_validation import ToolSchemas
from stoker.tokens.tool_calls.json_calls import Arguments, NamedArguments

_ARGS = "[ARGS]"
#: What stands before the name, and then before the arguments: ReAct (https://arxiv.org/abs/2210.03629,
#: as LangChain and Qwen's templates write it), and Qwen-Agent's prompt for Qwen 2.
_LABELS = {"Action:": "Action Input:", "✿FUNCTION✿:": "✿ARGS✿:"}
_NAME_OF_LINE = re.compile(
    rf"(?P<label>{'|'.join(_LABELS)}|)[ \t]*(?P<name>[A-Za-z_][\w.\-/:]*)[ \t]*\r?\n"
)
_BEGINS = re.compile(r"<(?P<tag>[A-Za-z_][\w.\-]*)>|(?P<name>[A-Za-z_][\w.\-/:]*)(?:\[ARGS\])?\{")
_MAY_BEGIN = re.compile(r"[ \t]*(?P<tag><?)(?P<name>[A-Za-z_][\w.\-/:]*)(?P<rest>\[[ARGS]*\]?)?")
#: Kimi's number of a call, as far as it has come.
_NUMBER = re.compile(r":\d*$")
_NAME_CHARS = 200
_BLANK = " \t\r"


def named_reader(offered: ToolSchemas, text: str, at: int) -> Reader | None:
    """Return what reads the call whose name begins at ``at``; ``None`` where none does."""
    line = _NAME_OF_LINE.match(text, at, at + _NAME_CHARS)
    if line is not None:
        name = offered.resolve(line["name"])
        label = _LABELS.get(line["label"], "")
        return None if name is None else ArgumentsOnNextLine(offered, name, line.end(), label).read
    begins = _BEGINS.match(text, at, at + _NAME_CHARS)
    if begins is None:
        return None
    if begins["name"]:
        return NamedArguments(offered, at).read if offered.resolve(begins["name"]) else None
    return NamedTag(offered, begins["tag"], begins.end()).read if begins["tag"] in offered else None


def may_begin_named(offered: ToolSchemas, line: str) -> bool:
    """Return whether a line that has come so far can still begin a call."""
    line = line.strip(_BLANK)
    if not line or len(line) >= _NAME_CHARS:
        return False
    label = next((label for label in _LABELS if line.startswith(label)), "")
    name = line.removeprefix(label).lstrip(_BLANK)
    if not name or any(label.startswith(line) for label in _LABELS):
        return True
    begun = _MAY_BEGIN.fullmatch(name)
    if begun is None:
        return False
    if begun["tag"]:
        return not begun["rest"] and any(name.startswith(begun["name"]) for name in offered.names)
    if begun["rest"]:
        return _ARGS.startswith(begun["rest"]) and offered.resolve(begun["name"]) is not None
    return offered.may_name(_NUMBER.sub("", begun["name"]))


class ArgumentsOnNextLine:
    """The JSON of the arguments, behind the line of the name and behind ``label``.

    Without a label the arguments must be the tool's own.
    """

    def __init__(self, offered: ToolSchemas, name: str, start: int, label: str) -> None:
        self._offered = offered
        self._name = name
        self._start = start
        self._label = label
        self._arguments: Arguments | None = None

    def read(self, text: str, final: bool) -> Verdict:
        if self._arguments is None:
            at = skip_blank(text, self._start)
            found = word_at(text, at, (self._label,)) if self._label else ""
            if found is False:
                return REJECTED
            at = len(text) if found is None else skip_blank(text, at + len(found))
            if at == len(text):
                return REJECTED if final else None
            if text[at] != "{":
                return REJECTED
            self._arguments = Arguments(self._offered, self._name, at, known=not self._label)
        return self._arguments.read(text, final)


class NamedTag:
    """The arguments within a tool's tag, each within the tag of its name.

    A value goes on until its closing tag is followed by the tag of another argument, or by the
    tool's closing tag. So it may hold tags itself.
    """

    def __init__(self, offered: ToolSchemas, name: str, start: int) -> None:
        self._offered = offered
        self._name = name
        self._at = self._searched = start
        self._closing = f"</{name}>"
        self._openings = {f"<{key}>": key for key in offered.parameters_of(name)}
        self._values: dict[str, str] = {}

    def read(self, text: str, final: bool) -> Verdict:
        while True:
            at = skip_blank(text, self._at)
            word = word_at(text, at, (self._closing, *self._openings))
            if not word:
                return REJECTED if final or word is False else None
            if word == self._closing:
                return self._found(at + len(word))
            if not self._take(text, at, word):
                return REJECTED if final else None

    def _found(self, end: int) -> Verdict:
        if not self._values and self._openings:
            return REJECTED
        call = self._offered.call_from_texts(self._name, self._values)
        return REJECTED if call is None else FoundCall((call,), end)

    def _take(self, text: str, at: int, opening: str) -> bool:
        """Read one argument; ``False`` while it is not complete."""
        key, begin = self._openings[opening], at + len(opening)
        closing = f"</{key}>"
        self._searched = max(self._searched, begin)
        while (end := text.find(closing, self._searched)) >= 0:
            behind = skip_blank(text, end + len(closing))
            follows = word_at(text, behind, (self._closing, *self._openings))
            if follows is None:
                return False
            if follows:
                value = text[begin:end]
                self._values[key] = value.removeprefix("\n").removesuffix("\n")
                self._at = end + len(closing)
                return True
            self._searched = end + 1
        self._searched = max(begin, len(text) - len(closing))
        return False
