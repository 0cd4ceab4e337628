"""Which tools are left out, and when: the least needed first, from the end of their list."""

from __future__ import annotations

from collections.abc import Iterable

from stoker.tokens.truncation.prompt_parts import HEAD_SHARE, PromptParts
from stoker.tokens.truncation.request_measurement import MeasuredRequest
from stoker.tokens.truncation.required_tools import RequiredTools
from stoker.tokens.truncation.system_cuts import SystemCuts
from stoker.tokens.truncation.tool_schema_compression import SHORT

#: What tools may take of a head where system prompt and tools want more.
_TOOLS_SHARE = 0.55
#: They may take more for the first tools, but leave the system prompt so many tokens. With 807 of
#: VS Code's, Qwen2.5-Coder-0.5B listed a folder in 20 of 20 tries, with 628 in 18.
_LEAST_SYSTEM_TOKENS = 810
#: How far a later question's tools may exceed it: to leave out others for them would have all that
#: follows read again.
_HEAD_SLACK = 0.1
#: What the core tools may take: with more they are described in fewer words.
_CORE_SHARE = 0.28
#: Tools that have a place before the core is described in more words, and before the system prompt
#: has its room: one for each need in ``core_tool_names`` (15), and the room of one more, because
#: those that a question asks for instead may be longer.
_FIRST_TOOLS = 16


class ToolCuts:
    """Cuts the tools of ``parts``, and the system prompt where it leaves no room for them."""

    def __init__(self, measured: MeasuredRequest, parts: PromptParts, system: SystemCuts) -> None:
        self._parts = parts
        self._tools = parts.tool_set
        self._system = system
        self._ranking = measured.ranking
        self._required = RequiredTools(measured, parts.head_limit)
        self._core_level = self._level_of_core()
        #: The unit of the newest question.
        self._question = 0

    def follow(self, last: int) -> int:
        """Offer what the question of unit ``last`` needs, and what the unit has called.

        Returns the tokens that this adds to the tools.
        """
        before = self._tools.tokens
        if last in self._ranking.questions:
            self._question = last
            self._offer(self._required.for_question(last))
        self._offer(self._required.used_in(last, last))
        return self._tools.tokens - before

    def shrink_head(self, last: int) -> None:
        """Bring system prompt and tools down to their share, from the end of the tools."""
        parts = self._parts
        over = parts.system.tokens + self._tools.tokens - parts.head_share(HEAD_SHARE)
        slack = parts.head_share(_HEAD_SLACK) if self._tools.is_cut else 0
        if over <= slack:
            return
        kept = self._required.at(self._question, last)
        if self._tools.is_cut:
            self._tools.shrink(min(over, max(parts.excess(last), -parts.head_room - slack)), kept)
            return
        self._system.leave_room(last, self._tokens_beside_system(kept))
        self._fill(last, kept)

    def shrink_system(self, last: int) -> None:
        """Bring the system prompt down to what its share leaves beside the core tools."""
        core = self._tools.least_tokens(self._ranking.core)
        self._system.shrink(last, self._parts.head_share(HEAD_SHARE) - core)

    def shrink(self, last: int) -> None:
        """Leave out tools that are not required."""
        kept = self._required.at(self._question, last)
        if self._tools.is_cut:
            self._tools.shrink(self._parts.excess(last), kept)
        else:
            self._fill(last, kept)

    def shorten_descriptions(self, last: int) -> None:
        """Describe the tools that are left in fewer words."""
        self._tools.shorten(self._parts.excess(last))

    def give_up(self, last: int) -> None:
        """Leave out tools as far as it takes to stay within the limit: the core after all others.

        Only now, when all that was shortened is counted.
        """
        core, used = self._required.core, self._required.used_in(0, last)
        for kept in (core | used, core, used, frozenset[int]()):
            if self._parts.is_over(last):
                excess = self._parts.total(last) - self._parts.limit
                self._tools.shrink(excess, self._required.demanded | kept)

    def grow(self, last: int) -> None:
        """Offer more tools that fit the question, as far as there is room."""
        if self._tools.is_cut:
            room = min(-self._parts.excess(last), self._parts.head_growth)
            self._tools.grow(self._ranking.order(self._question), room)

    def _level_of_core(self) -> int:
        """The most detail; where reading takes time, the first tools keep their places."""
        core, room = self._ranking.core, self._parts.head_share(_CORE_SHARE)
        if self._parts.is_timed:
            others = [i for i in self._ranking.fixed_order[:_FIRST_TOOLS] if i not in core]
            share = self._parts.head_share(HEAD_SHARE * _TOOLS_SHARE)
            room = min(room, share - self._tools.least_tokens(others))
        return self._tools.core_level(core, room)

    def _tokens_beside_system(self, kept: frozenset[int]) -> int:
        """What tools take before the system prompt gets its room.

        Where reading takes time, these are the first tools whatever is asked, and a share where
        time bounds the head: a system prompt that was cut in another place would have all that
        follows read again in each conversation.
        """
        parts, tools, ranking = self._parts, self._tools, self._ranking
        least = tools.least_tokens(kept)
        if not parts.is_head_timed:
            least = tools.least_tokens(kept | set(ranking.likely(self._question)))
        if not parts.is_timed:
            return least
        order, core, level = ranking.fixed_order, ranking.core, self._core_level
        first = tools.least_tokens(order[:_FIRST_TOOLS], core, level)
        most = min(first, parts.head_share(HEAD_SHARE) - _LEAST_SYSTEM_TOKENS)
        if parts.is_head_timed:
            share = parts.head_share(HEAD_SHARE * _TOOLS_SHARE)
            most = min(tools.least_tokens(order, core, level), max(share, most))
        return max(least, most)

    def _offer(self, tools: Iterable[int]) -> None:
        for index in tools:
            self._tools.add(index, max(SHORT, self._core_level))

    def _fill(self, last: int, kept: frozenset[int]) -> None:
        ranking, room = self._ranking, self._parts.room_for_tools(last)
        best = ranking.best(self._question)
        self._tools.fill(ranking.fixed_order, ranking.core, self._core_level, kept, best, room)
