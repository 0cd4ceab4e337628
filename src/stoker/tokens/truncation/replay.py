"""Cut a conversation as it grew, so that each request is cut where the one before was.

Nothing is stored between requests. A client sends the whole conversation each time, so it is
replayed turn by turn: where one did not fit, parts are cut until the prompt is a little below its
limit. The next request's replay makes the same cuts at the same places. The prompt then only grows
at its end until the next cut, and the engine's prefix cache hits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from stoker.tokens.counting.token_counting import Steps
from stoker.tokens.truncation.context_budget import ReadingTime
from stoker.tokens.truncation.history_cuts import HistoryCuts
from stoker.tokens.truncation.prompt_parts import PromptParts
from stoker.tokens.truncation.request_measurement import MeasuredRequest
from stoker.tokens.truncation.system_cuts import SystemCuts
from stoker.tokens.truncation.tool_cuts import ToolCuts

_RETRIES = 3


class Replay:
    """One conversation within ``limit`` tokens. After ``run``, ``parts`` is what is sent."""

    def __init__(
        self, measured: MeasuredRequest, limit: int, time: ReadingTime | None, bias: int
    ) -> None:
        self._conversation = measured.conversation
        self.parts = PromptParts(measured, limit, time, bias)
        self._system = SystemCuts(self.parts)
        self._tools = ToolCuts(measured, self.parts, self._system)
        self._history = HistoryCuts(measured.conversation, self.parts)
        #: Whether the head was sent as it is now, so that it is in the engine's cache.
        self._is_head_read = False

    def run(self) -> Steps[None]:
        """Replay the conversation to its end."""
        new_in_head = 0
        for last in range(len(self._conversation.units)):
            new_in_head += self._tools.follow(last)
            if not self._ends_a_request(last):
                continue
            yield from self._save_time(last)
            if self.parts.is_over(last):
                yield from self._make_room(last, new_in_head)
            elif new_in_head:
                # The engine reads the history again anyway: to cut it later would cost that twice.
                yield from self._cut_history(last, new_in_head)
            yield from self._top_up(last, new_in_head)
            new_in_head, self._is_head_read = 0, self.parts.is_head_cut

    def _ends_a_request(self, last: int) -> bool:
        """Whether a request ended with this unit: not where the user had not answered yet."""
        ends_with = self._conversation.messages[self._conversation.units[last].end - 1]
        return ends_with.get("role") != "assistant" or last == self.parts.last_unit

    def _save_time(self, last: int) -> Steps[None]:
        """Cut what would take too long to read, whether or not there is room for it."""
        self._history.limit_added(last)
        if self.parts.is_head_too_long:
            self._tools.shrink_head(last)
        yield from self.parts.settle()

    def _make_room(self, last: int, new_in_head: int) -> Steps[None]:
        self._history.limit_newest(last)
        yield from self.parts.settle()
        if self.parts.is_timed:
            yield from self._cut_history(last, new_in_head)
            if not self.parts.is_over(last):
                return
        yield from self._cut_enough(last, self._cuts())

    def _cut_history(self, last: int, new_in_head: int) -> Steps[None]:
        """Leave the head as it is, because the engine would have to read all of it again."""
        history = self._history
        newest = (history.shorten_newest, history.shorten_recent)
        timed = (history.drop_old_steps, *newest) if self.parts.is_timed else ()
        with self.parts.read_again_in_time(new_in_head):
            yield from self._cut_enough(last, (*self._history_cuts(), *timed))
        if self.parts.is_timed and self.parts.is_over(last):
            yield from self._cut_enough(last, newest)

    def _cut_enough(self, last: int, cuts: Iterable[Callable[[int], None]]) -> Steps[None]:
        if self.parts.excess(last) <= 0:
            return
        for cut in cuts:
            cut(last)
            yield from self.parts.settle()
            if self.parts.is_cut_enough(last):
                return

    def _history_cuts(self) -> tuple[Callable[[int], None], ...]:
        """Those that leave the head as it is."""
        return (
            self._history.shorten_old_turns,
            self._history.shorten_old_steps,
            self._history.drop_old_turns,
        )

    def _cuts(self) -> tuple[Callable[[int], None], ...]:
        """The cuts, the least harmful first."""
        return (
            self._tools.shrink_head,
            self._history.shorten_old_turns,
            self._tools.shrink_system,
            self._history.shorten_old_steps,
            self._history.drop_old_turns,
            self._history.drop_old_steps,
            self._history.shorten_newest,
            self._tools.shrink,
            self._tools.shorten_descriptions,
            self._system.shorten,
            self._history.shorten_instructions,
            self._history.shorten_recent,
            self._history.shorten_attachments,
            # Again, where what was shortened turns out to be longer than estimated.
            *[self._keep_the_newest_step] * _RETRIES,
            self._tools.give_up,
        )

    def _keep_the_newest_step(self, last: int) -> None:
        """Leave out all that the newest step can do without."""
        self._system.shorten_further(last)
        if self.parts.excess(last) > 0:
            self._history.drop_old_steps(last, kept=1)
        self._history.shorten_recent(last)
        self._history.shorten_request(last)

    def _top_up(self, last: int, new_in_head: int) -> Steps[None]:
        """Give back what was cut too far, from the end: then the engine reads little again.

        The head only once: the engine reads it again with all that follows.
        """
        if not self.parts.is_cut or self.parts.is_well_used(last):
            return
        with self.parts.read_again_in_time(new_in_head):
            for give_back in self._ways_back():
                give_back(last)
                yield from self.parts.settle()
                if self.parts.is_well_used(last):
                    return

    def _ways_back(self) -> tuple[Callable[[int], None], ...]:
        return (
            *[self._history.lengthen] * _RETRIES,
            self._history.give_back,
            self._history.give_back_part,
            *[self._history.fit_part] * _RETRIES,
            self._history.take_back_part,
            self._grow_head,
        )

    def _grow_head(self, last: int) -> None:
        if self.parts.is_timed and self._is_head_read:
            return
        self._tools.grow(last)
        self._system.grow(last)
