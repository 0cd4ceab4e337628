"""How far the system prompt is cut at each stage."""

from __future__ import annotations

from stoker.tokens.truncation.prompt_parts import PromptParts

#: The system prompt is not cut below the first share of the prompt while anything of the
#: conversation can still be left out, and never below the second, nor below a paragraph.
_SYSTEM_SHARE, _LEAST_SYSTEM_SHARE = 0.3, 0.1
_LEAST_SYSTEM_TOKENS = 64


class SystemCuts:
    """Cuts the system prompt of ``parts``."""

    def __init__(self, parts: PromptParts) -> None:
        self._parts = parts

    def leave_room(self, last: int, tool_tokens: int) -> None:
        """Leave room for the tools beside the history."""
        self._cut(self._parts.room_for_system(last, tool_tokens), _LEAST_SYSTEM_SHARE)

    def shrink(self, last: int, least_tokens: int) -> None:
        """Cut what is too much, down to ``least_tokens``."""
        most = max(self._parts.system.tokens - self._parts.excess(last), least_tokens)
        self._cut(most, _LEAST_SYSTEM_SHARE)

    def shorten(self, last: int) -> None:
        """Cut what is too much, as long as a good part of the system prompt is left."""
        self._cut(self._parts.system.tokens - self._parts.excess(last), _SYSTEM_SHARE)

    def shorten_further(self, last: int) -> None:
        """Cut what is too much, down to the least that is ever sent."""
        self._cut(self._parts.system.tokens - self._parts.excess(last), _LEAST_SYSTEM_SHARE)

    def grow(self, last: int) -> None:
        """Send more of a system prompt that was cut, as far as there is room."""
        system = self._parts.system
        if system.is_cut and not self._parts.is_used_enough(last):
            system.resize(system.tokens + min(-self._parts.excess(last), self._parts.head_growth))

    def _cut(self, most_tokens: int, least_share: float) -> None:
        system = self._parts.system
        goal = max(most_tokens, _LEAST_SYSTEM_TOKENS, self._parts.head_share(least_share))
        if system.tokens > goal:
            system.resize(goal)
