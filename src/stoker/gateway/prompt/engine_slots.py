"""Which slot of an engine holds which conversation, and so which one a request is to take.

An engine with slots chooses by how much of a prompt a slot's last one shares. Conversations of one
client share most of theirs, so they would take one slot in turn and lose what follows, and one that
was cut would leave its own. The gateway knows better which conversation goes on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from stoker.gateway.prompt.conversation_keys import conversation_key
from stoker.gateway.prompt.prompt_chain import PromptChain
from stoker.recent_values import RecentValues

#: Conversations that are known to have been here: a number each.
_CONVERSATIONS_KEPT = 512
_EMPTY = PromptChain((), (), 0)


@dataclass(frozen=True, slots=True)
class SlotUser:
    """A request that takes a slot: its prompt, and what it belongs to."""

    chain: PromptChain
    #: ``None`` for what goes on with nothing, such as a completion.
    conversation: int | None = None
    is_utility: bool = False
    #: It may take a slot that is kept for completions.
    is_completion: bool = False


@dataclass(eq=False, slots=True)
class _Slot:
    number: int
    last: SlotUser = SlotUser(_EMPTY)
    #: When it was last given to a request, counted in requests; 0: never.
    used_at: int = 0
    is_busy: bool = False
    #: Turns do not take it.
    is_kept: bool = False


@dataclass(eq=False, slots=True)
class _Lease:
    """What one request has of the slots: none while it waits in the engine's own queue."""

    user: SlotUser
    slot: _Slot | None = None


class EngineSlots:
    """The slots of an engine to which nothing but this gateway sends requests.

    Seen in llama.cpp b11549: a slot that is named in a request first gives what it held to the host
    cache, and takes the best match from there, unless most of it stays. An empty one does not: so
    it is not named, and taken all the same, the last one first. A request that finds no idle slot
    takes the first that is given back.

    ``completion_slots`` are kept for completions. They are the first ones, because llama.cpp fills
    its batch slot by slot: a long prompt in an earlier slot leaves no room for a later one until it
    is read (b11549, ``findings/``). They are always named: an empty one has nothing to find in the
    host cache.
    """

    def __init__(self, slots: int | None, completion_slots: int = 0) -> None:
        self._slots = [
            _Slot(number, is_kept=number < completion_slots) for number in range(slots or 0)
        ]
        self._waiting: deque[_Lease] = deque()
        self._seen = RecentValues[int, None](_CONVERSATIONS_KEPT)
        self._requests = 0

    @contextmanager
    def held(self, user: SlotUser) -> Iterator[int | None]:
        """Hold a slot for the length of the block: its number if the request is to name it."""
        lease = _Lease(user)
        number = self._take(lease)
        try:
            yield number
        finally:
            self._give_back(lease)

    def place_for(self, chain: PromptChain) -> int | None:
        """The idle slot that suits a prompt best; ``None`` where all are busy."""
        user = SlotUser(chain)
        idle = self._idle(user)
        return max(idle, key=lambda each: self._suits(each, user)).number if idle else None

    def restored(self, slot: int, head: str) -> None:
        """A slot has got a prompt with this head from a file, or reads it ahead."""
        for each in self._slots:
            if each.number == slot:
                chain = PromptChain((), (), 0, head=head)
                self._give(each, _Lease(SlotUser(chain)))
                each.is_busy = False

    def _take(self, lease: _Lease) -> int | None:
        user = lease.user
        idle = self._idle(user)
        if not idle:
            self._waiting.append(lease)
            return None
        slot = max(idle, key=lambda each: self._suits(each, user))
        was_used = slot.used_at > 0
        self._give(slot, lease)
        return slot.number if was_used or slot.is_kept else None

    def _idle(self, user: SlotUser) -> list[_Slot]:
        """The slots that it may take now; a completion takes a kept one where there is any."""
        idle = [slot for slot in self._slots if not slot.is_busy]
        kept = [slot for slot in idle if slot.is_kept]
        if user.is_completion and kept:
            return kept
        return [slot for slot in idle if not slot.is_kept]

    def _suits(self, slot: _Slot, user: SlotUser) -> tuple[bool, bool, int, int, int]:
        """The more, the better: its own, one for utilities, the most shared, the longest unused."""
        is_own = user.conversation is not None and slot.last.conversation == user.conversation
        # What a conversation has left in another slot, the host cache has.
        returns = user.conversation in self._seen
        shared = 0 if returns or user.is_utility else _shared_blocks(slot.last.chain, user.chain)
        is_apart = user.is_utility and slot.last.is_utility
        return is_own, is_apart, shared, -slot.used_at, slot.number

    def _give(self, slot: _Slot, lease: _Lease) -> None:
        self._requests += 1
        lease.slot, slot.last = slot, lease.user
        slot.used_at, slot.is_busy = self._requests, True
        if lease.user.conversation is not None:
            self._seen.put(lease.user.conversation, None)

    def _give_back(self, lease: _Lease) -> None:
        if lease.slot is None:
            if lease in self._waiting:
                self._waiting.remove(lease)
            return
        lease.slot.is_busy = False
        slot = lease.slot
        next_one = next(
            (w for w in self._waiting if w.user.is_completion or not slot.is_kept), None
        )
        if next_one is not None:
            self._waiting.remove(next_one)
            self._give(slot, next_one)


def slot_user(
    request: Mapping[str, Any],
    chain: PromptChain,
    *,
    is_utility: bool,
    is_completion: bool = False,
) -> SlotUser:
    """What a client's request is to the slots."""
    messages = request.get("messages")
    if is_utility or is_completion or not isinstance(messages, list):
        return SlotUser(chain, is_utility=is_utility, is_completion=is_completion)
    return SlotUser(chain, conversation_key(messages))


def takes_one_slot(request: Mapping[str, Any]) -> bool:
    """Whether the request has one prompt and one answer, and its client has named no slot."""
    prompt = request.get("prompt")
    has_several = isinstance(prompt, list) and any(isinstance(p, str | list) for p in prompt)
    return request.get("n") in (None, 1) and not has_several


def _shared_blocks(last: PromptChain, new: PromptChain) -> int:
    """The blocks that both begin with; of a restored prompt its head alone is known."""
    if last.head and last.head == new.head and not last.links:
        return new.head_blocks
    return last.shared_blocks(new)
