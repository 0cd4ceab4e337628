"""A conversation as units, each of which is kept, shortened or dropped as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stoker.tokens.chat_messages import SYSTEM_ROLES, Message, calls_of


@dataclass(frozen=True, slots=True)
class Unit:
    """Messages ``start`` to ``end`` (exclusive) that are kept or dropped together.

    A user message is a unit; so is an assistant message with all results of its tool calls.
    """

    start: int
    end: int
    role: str


@dataclass(frozen=True, slots=True)
class Conversation:
    """The messages of a request: the leading system messages, then units."""

    messages: tuple[Message, ...]
    #: How many leading messages are system or developer messages.
    head: int
    units: tuple[Unit, ...]

    def last_user(self, before: int | None = None) -> int | None:
        """Return the index of the last user unit among the first ``before`` units."""
        for index in reversed(range(len(self.units) if before is None else before)):
            if self.units[index].role == "user":
                return index
        return None


def read(messages: Sequence[Message]) -> Conversation:
    """Split ``messages`` into the leading system messages and units."""
    head = 0
    while head < len(messages) and messages[head].get("role") in SYSTEM_ROLES:
        head += 1
    units: list[Unit] = []
    start = head
    while start < len(messages):
        end = start + 1
        while end < len(messages) and messages[end].get("role") in {"tool", "function"}:
            end += 1
        units.append(Unit(start, end, str(messages[start].get("role", ""))))
        start = end
    return Conversation(tuple(messages), head, tuple(units))


def used_tools(messages: Sequence[Message]) -> frozenset[str]:
    """Return the names of all tools that the conversation has called."""
    names = (call.get("name") for message in messages for call in calls_of(message))
    return frozenset(name for name in names if isinstance(name, str))
