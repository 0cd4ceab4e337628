"""What a suggestion was worth, beside what was typed. Pure, but for the parsers.

- exact line: the cursor's line with the suggestion accepted is the line that was typed.
- edit similarity: ``difflib``'s ratio of the suggestion and as many lines of what was typed.
- characters saved: of the suggestion's beginning that is right, taken whole, by lines or by words:
  its characters without spaces, less one key for each that is taken.
- parses: the language's compiler accepts the file with the suggestion, either as it stands or with
  the lines that were typed after it.

The first three are over all positions, where no suggestion is worth nothing; the last is over the
suggestions.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from benchmarks.completion_positions import Position
from benchmarks.completion_syntax import parses


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What is shown, and how many characters after the cursor it takes the place of."""

    text: str
    replaced: int = 0


@dataclass(frozen=True, slots=True)
class Score:
    """The worth of one suggestion; ``parses`` is ``None`` where there was none."""

    exact_line: bool
    edit_similarity: float
    characters_saved: int
    parses: bool | None


def scores(
    language: str, positions: Sequence[Position], suggestions: Sequence[Suggestion]
) -> list[Score]:
    """A score for each position of one language."""
    pairs = list(zip(positions, suggestions, strict=True))
    files = [_files(position, suggestion) for position, suggestion in pairs]
    right = iter(parses(language, [each for both in files for each in both]))
    accepted = [any([next(right), next(right)]) for _ in pairs]
    return [
        Score(
            _line(position, suggestion).rstrip() == position.typed_line.rstrip(),
            _similarity(suggestion.text, position.typed),
            characters_saved(suggestion.text, position.typed),
            ok,
        )
        if suggestion.text
        else Score(False, 0.0, 0, None)
        for (position, suggestion), ok in zip(pairs, accepted, strict=True)
    ]


def _line(position: Position, suggestion: Suggestion) -> str:
    first, _, more = suggestion.text.partition("\n")
    rest = "" if more else position.line_after[suggestion.replaced :]
    return position.line_before + first + rest


def _similarity(suggested: str, typed: str) -> float:
    lines = typed.split("\n")[: suggested.count("\n") + 1]
    return SequenceMatcher(None, suggested, "\n".join(lines), autojunk=False).ratio()


def characters_saved(suggested: str, typed: str) -> int:
    """The keys that need not be pressed; none for spaces, which editors write themselves."""
    if typed.startswith(suggested) and suggested:
        return max(0, _visible(suggested) - 1)
    got, wanted, saved = suggested.split("\n"), typed.split("\n"), 0
    for mine, theirs in zip(got, wanted, strict=False):
        if mine.rstrip() != theirs.rstrip():
            return saved + _words_saved(mine, theirs)
        saved += max(0, _visible(mine) - 1)
    return saved


def _words_saved(suggested: str, typed: str) -> int:
    saved = 0
    for mine, theirs in zip(_words(suggested), _words(typed), strict=False):
        if mine != theirs:
            break
        saved += max(0, _visible(mine) - 1)
    return saved


def _words(text: str) -> list[str]:
    """The pieces that "accept next word" takes: a word or a run of signs, with spaces before."""
    return re.findall(r"\s*(?:\w+|[^\w\s]+)", text)


def _visible(text: str) -> int:
    return sum(not character.isspace() for character in text)


def _files(position: Position, suggestion: Suggestion) -> tuple[str, str]:
    after = position.after[suggestion.replaced :]
    text = position.before + suggestion.text
    rest = position.typed.split("\n")[suggestion.text.count("\n") + 1 :]
    return text + after, "\n".join([text, *rest]) + after
