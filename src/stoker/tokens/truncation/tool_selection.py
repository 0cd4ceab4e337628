"""Rank the tools of a request: what every task needs, and what each question asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stoker.tokens.chat_messages import text_of
from stoker.tokens.truncation.conversation import Conversation
from stoker.tokens.truncation.core_tool_names import common_tools, core_tools
from stoker.tokens.truncation.editor_markup import question_in
from stoker.tokens.truncation.tool_ranking import ToolText, scores
from stoker.tokens.truncation.tool_schema_compression import ToolForms

#: A tool beside the core that scores this much for a question is needed for it, and this many are
#: at most: of the 259 labelled questions in tests/fixtures/tool_choice, 114 need more than the
#: core, and in 44 of them the tool scores 13 to 34.
_NEEDED_SCORE, _MOST_NEEDED = 13.0, 3
#: One that scores this much may be needed: with these in place, a window of 2048 tokens holds the
#: tool of 97.7% of the questions, as counted for Qwen2.5-Coder.
_LIKELY_SCORE, _MOST_LIKELY = 5.0, 5
#: One that scores less fits no better than any: the best score was 7.7 or more for 135 of 136
#: questions that need a tool, and less for 12 of 20 that need none, such as "What is a monad?".
_FITTING_SCORE = 7.65


@dataclass(frozen=True, slots=True)
class Ranking:
    """The order of a request's tools, by their index."""

    #: What nearly every task comes to: read, edit, run, search, list, create, find, check.
    core: tuple[int, ...]
    #: What many tasks come to beside that.
    common: tuple[int, ...]
    #: By the index of a user's unit: how well each tool fits what is asked there.
    questions: Mapping[int, Sequence[float]]
    #: The units that ask something themselves.
    asking: frozenset[int]

    @property
    def fixed_order(self) -> list[int]:
        """The tools whatever is asked: the core, common ones, then as the client lists them."""
        count = len(next(iter(self.questions.values()), ()))
        return list(dict.fromkeys((*self.core, *self.common, *range(count))))

    def order(self, unit: int) -> list[int]:
        """The tools for the question of ``unit``: the core, then the best fitting first."""
        fits = self.questions[unit]
        others = (i for i in range(len(fits)) if i not in self.core)
        return [*self.core, *sorted(others, key=lambda i: (-fits[i], i))]

    def needed(self, unit: int) -> list[int]:
        """The tools that the question of ``unit`` needs beside the core, the best first."""
        return self._best(unit, _MOST_NEEDED, _NEEDED_SCORE)

    def likely(self, unit: int) -> list[int]:
        """The tools that it may need beside the core."""
        return self._best(unit, _MOST_LIKELY, _LIKELY_SCORE)

    def fitting(self, unit: int) -> list[int]:
        """All tools that fit the question of ``unit``, the best first."""
        fits = self.questions[unit]
        scored = sorted((-score, i) for i, score in enumerate(fits) if score >= _FITTING_SCORE)
        return [i for _, i in scored]

    def best(self, unit: int) -> list[int]:
        """The tools beside the core that fit it best, however well that is."""
        return self._best(unit, _MOST_LIKELY, 0.0)

    def _best(self, unit: int, most: int, least_score: float) -> list[int]:
        fits = self.questions[unit]
        best = self.order(unit)[len(self.core) :][:most]
        return [i for i in best if fits[i] >= least_score]


def ranking(tools: Sequence[ToolForms], conversation: Conversation) -> Ranking:
    """Rank ``tools`` for each unit of the user.

    A message that asks nothing (an editor's context, a summary without open work) leaves the
    question before it open.
    """
    texts = tuple(ToolText(tool.name, _text(tool.forms[0])) for tool in tools)
    questions: dict[int, Sequence[float]] = {}
    asking: set[int] = set()
    asked = ""
    for index, unit in enumerate(conversation.units):
        if unit.role == "user" or not questions:
            content = conversation.messages[unit.start].get("content")
            if own := question_in(text_of(content)) if unit.role == "user" else "":
                asked = own
                asking.add(index)
            questions[index] = scores(texts, asked)
    names = tuple(text.name for text in texts)
    return Ranking(core_tools(names), common_tools(names), questions, frozenset(asking))


def _text(tool: Mapping[str, Any]) -> str:
    function = tool.get("function") or {}
    description = function.get("description")
    parameters = function.get("parameters")
    properties = parameters.get("properties") if isinstance(parameters, dict) else None
    names = " ".join(properties) if isinstance(properties, dict) else ""
    return f"{description if isinstance(description, str) else ''} {names}"
