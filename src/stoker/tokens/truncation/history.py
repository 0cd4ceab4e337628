"""The units of a conversation as they are sent: whole, shortened, or left out."""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Callable, Collection, Sequence
from functools import cached_property

from stoker.tokens.chat_messages import SYSTEM_ROLES, Message, piece_of
from stoker.tokens.counting.token_counting import CountStrings, Steps
from stoker.tokens.truncation.context_carryover import standing_context, with_context
from stoker.tokens.truncation.conversation import Conversation
from stoker.tokens.truncation.message_shortening import Cap, Carried, carried, shorten

#: Saving less is not worth it: the engine reads again all that follows.
_LEAST_SAVING_TOKENS = 32

#: A unit's index, and how far it is shortened.
Shortened = tuple[int, Cap]


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
        self.units = units = conversation.units
        self.users = [i for i, unit in enumerate(units) if unit.role == "user"]
        #: The system messages behind the first message of the conversation.
        self.instructions = [i for i, unit in enumerate(units) if unit.role in SYSTEM_ROLES]
        #: What a template adds to a message.
        self._overhead = overhead
        self._counted: dict[Shortened, int] = {}
        self._units: dict[tuple[int, bool], _Texts] = {}

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

    def estimate(self, index: int, cap: Cap) -> int:
        """Estimate the tokens of a unit that is shortened to ``cap``, by length."""
        return math.ceil(self.whole[index] * self._texts(index, cap.prose).share(cap.chars))

    def cap_for(self, index: int, goal_tokens: int, *, prose: bool) -> Cap:
        """The greatest cap with which a unit takes about ``goal_tokens``; 0 if none does."""
        low, high = 0, self._texts(index, prose).longest * 2
        while high - low > 1:
            middle = (low + high) // 2
            fits = self.estimate(index, Cap(middle, prose)) <= goal_tokens
            low, high = (middle, high) if fits else (low, middle)
        return Cap(low, prose)

    def messages(self, index: int, cap: Cap | None) -> Sequence[Message]:
        """The messages of a unit, shortened to ``cap``."""
        unit = self._conversation.units[index]
        messages = self._conversation.messages[unit.start : unit.end]
        return messages if cap is None else [shorten(message, cap) for message in messages]

    def _texts(self, index: int, prose: bool) -> _Texts:
        if (index, prose) not in self._units:
            self._units[index, prose] = _Texts(self.messages(index, None), prose=prose)
        return self._units[index, prose]


class _Texts:
    """The texts of a unit that can be shortened."""

    def __init__(self, messages: Sequence[Message], *, prose: bool) -> None:
        texts = (text for message in messages for text in carried(message, prose=prose))
        self._texts: list[Carried] = list(texts)
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
        #: How far each unit that was shortened is.
        self.caps: dict[int, Cap] = {}
        #: Units before this one are left out ...
        self.start = 0
        #: ... but for the user's message of the turn that it belongs to, and instructions: agents
        #: send what they know of the machine and of their tools as a system message, once.
        self.pinned: int | None = None
        self.keeps_instructions = True
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
        before = [i for i in self._sizes.instructions if i < self.start and self.keeps_instructions]
        if self.pinned is not None:
            insort(before, self.pinned)
        return [*before, *range(self.start, last + 1)]

    def instructions(self, last: int) -> list[int]:
        """The system messages among what is sent, in order."""
        return [i for i in self._sizes.instructions if i <= last]

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

    def sent_by_message(self, last: int) -> list[int]:
        """The unit of each of ``messages``."""
        units = self._sizes.units
        return [i for i in self.sent(last) for _ in range(units[i].start, units[i].end)]

    def _carrier(self, last: int) -> int | None:
        """The user's message that takes over the context of the first, once that is not whole."""
        if not self.keeps_context or not self._sizes.context:
            return None
        first, *_ = users = self._sizes.users
        whole = (index for index in self.sent(last) if index in users and not self._is_part(index))
        carrier = next(whole, None)
        return None if carrier == first else carrier

    def _is_part(self, index: int) -> bool:
        return index in self.caps and self.caps[index].prose

    @property
    def parts(self) -> list[int]:
        """The units of which prose is shortened too, in order."""
        return sorted(filter(self._is_part, self.caps))

    def least_tokens(self, index: int) -> int:
        """About what a unit takes at least, its prose shortened too."""
        return self._sizes.estimate(index, Cap(0, prose=True))

    def shorten(self, index: int, excess: int, *, prose: bool = False) -> int:
        """Shorten a unit by ``excess`` tokens, or as far as it can be; return what that saves.

        Prose is shortened only with ``prose``, and where it was before.
        """
        prose = prose or self._is_part(index)
        before, least = self.unit_tokens(index), self._sizes.estimate(index, Cap(0, prose))
        if excess <= 0 or before - least < _LEAST_SAVING_TOKENS:
            return 0
        self._cap(index, before - excess, prose=prose)
        return before - self.unit_tokens(index)

    def lengthen(self, index: int, room: int) -> None:
        """Send ``room`` more tokens of a unit that was shortened, or all of it."""
        if index not in self.caps:
            return
        goal = self.unit_tokens(index) + room
        if goal >= self._sizes.whole[index]:
            self._whole(index)
        else:
            self._cap(index, goal, prose=self._is_part(index))

    def restore(self, but: int) -> None:
        """Send all units whole again ``but`` one."""
        for index in [index for index in self.caps if index != but]:
            self._whole(index)

    def _cap(self, index: int, goal_tokens: int, *, prose: bool) -> None:
        error = self._error(index)
        self.caps[index] = self._sizes.cap_for(index, int(goal_tokens / error), prose=prose)
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
