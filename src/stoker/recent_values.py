"""A mapping that forgets: it keeps the values that were put last."""

from __future__ import annotations

from collections import OrderedDict
from typing import TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class RecentValues(OrderedDict[Key, Value]):
    """At most ``most`` values by their keys, the one that was put last at the end."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def put(self, key: Key, value: Value) -> None:
        """Keep a value as the newest one; the oldest goes where that is too many."""
        self[key] = value
        self.move_to_end(key)
        if len(self) > self._most:
            self.popitem(last=False)

    def first(self, key: Key, value: Value) -> Value:
        """The value with which ``key`` came first, or ``value``, which is then the newest."""
        known = self.setdefault(key, value)
        self.put(key, known)
        return known
