"""Keep the beginning of each client's prompts as the backend has read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stoker.gateway.prompt.conversation_keys import conversation_key
from stoker.recent_values import RecentValues
from stoker.tokens import request_form
from stoker.tokens.request_form import SystemAddition

#: System prompts that are remembered, some 20 KB each: an editor has one for each of its tasks.
_SYSTEM_PROMPTS_KEPT = 16
#: Additions whose places are remembered: some 100 bytes each.
_PLACES_KEPT = 512
#: A shorter one has little in common with what only begins alike.
_LEAST_SYSTEM_CHARS = 1000


@dataclass(frozen=True, slots=True)
class KeptHead:
    """A request whose beginning is kept, and how much of its system prompt moved for that."""

    request: dict[str, Any]
    moved_chars: int = 0


class StableHead:
    """Remembers system prompts, and where in a conversation something was added to one.

    An addition is sent with the question at which it first came, and stays there. The texts are
    held in memory only.
    """

    def __init__(self) -> None:
        self._systems = RecentValues[str, None](_SYSTEM_PROMPTS_KEPT)
        self._places = RecentValues[int, int](_PLACES_KEPT)

    def keep(self, request: dict[str, Any]) -> KeptHead:
        """The request with the system prompt that the backend knows, where it has only grown."""
        text = request_form.system_text(request["messages"])
        if text is None or len(text) < _LEAST_SYSTEM_CHARS:
            return KeptHead(request)
        new = self._addition(text)
        if new is None:
            self._remember(text)
            return KeptHead(request)
        place = self._place(request, new)
        if place is None:
            return KeptHead(request)
        moved = request_form.with_moved_addition(request, new, place)
        return KeptHead(moved, len(new.lines))

    def _addition(self, text: str) -> SystemAddition | None:
        """What is new in a system prompt; the known one is in use again."""
        if text in self._systems:
            return None
        for known in reversed(self._systems):
            new = request_form.system_addition(known, text)
            if new is not None and len(new.lines) < len(known):
                self._systems.move_to_end(known)
                return new
        return None

    def _remember(self, text: str) -> None:
        longer = [known for known in self._systems if request_form.system_addition(text, known)]
        for known in longer:
            del self._systems[known]
        self._systems.put(text, None)

    def _place(self, request: Mapping[str, Any], new: SystemAddition) -> int | None:
        """The number of the message that carries the addition: the newest question at first."""
        messages = request["messages"]
        asked = [at for at, each in enumerate(messages) if each.get("role") == "user"]
        if not asked:
            return None
        key = hash((conversation_key(messages), new.lines))
        known = self._places.get(key)
        place = known if known in asked else asked[-1]
        self._places.put(key, place)
        return place
