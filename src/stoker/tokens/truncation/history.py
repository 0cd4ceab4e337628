"""The units of a conversation as they are sent: whole, shortened, or left out."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from functools import cached_property

from stoker.tokens.chat_messages import Message, piece_of
from stoker.tokens.counting.token_counting import CountStrings, Steps
from stoker.tokens.truncation.context_carryover import standing_context, with_context
from stoker.tokens.truncation.conversation import Conversation
from stoker.tokens.truncation.message_shortening import Carried, carried, shorten

#: Saving less is not worth it: the engine reads again all that follows.
_LEAST_SAVING_TOKENS = 32

#: A unit's index, and how many characters each text in it keeps at most.
Shortened = tuple[int, int]


class Sizes:
    """The tokens that the units of a conversation take in the prompt, whole and shortened."""

    def __init__(
        self,
        conversation: Conversation,
        whole: Sequence[int],
        overhead: Callable[[Message], int],
        context_tokens: int,
    ) -> None:
        self._conversation = conversation
        self.whole = whole
        #: Of the context that only the first message has: it is sent even when that is dropped.
        self.context_tokens = context_tokens
        self.context = standing_context(conversation)
        self.users = [i for i, unit in enumerate(conversation.units) if unit.role == "user"]
        #: What a template adds to a message.
        self._overhead = overhead
        self._counted: dict[Shortened, int] = {}
        self._units: dict[int, _Texts] = {}

    def count(self, units: Collection[Shortened]) -> Steps[list[int]]:
        """Count units that were shortened, each once."""
        missing = [unit for unit in units if unit not in self._counted]
        shorts = [self.messages(index, cap) for index, cap in missing]
        messages = [message for short in shorts for message in short]
        if messages:
            counts = yield CountStrings(tuple(piece_of(message) for message in messages))
            tokens = iter(n + self._overhead(m) for n, m in zip(counts, messages, strict=True))
            for unit, short in zip(missing, shorts, strict=True):
                self._counted[unit] = sum(next(tokens) for _ in short)
        return [self._counted[unit] for unit in units]

    def estimate(self, index: int, cap: int) -> int:
        """Estimate the tokens of a unit whose texts keep ``cap`` characters each, by length."""
        return math.ceil(self.whole[index] * self._texts(index).share(cap))

    def cap_for(self, index: int, goal_tokens: int) -> int:
        """The greatest cap with which a unit takes about ``goal_tokens``; 0 if none does."""
        low, high = 0, self._texts(index).longest * 2
        while high - low > 1:
            middle = (low + high) // 2
            fits = self.estimate(index, middle) <= goal_tokens
            low, high = (middle, high) if fits else (low, middle)
        return low

    def messages(self, index: int, cap: int | None) -> Sequence[Message]:
        """The messages of a unit, its texts cut to ``cap`` characters each."""
        unit = self._conversation.units[index]
        messages = self._conversation.messages[unit.start : unit.end]
        return messages if cap is None else [shorten(message, cap) for message in messages]

    def _texts(self, index: int) -> _Texts:
        if index not in self._units:
            self._units[index] = _Texts(self.messages(index, None))
        return self._units[index]


class _Texts:
    """The texts of a unit that can be shortened."""

    def __init__(self, messages: Sequence[Message]) -> None:
        self._texts: list[Carried] = [text for message in messages for text in carried(message)]
        self._chars = max(1, sum(len(piece_of(message)) for message in messages))

    @cached_property
    def longest(self) -> int:
        return max((text.chars for text in self._texts), default=0)

    def share(self, cap: int) -> float:
        """The part of the unit's characters that is left."""
        saved = sum(text.chars - text.kept(cap) for text in self._texts)
        return max(0.0, 1 - saved / self._chars)


