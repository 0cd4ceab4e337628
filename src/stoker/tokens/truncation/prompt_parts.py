"""The parts of a prompt as they are sent, and how far their sum is from its limit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from stoker.tokens.counting.token_counting import Steps
from stoker.tokens.truncation.context_budget import ReadingTime
from stoker.tokens.truncation.history import History
from stoker.tokens.truncation.request_measurement import MeasuredRequest
from stoker.tokens.truncation.system_prompt import SystemPrompt
from stoker.tokens.truncation.tool_set import ToolSet

#: The share of the prompt's limit that is used wherever that much was offered.
LEAST_USE = 0.9
#: Where a cut ends: a little above that, because a whole prompt is not quite the sum of its parts.
_LOWER_MARK = 0.915
#: What is left below this after a cut is good enough: the next one would cost more than it saves.
_UPPER_MARK = 0.96
#: What system prompt and tools may take before the current turn is cut.
HEAD_SHARE = 0.71
#: By what share a head may exceed its limit: whole lines of the system prompt are kept.
_HEAD_ERROR = 0.02
#: Of the head: what follows a cut has so many tokens at most, so that 70 % of the prompt are not
#: read again; but as many as the newest steps need, which is a screen or two of code.
_REREAD_SHARE, _LEAST_REREAD_TOKENS = 3 / 7, 1024


class PromptParts:
    """System prompt, tools and history of one prompt of at most ``limit`` tokens.

    Where ``time`` is short, its head is bounded by that, and so is what follows a cut, which the
    engine reads again. In between the prompt may grow up to ``limit``.

    ``last`` is always the index of the unit that the prompt ends with.
    """

    def __init__(
        self, measured: MeasuredRequest, limit: int, time: ReadingTime | None, bias: int
    ) -> None:
        """``bias`` is by how many tokens the sum of the parts is below the exact count.

        It counts at the conversation's end only, so that the cuts before it stay where they are.
        """
        conversation, costs = measured.conversation, measured.costs
        self.limit = limit
        self._most_head = min(limit, time.head_tokens) if time else limit
        #: What a request may add to the one before it.
        self.most_added = min(limit, time.added_tokens) if time else limit
        #: What of that may be results.
        results = time.result_tokens if time else None
        self.most_results = min(self.most_added, results or self.most_added)
        #: Whether reading takes time.
        self.is_timed = time is not None
        #: Where it does, a head leaves room for a conversation from the first request on: to cut it
        #: when that comes would have all of it read again.
        self._wanted_head = min(self._most_head, self.share(HEAD_SHARE)) if time else limit
        self._head_offered = min(self._wanted_head, costs.head + costs.tools_as_sent)
        #: What is left of a conversation by a cut, which the engine reads again: no more than it
        #: reads in time, nor than leaves most of the prompt to a head that it does not read again.
        reread = max(_LEAST_REREAD_TOKENS, int(self._wanted_head * _REREAD_SHARE))
        self._most_reread = min(limit, time.added_tokens, reread) if time else limit
        self._most_behind_head = limit
        self.last_unit = len(conversation.units) - 1
        self._bias = bias
        system = conversation.messages[: conversation.head]
        self.system = SystemPrompt(system, costs.head, costs.head_template)
        self.tool_set = ToolSet(costs.tools, costs.tools_base, costs.tools_as_sent)
        self.history = History(costs.units)

    @property
    def is_cut(self) -> bool:
        """Whether anything differs from what the client sent."""
        return self.is_head_cut or bool(self.history.caps or self.history.start)

    @property
    def is_head_cut(self) -> bool:
        """Whether system prompt or tools differ from what the client sent."""
        return self.tool_set.is_cut or self.system.is_cut

    @property
    def head_limit(self) -> int:
        """The limit of the prompt of which the head may take its share."""
        return min(self.limit, int(self._most_head / HEAD_SHARE))

    @property
    def is_head_timed(self) -> bool:
        """Whether time leaves the head less than the window does."""
        return self._most_head < self.limit

    @property
    def head_room(self) -> int:
        """How many tokens system prompt and tools may still take; negative where to cut."""
        return self._most_head - self.system.tokens - self.tool_set.tokens

    @property
    def is_head_too_long(self) -> bool:
        """Whether it takes too long to read, by more than a cut system prompt may be off."""
        return self.head_room < -int(self._most_head * _HEAD_ERROR)

    @property
    def head_growth(self) -> int:
        """How many tokens of system prompt and tools may come back."""
        return self._wanted_head - self.system.tokens - self.tool_set.tokens

    def share(self, share: float) -> int:
        """Return a share of the limit in tokens."""
        return int(self.limit * share)

    def head_share(self, share: float) -> int:
        """Return the tokens that a part of the head may take."""
        return int(self.head_limit * share)

    def wanted_tokens(self, last: int) -> int:
        """Return what the prompt is to take where that much was offered and is read in time."""
        if self._wanted_head >= self.limit:
            return self.limit
        reread = min(self._most_reread, self._most_behind_head)
        history = min(reread, self.history.whole_tokens(last, self.most_added))
        return min(self.limit, self._head_offered + history)

    def total(self, last: int) -> int:
        """Return the tokens of the prompt, as its parts add up."""
        bias = self._bias if last == self.last_unit else 0
        return self.system.tokens + self.tool_set.tokens + self.history.tokens(last) + bias

    def excess(self, last: int) -> int:
        """Return how many tokens to cut; negative where there is room."""
        return self.total(last) - int(self._aim * _LOWER_MARK)

    def room_for_system(self, last: int, tool_tokens: int) -> int:
        """Return what the system prompt may take beside the history and the tools."""
        room = int(self._aim * _LOWER_MARK) - self.history.tokens(last)
        return min(room, self._wanted_head) - tool_tokens

    def room_for_tools(self, last: int) -> int:
        """Return what tools may take beside system prompt and history."""
        return self.room_for_system(last, self.system.tokens)

    def is_over(self, last: int) -> bool:
        """Whether the prompt is too long."""
        return self.total(last) > self.limit

    def is_more_than_wanted(self, last: int) -> bool:
        """Whether the prompt is too long, or takes too long to read again."""
        return self.total(last) > self.wanted_tokens(last) * (_UPPER_MARK if self.is_timed else 1)

    def is_cut_enough(self, last: int) -> bool:
        """Whether the prompt is short enough to stop cutting."""
        return self.total(last) <= self._aim * _UPPER_MARK

    def is_used_enough(self, last: int) -> bool:
        """Whether enough of the limit is used, so that nothing has to come back."""
        return self.total(last) >= self.wanted_tokens(last) * LEAST_USE

    @contextmanager
    def read_again_in_time(self, new_in_head: int = 0) -> Iterator[None]:
        """For the length of the block, cuts leave no more to be read again than is read in time.

        ``new_in_head`` of these tokens are tools that came behind the others.
        """
        self._most_behind_head = max(0, self._most_reread - new_in_head)
        yield
        self._most_behind_head = self.limit

    @property
    def _aim(self) -> int:
        """What is left by a cut."""
        return min(self.limit, self.system.tokens + self.tool_set.tokens + self._most_behind_head)

    def is_over_aim(self, last: int) -> bool:
        """Whether more is left than a cut leaves."""
        return self.total(last) > self._aim

    def is_well_used(self, last: int) -> bool:
        """Whether enough of the limit is used, and no more."""
        return self.is_used_enough(last) and not self.is_over_aim(last)

    def settle(self) -> Steps[None]:
        """Count what was shortened: until then its size is an estimate."""
        yield from self.system.settle()
        yield from self.history.settle()
