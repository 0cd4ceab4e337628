"""A generator that yields events and returns a result, for a ``for`` loop that needs both."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Generic, TypeVar

Event = TypeVar("Event")
Returned = TypeVar("Returned")


class GeneratorResult(Generic[Event, Returned]):
    """Iterates over what the generator yields; ``value`` is what it returned at its end."""

    value: Returned

    def __init__(self, events: Generator[Event, None, Returned]) -> None:
        self._events = events

    def __iter__(self) -> Iterator[Event]:
        self.value = yield from self._events

    def read(self) -> Returned:
        """Pass over all events; return the result."""
        for _ in self:
            pass
        return self.value
