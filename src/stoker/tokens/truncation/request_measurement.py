"""Count the parts of a request apart, so that a cut is chosen without counting it whole."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from stoker.tokens.chat_messages import piece_of, tool_name
from stoker.tokens.counting.token_counting import CountStrings, Request, Steps
from stoker.tokens.truncation.calibration import Calibration
from stoker.tokens.truncation.context_carryover import standing_context
from stoker.tokens.truncation.conversation import Conversation, read
from stoker.tokens.truncation.history import Sizes
from stoker.tokens.truncation.likely_tools import LikelyTools
from stoker.tokens.truncation.tool_schema_compression import AS_SENT, LEVELS, ToolForms
from stoker.tokens.truncation.tool_selection import Ranking, ranking


@dataclass(frozen=True, slots=True)
class Costs:
    """The tokens that the parts of a request take."""

    head: int
    #: What a template adds to the system messages, included in ``head``.
    head_template: int
    units: Sizes
    #: By tool and level.
    tools: Sequence[Sequence[int]]
    tools_base: int
    tools_as_sent: int

    @property
    def total(self) -> int:
        """The sum of all parts as the client sent them."""
        return self.head + sum(self.units.whole) + self.tools_as_sent


@dataclass(frozen=True, slots=True)
class MeasuredRequest:
    """A request in its parts, what each takes, and how its tools rank."""

    request: Request
    conversation: Conversation
    tools: Sequence[ToolForms]
    ranking: Ranking
    costs: Costs
    #: Names tools behind each question; ``None`` where that is not wanted.
    likely: LikelyTools | None

    @property
    def demanded_tools(self) -> frozenset[int]:
        """The tools that ``tool_choice`` names, by index. They can't be left out."""
        named = tool_name(self.request.get("tool_choice"))
        return frozenset(i for i, tool in enumerate(self.tools) if named and tool.name == named)


def measure(
    request: Request,
    tools: Sequence[ToolForms],
    calibration: Calibration,
    *,
    names_tools: bool = False,
) -> Steps[MeasuredRequest]:
    """Count the parts of ``request``, with those tools named that fit its questions."""
    conversation = read(request["messages"])
    ranked = ranking(tools, conversation)
    is_named = names_tools and tools and request.get("tool_choice") != "none"
    likely = LikelyTools(tools, ranked, conversation) if is_named else None
    line = likely.longest_line if likely else ""
    pieces = tuple(piece_of(message) for message in conversation.messages)
    texts = tuple(text for tool in tools for text in tool.texts)
    context, line_tokens, *counts = yield CountStrings(
        (standing_context(conversation), line, *pieces, *texts)
    )
    by_message, by_text = counts[: len(pieces)], counts[len(pieces) :]
    by_level = _tool_tokens(tools, by_text, calibration)
    head, head_template, units = _message_tokens(conversation, by_message, calibration)
    # Also where the line is gone, so that what was cut before stays cut.
    units = [size + line_tokens * (i in ranked.asking) for i, size in enumerate(units)]
    costs = Costs(
        head=head,
        head_template=head_template,
        units=Sizes(conversation, units, calibration.message_overhead, context),
        tools=by_level,
        tools_base=calibration.tools_base_tokens,
        tools_as_sent=_as_sent(by_level, calibration),
    )
    return MeasuredRequest(request, conversation, tools, ranked, costs, likely)


def _message_tokens(
    conversation: Conversation, counts: Sequence[int], calibration: Calibration
) -> tuple[int, int, list[int]]:
    """The tokens of the system messages, the template's part of these, and those of each unit."""
    pairs = zip(counts, conversation.messages, strict=True)
    tokens = [count + calibration.message_overhead(message) for count, message in pairs]
    head = calibration.base_tokens + sum(tokens[: conversation.head])
    head_template = head - sum(counts[: conversation.head])
    return head, head_template, [sum(tokens[u.start : u.end]) for u in conversation.units]


def _tool_tokens(
    tools: Sequence[ToolForms], counts: Sequence[int], calibration: Calibration
) -> list[list[int]]:
    """The tokens of each tool at each level."""
    sizes = [math.ceil(count * calibration.tool_factor) for count in counts]
    return [sizes[at : at + len(LEVELS)] for at in range(0, len(sizes), len(LEVELS))]


def _as_sent(by_level: Sequence[Sequence[int]], calibration: Calibration) -> int:
    """The tokens of all tools as sent.

    The exact count of the whole request less its other parts would differ a little with each
    request, and so would the cuts.
    """
    if not by_level:
        return 0
    return calibration.tools_base_tokens + sum(sizes[AS_SENT] for sizes in by_level)