class History:
    """Which units are sent, and how long each may be. Units are known by their index."""

    def __init__(self, sizes: Sizes) -> None:
        self._sizes = sizes
        #: What units that were shortened take, counted as far as ``settle`` was called since.
        self._tokens: dict[int, int] = {}
        self._estimated: set[int] = set()
        #: How many characters the texts of each unit that was shortened keep.
        self.caps: dict[int, int] = {}
        #: Units before this one are left out ...
        self.start = 0
        #: ... but for the user's message that the current turn answers.
        self.pinned: int | None = None
        #: Whether the context of the first message is sent once that is left out.
        self.keeps_context = True

    def tokens(self, last: int) -> int:
        """Return the tokens of what is sent of the units up to ``last``."""
        context = 0 if self._carrier(last) is None else self._sizes.context_tokens
        return context + sum(self.unit_tokens(index) for index in self.sent(last))

    def whole_tokens(self, last: int, most: int) -> int:
        """Return the tokens of all units up to ``last``, of none more than ``most``."""
        return sum(min(tokens, most) for tokens in self._sizes.whole[: last + 1])

    def sent(self, last: int) -> list[int]:
        """The units that are sent, in order."""
        pinned = [] if self.pinned is None else [self.pinned]
        return [*pinned, *range(self.start, last + 1)]

    def unit_tokens(self, index: int) -> int:
        """Return the tokens of a unit as it is sent."""
        return self._tokens[index] if index in self.caps else self._sizes.whole[index]

    def settle(self) -> Steps[None]:
        """Count what has been shortened: until then its size is an estimate.

        Counting later would make what is cut depend on what happens to be known already, and the
        next request would be cut in other places.
        """
        changed = sorted(self._estimated)
        self._estimated.clear()
        counts = yield from self._sizes.count([(index, self.caps[index]) for index in changed])
        self._tokens.update(zip(changed, counts, strict=True))

    def messages(self, last: int) -> list[Message]:
        """The messages that are sent."""
        carrier = self._carrier(last)
        messages: list[Message] = []
        for index in self.sent(last):
            unit = self._sizes.messages(index, self.caps.get(index))
            if index == carrier:
                unit = [with_context(unit[0], self._sizes.context), *unit[1:]]
            messages += unit
        return messages

    def _carrier(self, last: int) -> int | None:
        """The user's message that takes over the context of the first, once that is left out."""
        sent, users = self.sent(last), self._sizes.users
        if not self.keeps_context or not self._sizes.context or users[0] in sent:
            return None
        return next((index for index in sent if index in users), None)

    def shorten(self, index: int, excess: int) -> int:
        """Shorten a unit by ``excess`` tokens, or as far as it can be; return what that saves."""
        before = self.unit_tokens(index)
        if excess <= 0 or before - self._sizes.estimate(index, 0) < _LEAST_SAVING_TOKENS:
            return 0
        self._cap(index, before - excess)
        return before - self.unit_tokens(index)

    def lengthen(self, index: int, room: int) -> None:
        """Send ``room`` more tokens of a unit that was shortened, or all of it."""
        if index not in self.caps:
            return
        goal = self.unit_tokens(index) + room
        if goal >= self._sizes.whole[index]:
            self._whole(index)
        else:
            self._cap(index, goal)

    def restore(self, but: int) -> None:
        """Send all units whole again ``but`` one."""
        for index in [index for index in self.caps if index != but]:
            self._whole(index)

    def _cap(self, index: int, goal_tokens: int) -> None:
        error = self._error(index)
        self.caps[index] = self._sizes.cap_for(index, int(goal_tokens / error))
        self._tokens[index] = math.ceil(self._sizes.estimate(index, self.caps[index]) * error)
        self._estimated.add(index)

    def _error(self, index: int) -> float:
        """By how much a unit was counted to be longer than its last estimate."""
        if index not in self.caps:
            return 1.0
        return self._tokens[index] / max(1, self._sizes.estimate(index, self.caps[index]))

    def _whole(self, index: int) -> None:
        del self.caps[index]
        self._estimated.discard(index)
