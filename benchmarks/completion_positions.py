"""Where ``completion.py`` asks for a suggestion: pauses while one version becomes the next. Pure.

The files of a package are edited in the order of their paths, and a file from its top to its end.
Above the cursor a file is as in the new version, below it still as in the old one. A line that
takes the place of a similar one is edited inside: what both lines end with stands after the cursor.
"""

from __future__ import annotations

import io
import random
import re
import tokenize
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from benchmarks.completion_packages import Files

#: Files that were edited just before, and pauses in one file.
_FILES_BEFORE, _POSITIONS_A_FILE = 3, 9
_COMMENT = {"python": r"\s*#", "typescript": r"\s*(//|/?\*)", "go": r"\s*(//|/?\*)"}
#: Less than that is no help to anybody.
_LEAST_TYPED = 3
_ALIKE = 0.5


@dataclass(frozen=True, slots=True)
class Event:
    """What a person did that an editor reports: ``open``, ``edit``, ``save`` or ``leave``."""

    kind: str
    path: str
    text: str
    line: int


@dataclass(frozen=True, slots=True)
class Position:
    """A pause: the file around the cursor, and what was typed next."""

    before: str
    after: str
    #: Up to the end of what was typed in one go, which may be several lines.
    typed: str
    #: What was done in this file since the position before.
    events: tuple[Event, ...]

    @property
    def typed_line(self) -> str:
        """The cursor's line as it was in the end."""
        first, _, more = self.typed.partition("\n")
        return self.line_before + first + ("" if more else self.line_after)

    @property
    def line_before(self) -> str:
        """The text on the cursor's line before it."""
        return self.before.rpartition("\n")[2]

    @property
    def line_after(self) -> str:
        """The text on the cursor's line after it."""
        return self.after.partition("\n")[0]


@dataclass(frozen=True, slots=True)
class Session:
    """Pauses in one file, after others were edited."""

    language: str
    package: str
    path: str
    history: tuple[Event, ...]
    positions: tuple[Position, ...]


@dataclass(frozen=True, slots=True)
class _Pause:
    """A place of the new version, with the lines of the old one that still follow."""

    line: int
    column: int
    after: str
    #: The line and column of the new version at which what is typed in one go ends.
    end: tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Edit:
    """A file in both versions, as lines, and the spans that differ: old from, to, new from, to."""

    path: str
    old: Sequence[str]
    new: Sequence[str]
    spans: Sequence[tuple[int, int, int, int]]

    def opened(self) -> Event:
        return Event("open", self.path, "\n".join(self.old), self.spans[0][0])

    def saved(self, kind: str = "save") -> Event:
        return Event(kind, self.path, "\n".join(self.new), max(0, self.spans[-1][3] - 1))


