"""Decides whose waiting request is next: owners share a backend's work by tokens, not by requests.

This is start-time fair queueing (Goyal, Vin and Cheng, 1996): each owner has a mark that the tokens
of its requests move on, and the request of the lowest mark goes first. An owner that was idle
begins at the mark of those that are served: it has saved nothing up, and owes nothing.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

#: Owners that are remembered: those whose marks are the highest.
_OWNERS_KEPT = 1024


@dataclass(slots=True)
class _Mark:
    """How far an owner's requests have moved it, in tokens."""

    at: float
    #: What its next request is taken to need: as much as the one before.
    expected_tokens: int = 1


class OwnerShares:
    """The marks of all owners. Finding and moving one takes the same time for 1,000 as for one."""

    def __init__(self) -> None:
        self._marks: dict[str, _Mark] = {}
        self._served_at = 0.0
        self._highest = 0.0

    def mark(self, owner: str) -> float:
        """Where its next request begins: the lowest goes first."""
        known = self._marks.get(owner)
        return self._served_at if known is None else max(known.at, self._served_at)

    def begin(self, owner: str) -> int:
        """A request of the owner begins; the tokens that it is taken to need."""
        begins = self._served_at = self.mark(owner)
        known = self._marks.get(owner)
        if known is None:
            self._forget_some()
            known = self._marks[owner] = _Mark(begins)
        known.at = begins + known.expected_tokens
        return known.expected_tokens

    def end(self, owner: str, expected_tokens: int, used_tokens: int) -> None:
        """The request ended, and used this much in place of what was expected."""
        known = self._marks.get(owner)
        if known is not None:
            known.at += used_tokens - expected_tokens
            known.expected_tokens = max(1, used_tokens)
            self._highest = max(self._highest, known.at)

    def rest(self) -> None:
        """Nothing is under way, and nothing waits: no owner owes anything."""
        self._served_at = max(self._served_at, self._highest)

    def _forget_some(self) -> None:
        if len(self._marks) >= 2 * _OWNERS_KEPT:
            highest = heapq.nlargest(_OWNERS_KEPT, self._marks.items(), key=lambda m: m[1].at)
            self._marks = dict(highest)
