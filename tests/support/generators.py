"""What a generator yields and what it returns."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def drained(values: Generator[T, None, R]) -> tuple[list[T], R]:
    """All values of the generator, and what it returns."""
    seen = []
    while True:
        try:
            seen.append(next(values))
        except StopIteration as end:
            return seen, end.value


def returned(values: Generator[object, None, R]) -> R:
    """What the generator returns once it was read to its end."""
    return drained(values)[1]
