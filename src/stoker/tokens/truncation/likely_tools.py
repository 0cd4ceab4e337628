"""Name the tools that fit a question best, at the end of the question.

Templates write tools before the conversation, in one order whatever is asked, so that the engine's
cache hits. A small model calls the tool that comes first: of 60 questions that needed another one,
Qwen2.5-Coder-0.5B called ``list_dir`` for most. What stands behind the question, it follows.

That is meant for a question that is to be answered. Once a call has followed, the line is gone:
with it, the model went on to call the others that it names. The engine then reads only the call
again, since the result is new. A question that was answered without a call keeps its line.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from stoker.tokens.chat_messages import Message, calls_of
from stoker.tokens.truncation.conversation import Conversation
from stoker.tokens.truncation.tool_schema_compression import ToolForms
from stoker.tokens.truncation.tool_selection import Ranking

#: How many are named: of 60 questions, 58 need one of the three that fit best.
_MOST = 3


class LikelyTools:
    """The lines that name tools, for the questions of one request."""

    def __init__(
        self, tools: Sequence[ToolForms], ranking: Ranking, conversation: Conversation
    ) -> None:
        self._names = [tool.name for tool in tools]
        self._ranking = ranking
        #: The units that get one.
        self.units = frozenset(i for i in ranking.asking if not _calls(conversation, i + 1))
        #: No line is longer than this one.
        self.longest_line = _line(sorted(self._names, key=len)[-_MOST:])

    def names(self, unit: int, offered: Collection[int]) -> list[str]:
        """Return which of the ``offered`` tools fit what a unit asks, the best first."""
        fitting = (i for i in self._ranking.fitting(unit) if i in offered)
        return [self._names[i] for i in fitting][:_MOST]

    def message(self, message: Message, names: Sequence[str]) -> Message:
        """Return a user's message with its line, where there are tools to name."""
        if not names:
            return message
        content = message.get("content")
        if isinstance(content, list):
            return {**message, "content": [*content, {"type": "text", "text": _line(names)}]}
        return {**message, "content": f"{content or ''}\n\n{_line(names)}"}


def _calls(conversation: Conversation, unit: int) -> bool:
    """Whether there is such a unit, and it calls a tool."""
    units = conversation.units[unit : unit + 1]
    return any(calls_of(conversation.messages[each.start]) for each in units)


def _line(names: Sequence[str]) -> str:
    return f"Tools that fit this request best: {', '.join(names)}."
