"""Which tools a prompt offers, in which order and detail.

Templates write tools before the conversation, so the engine reads what changes here again, with
all that follows it. The set therefore shrinks and grows at its end: the core first, then what fits
the question best, and what a later question asks for behind that.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from stoker.tokens.truncation.tool_schema_compression import AS_SENT, COMPACT, MINIMAL, SHORT

#: The share of the room that is left to what the question needs.
_QUESTION_SHARE = 0.3


class ToolSet:
    """The tools that are sent. Each is known by its index in the request."""

    def __init__(self, tokens: Sequence[Sequence[int]], base_tokens: int, as_sent: int) -> None:
        #: The tokens of each tool, by tool and level; those of the first level don't count.
        self._tokens = tokens
        self._base_tokens = base_tokens
        self._tokens_as_sent = as_sent
        #: The level of each tool that is sent, in the order in which they are sent.
        self.levels: dict[int, int] = dict.fromkeys(range(len(tokens)), AS_SENT)
        #: Whether anything differs from what the client sent.
        self.is_cut = False

    @property
    def tokens(self) -> int:
        """The tokens of the tools in the prompt."""
        if not self.is_cut:
            return self._tokens_as_sent
        if not self.levels:
            return 0
        return self._base_tokens + sum(self._tokens[i][at] for i, at in self.levels.items())

    def least_tokens(
        self, tools: Collection[int], core: Collection[int] = (), core_level: int = MINIMAL
    ) -> int:
        """Return the tokens of these tools in their shortest form, the core at ``core_level``."""
        detail = self._sum(core, core_level) - self._sum(core, MINIMAL)
        return self._base_tokens + self._sum(tools, MINIMAL) + detail if tools else 0

    def core_level(self, core: Collection[int], max_tokens: int) -> int:
        """The most detail in which the core takes no more than ``max_tokens``."""
        fitting = (at for at in (COMPACT, SHORT) if self._sum(core, at) <= max_tokens)
        return next(fitting, MINIMAL)

    def fill(
        self,
        order: Sequence[int],
        core_tools: Sequence[int],
        core_level: int,
        kept: Collection[int],
        likely: Sequence[int],
        room: int,
    ) -> None:
        """Choose the set again within ``room`` tokens; ``kept`` stay even beyond it.

        The core comes first, at ``core_level`` once those that are likely needed have a place.
        Others follow in ``order``, in their shortest form, and behind them what the question needs
        that is not among them: so another conversation finds most of its offer in the engine's
        cache. Where all have a place, they are described in more detail.
        """
        self.is_cut = True
        self.levels = {i: MINIMAL for i in order if i in kept}
        core = [i for i in self.levels if i in core_tools]
        self.grow(likely, min(room - self.tokens, int(room * _QUESTION_SHARE)))
        self._describe(core, core_level, room)
        first = self._first(order, core, int(room * (1 - _QUESTION_SHARE)))
        self.grow(order, room - self.tokens)
        places = [*first, *(i for i in order if i not in first)]
        self.levels = {i: self.levels[i] for i in places if i in self.levels}
        if len(self.levels) == len(order):
            others = [i for i in self.levels if i not in core_tools]
            for level in (SHORT, COMPACT):
                self._describe(others, level, room)
            self._describe(core, COMPACT, room)

    def _first(self, order: Sequence[int], core: Collection[int], room: int) -> list[int]:
        """The core, and what follows it in ``order`` within the room, whatever is asked."""
        left = room - self._base_tokens - sum(self._tokens[i][self.levels[i]] for i in core)
        first = list(core)
        for index in (i for i in order if i not in core):
            left -= self._tokens[index][MINIMAL]
            if left < 0:
                break
            first.append(index)
        return first

    def grow(self, order: Sequence[int], room: int) -> None:
        """Offer more tools behind the others, in their shortest form, within ``room`` tokens."""
        most = self.tokens + room
        for index in order:
            if index not in self.levels and self.tokens + self._tokens[index][MINIMAL] <= most:
                self.levels[index] = MINIMAL

    def _describe(self, tools: Sequence[int], level: int, room: int) -> None:
        """Describe tools in as much detail as ``level``, one after the other, within the room."""
        left = room - self.tokens
        for index in tools:
            more = self._tokens[index][level] - self._tokens[index][self.levels[index]]
            if level < self.levels[index] and more <= left:
                self.levels[index] = level
                left -= more

    def add(self, index: int, level: int) -> None:
        """Offer one more tool, behind the others."""
        if self.is_cut and index not in self.levels:
            self.levels[index] = level

    def shrink(self, excess: int, kept: Collection[int]) -> None:
        """Save ``excess`` tokens from the end: details first, then whole tools but ``kept``."""
        self.is_cut = True
        goal = self.tokens - excess
        for index in reversed(list(self.levels)):
            if self.tokens <= goal:
                return
            if index in kept:
                continue
            self.levels[index] = MINIMAL
            if self.tokens > goal:
                del self.levels[index]

    def shorten(self, excess: int) -> None:
        """Save ``excess`` tokens by describing the tools that are left in fewer words."""
        self.is_cut = True
        goal = self.tokens - excess
        for level in (SHORT, MINIMAL):
            for index in reversed(list(self.levels)):
                if self.tokens <= goal:
                    return
                self.levels[index] = max(level, self.levels[index])

    def _sum(self, tools: Collection[int], level: int) -> int:
        return sum(self._tokens[i][level] for i in tools)