def sessions(
    packages: Iterable[tuple[str, str, Files, Files]],
    positions: int,
    seed: int,
    parses: Callable[[str, Sequence[str]], Sequence[bool]],
) -> list[Session]:
    """At least ``positions`` pauses, as many in each language, packages in turn.

    ``packages`` are their language, name and files of both versions. ``parses`` tells of each text
    whether its language accepts it: a pause counts only where it accepts what was typed.
    """
    by_language: dict[str, list[list[tuple[str, str, list[_Edit], int]]]] = {}
    chance = random.Random(seed)
    for language, name, old, new in packages:
        edits = _edits(old, new)
        files = [(language, name, edits, index) for index in range(len(edits))]
        chance.shuffle(files)
        by_language.setdefault(language, []).append(files)
    each = -(-positions // len(by_language))
    return [
        session
        for turns in by_language.values()
        for session in _drawn(list(_in_turn(turns)), each, chance, parses)
    ]


def _in_turn(
    turns: Sequence[Sequence[tuple[str, str, list[_Edit], int]]],
) -> Iterator[tuple[str, str, list[_Edit], int]]:
    for at in range(max(map(len, turns))):
        yield from (files[at] for files in turns if at < len(files))


def _drawn(
    files: Iterable[tuple[str, str, list[_Edit], int]],
    most: int,
    chance: random.Random,
    parses: Callable[[str, Sequence[str]], Sequence[bool]],
) -> Iterator[Session]:
    left = most
    for language, name, edits, index in files:
        found = _positions(language, edits[index], chance, parses, min(left, _POSITIONS_A_FILE))
        if found:
            left -= len(found)
            history = (*_history(edits, index), edits[index].opened())
            yield Session(language, name, edits[index].path, history, tuple(found))
        if not left:
            return


def _edits(old: Files, new: Files) -> list[_Edit]:
    found = []
    for path in sorted(old.keys() & new.keys()):
        before, after = old[path].split("\n"), new[path].split("\n")
        codes = SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
        spans = [code[1:] for code in codes if code[0] in ("insert", "replace")]
        if spans:
            found.append(_Edit(path, before, after, spans))
    return found


def _history(edits: Sequence[_Edit], index: int) -> Iterator[Event]:
    """Files that were edited just before; the first ones come after the last ones."""
    for back in range(min(_FILES_BEFORE, len(edits) - 1), 0, -1):
        edit = edits[(index - back) % len(edits)]
        yield from (edit.opened(), edit.saved(), edit.saved("leave"))


def _positions(
    language: str,
    edit: _Edit,
    chance: random.Random,
    parses: Callable[[str, Sequence[str]], Sequence[bool]],
    most: int,
) -> list[Position]:
    code = _code_lines(language, edit.new)
    places = [place for span in edit.spans for place in _places(edit, span) if place[0] in code]
    chosen = sorted(chance.sample(places, min(len(places), 3 * most)), key=lambda each: each[0])
    pauses = [_Pause(line, chance.choice(columns), *rest) for line, columns, *rest in chosen]
    found = [(pause, _position(edit, pause)) for pause in pauses]
    found = [each for each in found if len(each[1].typed.split("\n")[0].strip()) >= _LEAST_TYPED]
    right = parses(language, [each.before + each.typed + each.after for _, each in found])
    kept = [each for each, ok in zip(found, right, strict=True) if ok]
    kept = sorted(chance.sample(kept, min(len(kept), most)), key=lambda each: each[0].line)
    return list(_with_edits(edit, kept))


def _with_edits(edit: _Edit, found: Sequence[tuple[_Pause, Position]]) -> Iterator[Position]:
    """With what was typed since the position before, one event for each span."""
    since = 0
    for pause, position in found:
        ends = [new_to for _, _, _, new_to in edit.spans if since < new_to <= pause.line]
        text = position.before + position.after
        edits = tuple(Event("edit", edit.path, text, end - 1) for end in ends)
        yield Position(position.before, position.after, position.typed, edits)
        since = pause.line


def _places(
    edit: _Edit, span: tuple[int, int, int, int]
) -> Iterator[tuple[int, Sequence[int], str, tuple[int, int]]]:
    """The lines of a span: columns where a pause can be, what follows, and where typing ends."""
    old_from, old_to, new_from, new_to = span
    below = "\n".join(["", *edit.old[old_to:]])
    for line in range(new_from, new_to):
        text, old_line = edit.new[line], old_from + line - new_from
        indent = len(text) - len(text.lstrip())
        same = 0, 0
        if old_to - old_from == new_to - new_from:
            same = _same_ends(edit.old[old_line], text)
        if any(same):
            start, end = max(indent, same[0]), len(text) - same[1]
            rest = "\n".join([text[end:], *edit.old[old_line + 1 :]])
            yield line, range(start, max(start + 1, end)), rest, (line, end)
        elif text.strip():
            last = new_to - 1
            columns = [indent] * (len(text) - indent) + list(range(indent, len(text)))
            yield line, columns, below, (last, len(edit.new[last]))


def _same_ends(old: str, new: str) -> tuple[int, int]:
    """How many characters two similar lines begin and end with alike; none where they differ."""
    if SequenceMatcher(None, old, new, autojunk=False).ratio() < _ALIKE:
        return 0, 0
    most = min(len(old), len(new))
    start = next((at for at in range(most) if old[at] != new[at]), most)
    most -= start
    end = next((at for at in range(most) if old[-1 - at] != new[-1 - at]), most)
    return start, end


def _position(edit: _Edit, pause: _Pause) -> Position:
    before = "\n".join([*edit.new[: pause.line], edit.new[pause.line][: pause.column]])
    last, column = pause.end
    if last == pause.line:
        typed = edit.new[last][pause.column : column]
    else:
        first = edit.new[pause.line][pause.column :]
        typed = "\n".join([first, *edit.new[pause.line + 1 : last], edit.new[last][:column]])
    return Position(before, pause.after, typed, ())


def _code_lines(language: str, lines: Sequence[str]) -> set[int]:
    """The lines that are code: neither comments nor documentation."""
    prose = {at for at, line in enumerate(lines) if re.match(_COMMENT[language], line)}
    if language == "python":
        prose |= _string_lines("\n".join(lines))
    return {at for at, line in enumerate(lines) if line.strip()} - prose


def _string_lines(text: str) -> set[int]:
    """The lines of Python's strings of several lines."""
    found: set[int] = set()
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.STRING and token.start[0] != token.end[0]:
                found.update(range(token.start[0] - 1, token.end[0]))
    except (tokenize.TokenError, IndentationError):
        pass
    return found
