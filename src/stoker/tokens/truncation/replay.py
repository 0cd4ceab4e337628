"""Cut a conversation as it grew, so that each request is cut where the one before was.

Nothing is remembered between requests. A client sends the whole conversation each time, so it is
replayed: turn by turn, and where one did not fit, something is cut until the prompt is a little
below its limit. The next request's replay makes the same cuts at the same places, so that the
prompt only grows at its end until the next cut, and the engine's prefix cache hits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from stoker.tokens.counting.token_counting import Steps
from stoker.tokens.truncation.conversation import Conversation, used_tools
from stoker.tokens.truncation.history import History, Sizes
from stoker.tokens.truncation.system_prompt import SystemPrompt
from stoker.tokens.truncation.tool_schema_compression import MINIMAL, SHORT
from stoker.tokens.truncation.tool_selection import Ranking
from stoker.tokens.truncation.tool_set import ToolSet

#: The share of the prompt's limit that is used wherever that much was offered.
LEAST_USE = 0.9
#: Where a cut ends: a little above that, because a whole prompt is not quite the sum of its parts.
_LOWER_MARK = 0.915
#: What is left below this after a cut is good enough: the next one would cost more than it saves.
_UPPER_MARK = 0.96
#: What system prompt and tools may take before the current turn is cut.
_HEAD_SHARE = 0.68
#: What the core tools may take: with more they are described in fewer words.
_CORE_SHARE = 0.28
#: A tool beside the core whose shortest form takes more than this has no claim to a place: one
#: schema of 20 KB would leave nothing of the conversation that called it.
_TOOL_SHARE = 0.2
#: What the newest result keeps at most, and at least before the system prompt is cut for it.
_NEWEST_SHARE, _LEAST_NEWEST_SHARE = 0.35, 0.12
#: Steps of the current turn that are not left out while the system prompt can still be cut ...
_STEPS_KEPT = 6
#: ... and not shortened while older ones can be.
_STEPS_WHOLE = 2
#: The system prompt is not cut below the first share of the prompt while anything of the
#: conversation can still be left out, and never below the second, nor below a paragraph.
_SYSTEM_SHARE, _LEAST_SYSTEM_SHARE = 0.3, 0.1
_LEAST_SYSTEM_TOKENS = 64
_RETRIES = 3


@dataclass(frozen=True, slots=True)
class Costs:
    """What the parts of a request take, in tokens."""

    head: int
    #: What a template adds to the system messages, of ``head``.
    head_template: int
    units: Sizes
    #: By tool and level.
    tools: Sequence[Sequence[int]]
    tools_base: int
    tools_as_sent: int


@dataclass(frozen=True, slots=True)
class Tools:
    """The tools of a request by index: their names, their ranking, and what must be offered."""

    names: Sequence[str]
    ranking: Ranking
    named: frozenset[str] = frozenset()


class Replay:
    """One conversation within ``limit`` tokens. After ``run`` its parts tell what is sent."""

    def __init__(
        self, conversation: Conversation, costs: Costs, tools: Tools, limit: int, bias: int = 0
    ) -> None:
        self._conversation = conversation
        self._limit = limit
        self._mark = int(limit * _LOWER_MARK)
        #: What the whole was counted beyond the sum of its parts. It holds at the end alone, so
        #: that the cuts before it stay where they are.
        self._bias = bias
        self._costs = costs
        self._tools = tools
        self.history = History(costs.units)
        self.offer = ToolSet(costs.tools, costs.tools_base, costs.tools_as_sent)
        system = conversation.messages[: conversation.head]
        self.system = SystemPrompt(system, costs.head, costs.head_template)
        self._question = 0
        self._kept: frozenset[int] = frozenset()

    def run(self) -> Steps[None]:
        """Replay the conversation to its end."""
        units = self._conversation.units
        for last, unit in enumerate(units):
            if last in self._tools.ranking.questions:
                self._question = last
                self._offer_more(self._tools.ranking.needed(last))
            self._offer_more(self._used(unit.start, unit.end))
            ended_by = self._conversation.messages[unit.end - 1].get("role")
            if ended_by == "assistant" and last < len(units) - 1:
                continue  # no request ended here: the user had not answered yet
            if self._total(last) > self._limit:
                yield from self._make_room(last)
            yield from self._top_up(last)

    @property
    def total(self) -> int:
        """What the prompt takes, as its parts add up."""
        return self._total(len(self._conversation.units) - 1)

    @property
    def is_cut(self) -> bool:
        """Whether anything is not as the client sent it."""
        history = self.history
        return self.offer.is_cut or bool(history.caps or history.start) or self.system.is_cut

    def _total(self, last: int) -> int:
        bias = self._bias if last == len(self._conversation.units) - 1 else 0
        return self.system.tokens + self.offer.tokens + self.history.tokens(last) + bias

    def _excess(self, last: int) -> int:
        return self._total(last) - self._mark

    def _settle(self) -> Steps[None]:
        yield from self.system.settle()
        yield from self.history.settle()

    def _make_room(self, last: int) -> Steps[None]:
        self._kept = self._must_offer(last)
        self._limit_newest(last, int(self._limit * _NEWEST_SHARE))
        yield from self.history.settle()
        if self._excess(last) <= 0:
            return
        for step in (
            self._shrink_head,
            self._shorten_old_turns,
            self._shrink_system,
            self._shorten_old_steps,
            self._drop_old_turns,
            self._drop_old_steps,
            self._shorten_newest,
            self._shrink_offer,
            self._shorten_descriptions,
            self._shorten_system,
            self._shorten_recent,
            # Again, where what was shortened turns out to be longer than estimated.
            *[self._last_resort] * _RETRIES,
            self._give_up_tools,
        ):
            step(last)
            yield from self._settle()
            if self._total(last) <= self._limit * _UPPER_MARK:
                return

    def _top_up(self, last: int) -> Steps[None]:
        """Give back what was cut too far, from the end: what is read anew is little.

        The head only once: what has grown there is read anew with all that follows.
        """
        for give_back in (*[self._lengthen_units] * _RETRIES, self._grow_head):
            if not self.is_cut or self._total(last) >= self._limit * LEAST_USE:
                return
            give_back(last)
            yield from self._settle()

    def _lengthen_units(self, last: int) -> None:
        for index in reversed(self.history.sent(last)):
            self.history.lengthen(index, -self._excess(last))
            if self._total(last) >= self._limit * LEAST_USE:
                return

    def _grow_head(self, last: int) -> None:
        if self.offer.is_cut:
            self.offer.grow(self._tools.ranking.order(self._question), -self._excess(last))
        if self.system.is_cut and self._total(last) < self._limit * LEAST_USE:
            self.system.resize(self.system.tokens - self._excess(last))

    # Tools

    def _must_offer(self, last: int) -> frozenset[int]:
        """The core, what the newest question asks for, and what was used or is demanded."""
        needed = self._affordable(self._tools.ranking.needed(self._question))
        used = self._used(0, self._conversation.units[last].end)
        return self._named | self._core | used | set(needed)

    @property
    def _core(self) -> frozenset[int]:
        return frozenset(self._tools.ranking.core)

    @property
    def _named(self) -> frozenset[int]:
        """What ``tool_choice`` names. It can't be left out."""
        names = enumerate(self._tools.names)
        return frozenset(i for i, name in names if name in self._tools.named)

    def _used(self, start: int, end: int) -> frozenset[int]:
        names = used_tools(self._conversation.messages[start:end])
        used = (i for i, name in enumerate(self._tools.names) if name in names)
        return frozenset(self._affordable(used))

    def _affordable(self, tools: Iterable[int]) -> list[int]:
        most = int(self._limit * _TOOL_SHARE)
        return [i for i in tools if i in self._core or self._costs.tools[i][MINIMAL] <= most]

    def _offer_more(self, tools: Iterable[int]) -> None:
        for index in self._affordable(tools):
            self.offer.add(index, max(SHORT, self._core_level))

    @property
    def _core_level(self) -> int:
        room = int(self._limit * _CORE_SHARE)
        return self.offer.core_level(self._tools.ranking.core, room)

    def _shrink_head(self, last: int) -> None:
        """Bring system prompt and tools down to their share, from the end of the tools."""
        over = self.system.tokens + self.offer.tokens - int(self._limit * _HEAD_SHARE)
        if over <= 0:
            return
        if not self.offer.is_cut:
            self._leave_room_for_tools(last)
            self._fill_offer(last)
        else:
            self.offer.shrink(min(over, self._excess(last)), self._kept)

    def _leave_room_for_tools(self, last: int) -> None:
        tools = self._kept | set(self._tools.ranking.likely(self._question))
        room = self._mark - self.offer.least_tokens(tools) - self.history.tokens(last)
        self._cut_system(room, _LEAST_SYSTEM_SHARE)

    def _fill_offer(self, last: int) -> None:
        room = self._mark - self.system.tokens - self.history.tokens(last)
        ranking = self._tools.ranking
        order = ranking.order(self._question)
        likely = ranking.likely(self._question)
        self.offer.fill(order, ranking.core, self._core_level, self._kept, likely, room)

    def _shrink_offer(self, last: int) -> None:
        if not self.offer.is_cut:
            self._fill_offer(last)
        else:
            self.offer.shrink(self._excess(last), self._kept)

    def _shorten_descriptions(self, last: int) -> None:
        self.offer.shorten(self._excess(last))

    # The conversation

    def _user(self, last: int) -> int | None:
        return self._conversation.last_user(last + 1)

    @property
    def _first_user(self) -> int:
        units = enumerate(self._conversation.units)
        return next((index for index, unit in units if unit.role == "user"), -1)

    def _has_result(self, last: int) -> bool:
        return self._conversation.units[last].role != "user"

    def _shorten_old_turns(self, last: int) -> None:
        """All but the first message, whose context is written once for the whole conversation."""
        user = self._user(last)
        first = max(self.history.start, self._first_user + 1)
        self._shorten_units(last, range(first, last if user is None else user))

    def _shorten_old_steps(self, last: int) -> None:
        user = self._user(last)
        first = self.history.start if user is None else max(self.history.start, user + 1)
        self._shorten_units(last, range(first, last - _STEPS_WHOLE + 1))

    def _shorten_units(self, last: int, units: range) -> None:
        excess = self._excess(last)
        for index in units:
            if excess <= 0:
                return
            excess -= self.history.shorten(index, excess)

    def _drop_old_turns(self, last: int) -> None:
        user = self._user(last)
        if user is not None:
            roles = enumerate(self._conversation.units)
            starts = (i for i, u in roles if self.history.start < i <= user and u.role == "user")
            self._drop_until_it_fits(last, starts)

    def _drop_old_steps(self, last: int) -> None:
        self._drop_steps(last, _STEPS_KEPT)

    def _drop_steps(self, last: int, kept: int) -> None:
        user = self._user(last)
        first = max(self.history.start, -1 if user is None else user) + 1
        self._drop_until_it_fits(last, iter(range(first, last - kept + 2)))

    def _drop_until_it_fits(self, last: int, starts: Iterator[int]) -> None:
        """Leave out the units before each of ``starts`` in turn.

        What follows is read anew anyway, so that what was shortened there comes back as far as
        there is room again.
        """
        before = self.history.start
        for start in starts:
            self._start_at(start, last)
            if self._excess(last) <= 0:
                break
        if self.history.start > before:
            self.history.restore(but=last)
            self._shorten_old_turns(last)
            self._shorten_old_steps(last)

    def _start_at(self, start: int, last: int) -> None:
        user = self._user(last)
        self.history.start = start
        self.history.pinned = user if user is not None and start > user else None

    def _limit_newest(self, last: int, most_tokens: int) -> None:
        if self._has_result(last):
            self.history.shorten(last, self.history.unit_tokens(last) - most_tokens)

    def _shorten_newest(self, last: int) -> None:
        room = self.history.unit_tokens(last) - self._excess(last)
        self._limit_newest(last, max(room, int(self._limit * _LEAST_NEWEST_SHARE)))

    def _shorten_recent(self, last: int) -> None:
        self._shorten_units(last, range(max(self.history.start, last - _STEPS_WHOLE + 1), last))
        if self._has_result(last):
            self._shorten_units(last, range(last, last + 1))

    # The system prompt

    def _shrink_system(self, last: int) -> None:
        """Bring the system prompt down to what its share leaves beside the core tools."""
        core = self.offer.least_tokens(self._tools.ranking.core)
        room = int(self._limit * _HEAD_SHARE) - core
        self._cut_system(max(self.system.tokens - self._excess(last), room), _LEAST_SYSTEM_SHARE)

    def _shorten_system(self, last: int) -> None:
        self._cut_system(self.system.tokens - self._excess(last), _SYSTEM_SHARE)

    def _cut_system(self, most_tokens: int, least_share: float) -> None:
        least = max(_LEAST_SYSTEM_TOKENS, int(self._limit * least_share))
        if self.system.tokens > max(most_tokens, least):
            self.system.resize(max(most_tokens, least))

    def _last_resort(self, last: int) -> None:
        """Leave out whatever the newest step can do without."""
        self._cut_system(self.system.tokens - self._excess(last), _LEAST_SYSTEM_SHARE)
        if self._excess(last) > 0:
            self._drop_steps(last, 1)
        self._shorten_recent(last)
        user = self._user(last)
        if self._total(last) > self._limit:
            self.history.keeps_context = False
        if user is not None and self._total(last) > self._limit:
            self.history.shorten(user, self._excess(last))

    def _give_up_tools(self, last: int) -> None:
        """Leave out tools as far as it takes to stay within the limit: the core after all others.

        Only now, when all that was shortened is counted.
        """
        used = self._used(0, self._conversation.units[last].end)
        for kept in (self._core | used, self._core, used, frozenset[int]()):
            if self._total(last) > self._limit:
                self.offer.shrink(self._total(last) - self._limit, self._named | kept)
