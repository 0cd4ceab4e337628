"""The parts of a prompt as they are sent, and how far their sum is from its limit."""

from __future__ import annotations

from stoker.tokens.counting.token_counting import Steps
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


class PromptParts:
    """System prompt, tools and history of one prompt of at most ``limit`` tokens.

    ``last`` is always the index of the unit that the prompt ends with.
    """

    def __init__(self, measured: MeasuredRequest, limit: int, bias: int) -> None:
        """``bias`` is by how many tokens the sum of the parts is below the exact count.

        It counts at the conversation's end only, so that the cuts before it stay where they are.
        """
        conversation, costs = measured.conversation, measured.costs
        self.limit = limit
        self.last_unit = len(conversation.units) - 1
        self._mark = int(limit * _LOWER_MARK)
        self._bias = bias
        system = conversation.messages[: conversation.head]
        self.system = SystemPrompt(system, costs.head, costs.head_template)
        self.tool_set = ToolSet(costs.tools, costs.tools_base, costs.tools_as_sent)
        self.history = History(costs.units)

    @property
    def is_cut(self) -> bool:
        """Whether anything differs from what the client sent."""
        history = self.history
        return self.tool_set.is_cut or bool(history.caps or history.start) or self.system.is_cut

    def share(self, share: float) -> int:
        """Return a share of the limit in tokens."""
        return int(self.limit * share)

    def total(self, last: int) -> int:
        """Return the tokens of the prompt, as its parts add up."""
        bias = self._bias if last == self.last_unit else 0
        return self.system.tokens + self.tool_set.tokens + self.history.tokens(last) + bias

    def excess(self, last: int) -> int:
        """Return how many tokens to cut; negative where there is room."""
        return self.total(last) - self._mark

    def room_for_system(self, last: int, tool_tokens: int) -> int:
        """Return what the system prompt may take beside the history and so many tokens of tools."""
        return self._mark - tool_tokens - self.history.tokens(last)

    def room_for_tools(self, last: int) -> int:
        """Return what tools may take beside system prompt and history."""
        return self._mark - self.system.tokens - self.history.tokens(last)

    def is_over(self, last: int) -> bool:
        """Whether the prompt is too long."""
        return self.total(last) > self.limit

    def is_cut_enough(self, last: int) -> bool:
        """Whether the prompt is short enough to stop cutting."""
        return self.total(last) <= self.limit * _UPPER_MARK

    def is_used_enough(self, last: int) -> bool:
        """Whether so much of the limit is used that nothing has to come back."""
        return self.total(last) >= self.limit * LEAST_USE

    def is_well_used(self, last: int) -> bool:
        """Whether so much of the limit is used, and no more."""
        return self.is_used_enough(last) and not self.is_over(last)

    def settle(self) -> Steps[None]:
        """Count what was shortened: until then its size is an estimate."""
        yield from self.system.settle()
        yield from self.history.settle()
