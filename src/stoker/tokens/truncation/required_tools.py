"""Which tools a prompt must offer: the core, what was used, what is asked for or demanded."""

from __future__ import annotations

from collections.abc import Iterable

from stoker.tokens.truncation.conversation import used_tools
from stoker.tokens.truncation.request_measurement import MeasuredRequest
from stoker.tokens.truncation.tool_schema_compression import MINIMAL

#: A tool beside the core whose shortest form takes more than this has no claim to a place: one
#: schema of 20 KB would leave nothing of the conversation that called it.
_TOOL_SHARE = 0.2


class RequiredTools:
    """The tools of one request, by index, within a prompt of at most ``limit`` tokens."""

    def __init__(self, measured: MeasuredRequest, limit: int) -> None:
        most, sizes = int(limit * _TOOL_SHARE), measured.costs.tools
        self._conversation = measured.conversation
        self._ranking = measured.ranking
        self._names = [tool.name for tool in measured.tools]
        self.core = frozenset(measured.ranking.core)
        self.demanded = measured.demanded_tools
        self._affordable = [i in self.core or size[MINIMAL] <= most for i, size in enumerate(sizes)]

    def for_question(self, question: int) -> list[int]:
        """Return what a question needs beside the core, the best first."""
        return self._that_are_affordable(self._ranking.needed(question))

    def used_in(self, start_unit: int, end_unit: int) -> frozenset[int]:
        """Return the tools that units from ``start_unit`` up to ``end_unit`` have called."""
        units = self._conversation.units
        messages = self._conversation.messages[units[start_unit].start : units[end_unit].end]
        names = used_tools(messages)
        used = (i for i, name in enumerate(self._names) if name in names)
        return frozenset(self._that_are_affordable(used))

    def at(self, question: int, last: int) -> frozenset[int]:
        """Return all that must be offered when the prompt ends with unit ``last``."""
        used = self.used_in(0, last)
        return self.demanded | self.core | used | set(self.for_question(question))

    def _that_are_affordable(self, tools: Iterable[int]) -> list[int]:
        return [i for i in tools if self._affordable[i]]
