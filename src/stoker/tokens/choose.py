"""Choose the tools to keep within a number of tokens, the same ones from turn to turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stoker.tokens.conversation import Conversation, text_of
from stoker.tokens.rank import ToolText, question_in, scores
from stoker.tokens.schemas import ToolForms

Scores = tuple[float, ...]

#: A tool comes in for another one only if it fits the new question clearly better.
_BETTER = 1.25


@dataclass(frozen=True, slots=True)
class Candidates:
    """The tools of a request, what each costs, and those that must stay."""

    names: tuple[str, ...]
    tokens: tuple[int, ...]
    protected: frozenset[str]
    questions: tuple[Scores, ...]


def ranking(
    tools: Sequence[ToolForms], conversation: Conversation
) -> tuple[tuple[float, ...], ...]:
    """Return the scores of the tools for each question of the user, oldest first."""
    texts = tuple(ToolText(tool.name, _text(tool.forms[0])) for tool in tools)
    users = [unit.start for unit in conversation.units if unit.role == "user"]
    asked = [question_in(text_of(conversation.messages[i].get("content"))) for i in users]
    return tuple(scores(texts, question) for question in asked or [""])


def _text(tool: Mapping[str, Any]) -> str:
    function = tool.get("function") or {}
    description = function.get("description")
    parameters = function.get("parameters")
    properties = parameters.get("properties") if isinstance(parameters, dict) else None
    names = " ".join(properties) if isinstance(properties, dict) else ""
    return f"{description if isinstance(description, str) else ''} {names}"


def choose(candidates: Candidates, max_tokens: int) -> frozenset[str]:
    """Return the names to keep in ``max_tokens``; protected tools stay even beyond it.

    The first question of the conversation fills the room. A later question brings its best
    tools in only where they fit it clearly better than what they push out, so that the set,
    and with it the prompt's prefix, changes seldom.
    """
    picked = _Picked(candidates, max_tokens)
    first, *later = candidates.questions
    picked.fill(first)
    for question in later:
        picked.update(question)
    return frozenset(candidates.names[index] for index in picked.kept)


class _Picked:
    def __init__(self, candidates: Candidates, max_tokens: int) -> None:
        self.tokens = candidates.tokens
        self.protected = {i for i, n in enumerate(candidates.names) if n in candidates.protected}
        self.kept = set(self.protected)
        self.room = max_tokens - sum(self.tokens[i] for i in self.kept)
        #: The best score that each tool had for any question so far.
        self.best: list[float] = [0.0] * len(self.tokens)

    def fill(self, question: Scores) -> None:
        self.best = list(question)
        for index in sorted(range(len(self.tokens)), key=lambda i: (-question[i], i)):
            if index not in self.kept and self.tokens[index] <= self.room:
                self._add(index)

    def update(self, question: Scores) -> None:
        order = sorted(range(len(self.tokens)), key=lambda i: (-question[i], i))
        for index in order[: max(2, len(self.kept) // 5)]:
            if index not in self.kept:
                self._swap_in(index, question[index])
        # What an earlier question needed stays wanted, or sets would go round in circles.
        self.best = [max(pair) for pair in zip(self.best, question, strict=True)]

    def _swap_in(self, index: int, score: float) -> None:
        out: list[int] = []
        room = self.room
        for other in sorted(self.kept - self.protected, key=lambda i: (self.best[i], -i)):
            if room >= self.tokens[index] or score < _BETTER * self.best[other]:
                break
            out.append(other)
            room += self.tokens[other]
        if room < self.tokens[index]:
            return
        for other in out:
            self.kept.remove(other)
            self.room += self.tokens[other]
        self._add(index)

    def _add(self, index: int) -> None:
        self.kept.add(index)
        self.room -= self.tokens[index]
