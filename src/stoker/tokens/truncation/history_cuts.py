"""Which turns and steps are shortened or left out, and when: the oldest first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stoker.tokens.truncation.conversation import Conversation
from stoker.tokens.truncation.prompt_parts import PromptParts

#: What the newest result keeps at most, and at least before the system prompt is cut for it.
_NEWEST_SHARE, _LEAST_NEWEST_SHARE = 0.35, 0.12
#: What is left of the system messages in a conversation while recent results can be shortened, and
#: while anything else can.
_INSTRUCTIONS_SHARE, _LEAST_INSTRUCTIONS_SHARE = 0.2, 0.05
#: Steps of the current turn that are not left out while the system prompt can still be cut ...
_STEPS_KEPT = 6
#: ... and not shortened while older ones can be.
_STEPS_WHOLE = 2


class HistoryCuts:
    """Cuts the history of ``parts``.

    A turn begins with a user's unit, the request; each unit after it is a step.
    """

    def __init__(self, conversation: Conversation, parts: PromptParts) -> None:
        self._conversation = conversation
        self._parts = parts
        self._history = parts.history
        units = enumerate(conversation.units)
        self._first_user = next((index for index, unit in units if unit.role == "user"), -1)

    def limit_added(self, last: int) -> None:
        """Shorten a newest unit that would take too long to read."""
        most = self._most_tokens(last)
        if most < self._parts.limit:
            self._history.shorten(last, self._history.unit_tokens(last) - most)

    def limit_newest(self, last: int) -> None:
        """Shorten a newest result that takes too much of any prompt."""
        self._shorten_newest_to(last, self._parts.share(_NEWEST_SHARE))

    def shorten_newest(self, last: int) -> None:
        """Shorten the newest result by what is too much, as long as a good part is left."""
        room = self._history.unit_tokens(last) - self._parts.excess(last)
        self._shorten_newest_to(last, max(room, self._parts.share(_LEAST_NEWEST_SHARE)))

    def shorten_old_turns(self, last: int) -> None:
        """Shorten earlier turns, but not the first message: its context is sent only once."""
        request = self._request(last)
        first = max(self._history.start, self._first_user + 1)
        self._shorten(last, range(first, last if request is None else request))

    def shorten_old_steps(self, last: int) -> None:
        """Shorten the current turn's steps but the newest ones."""
        request, start = self._request(last), self._history.start
        first = start if request is None else max(start, request + 1)
        self._shorten(last, range(first, last - _STEPS_WHOLE + 1))

    def shorten_recent(self, last: int) -> None:
        """Shorten the newest steps too."""
        self._shorten(last, range(max(self._history.start, last - _STEPS_WHOLE + 1), last))
        if self._has_result(last):
            self._shorten(last, range(last, last + 1))

    def shorten_instructions(self, last: int) -> None:
        """Shorten the conversation's system messages, as long as a good part of them is left."""
        self._shorten_instructions_to(last, _INSTRUCTIONS_SHARE)

    def shorten_attachments(self, last: int) -> None:
        """Shorten what is wrapped around the request, as long as a good part of it is left."""
        request = self._request(last)
        if request is not None:
            most = self._parts.share(_NEWEST_SHARE)
            over = min(self._parts.excess(last), self._history.unit_tokens(request) - most)
            self._history.shorten(request, over)

    def shorten_request(self, last: int) -> None:
        """Leave out the standing context, shorten the instructions and what is around the request.

        Instructions that are too long even then are left out as others are.
        """
        if self._parts.is_over(last):
            self._history.keeps_context = False
            self._shorten_instructions_to(last, _LEAST_INSTRUCTIONS_SHARE)
        request = self._request(last)
        if request is not None and self._parts.is_over(last):
            self._history.shorten(request, self._parts.excess(last))
        if self._parts.is_over(last):
            self._history.keeps_instructions = False

    def drop_old_turns(self, last: int) -> None:
        """Leave out whole turns before the current one."""
        request = self._request(last)
        if request is None:
            return
        units, start = self._conversation.units, self._history.start
        turns = (i for i in range(start + 1, request + 1) if units[i].role == "user")
        self._drop_until_it_fits(last, turns)

    def drop_old_steps(self, last: int, kept: int = _STEPS_KEPT) -> None:
        """Leave out steps of the current turn but the newest ``kept``."""
        request = self._request(last)
        first = max(self._history.start, -1 if request is None else request) + 1
        self._drop_until_it_fits(last, iter(range(first, last - kept + 2)))

    def lengthen(self, last: int) -> None:
        """Send more of what was shortened, the newest first, as far as there is room."""
        for index in reversed(self._history.sent(last)):
            most = max(0, self._most_tokens(index) - self._history.unit_tokens(index))
            self._history.lengthen(index, min(most, -self._parts.excess(last)))
            if self._parts.is_used_enough(last):
                return

    def give_back(self, last: int) -> None:
        """Send turns or steps again that were left out, as far as there is room for whole ones."""
        request, units = self._request(last), self._conversation.units
        for start in reversed(range(self._history.start)):
            is_step = request is not None and start > request
            if not (is_step or units[start].role == "user"):
                continue
            least = self._history.start
            self._start_at(start)
            if self._parts.is_more_than_wanted(last):
                self._start_at(least)
                return
            if self._parts.is_used_enough(last):
                return

    def give_back_part(self, last: int) -> None:
        """Send the end of the turn before, its prose shortened as results are.

        Otherwise one long text that is left out would leave much of the room unused.
        """
        end, request = self._history.start, self._request(last)
        first = self._conversation.last_user(end)
        if first is None:
            return
        asked = [] if first == request else [first]
        steps = self._part(range(first + 1, end), -self._parts.excess(last), asked)
        if steps or end == first + 1:
            self._start_at(steps.start if steps.start > first + 1 else first)
            self._shorten(last, [*asked, *steps], prose=True)

    def _part(self, steps: range, room: int, asked: Sequence[int]) -> range:
        """The newest of ``steps`` that fill ``room`` beside what was ``asked``: one at least."""
        least = sum(map(self._history.least_tokens, asked))
        whole = sum(map(self._history.unit_tokens, asked))
        start = steps.stop
        while start > steps.start and (whole < room or start == steps.stop):
            least += self._history.least_tokens(start - 1)
            if least > room:
                break
            start -= 1
            whole += self._history.unit_tokens(start)
        return range(start, steps.stop)

    def fit_part(self, last: int) -> None:
        """Correct what the estimates of ``give_back_part`` were off."""
        if self._parts.is_over_aim(last):
            self._shorten(last, self._history.parts)
        else:
            self.lengthen(last)

    def take_back_part(self, last: int) -> None:
        """Leave out what can't be shortened enough."""
        if self._parts.is_over_aim(last):
            self.drop_old_turns(last)
            self.drop_old_steps(last)

    def _most_tokens(self, index: int) -> int:
        """What a unit may add to the prompt."""
        return self._parts.most_results if self._has_result(index) else self._parts.most_added

    def _request(self, last: int) -> int | None:
        """The user's unit that the current turn answers."""
        return self._conversation.last_user(last + 1)

    def _has_result(self, last: int) -> bool:
        return self._conversation.units[last].role != "user"

    def _shorten_newest_to(self, last: int, most_tokens: int) -> None:
        if self._has_result(last):
            self._history.shorten(last, self._history.unit_tokens(last) - most_tokens)

    def _shorten_instructions_to(self, last: int, share: float) -> None:
        """Shorten all system messages of the conversation to a share of the prompt together."""
        instructions = self._history.instructions(last)
        tokens = sum(map(self._history.unit_tokens, instructions))
        excess = min(self._parts.excess(last), tokens - self._parts.share(share))
        for index in instructions:
            excess -= self._history.shorten(index, excess, prose=True)

    def _shorten(self, last: int, units: Sequence[int], *, prose: bool = False) -> None:
        excess = self._parts.excess(last)
        for index in units:
            if excess <= 0:
                return
            excess -= self._history.shorten(index, excess, prose=prose)

    def _drop_until_it_fits(self, last: int, starts: Iterator[int]) -> None:
        """Leave out the units before each of ``starts`` in turn.

        The engine reads what follows again anyway, so what was shortened there comes back as far
        as there is room for it.
        """
        before = self._history.start
        for start in starts:
            self._start_at(start)
            if self._parts.excess(last) <= 0:
                break
        if self._history.start > before:
            self._history.restore(but=last)
            self.shorten_old_turns(last)
            self.shorten_old_steps(last)

    def _start_at(self, start: int) -> None:
        """Leave out the units before ``start`` but the request that it belongs to."""
        user = self._conversation.last_user(start + 1)
        self._history.start = start
        self._history.pinned = None if user == start else user
