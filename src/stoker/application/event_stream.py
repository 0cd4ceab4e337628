"""The values of one iterator as the events of another."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from typing import TypeVar

from stoker.generator_result import GeneratorResult

T = TypeVar("T")
E = TypeVar("E")
R = TypeVar("R")


def as_events(event: Callable[[T], E], values: Generator[T, None, R]) -> Generator[E, None, R]:
    """Yield an ``event`` for each of the values, and return what their generator returns."""
    with closing(values):
        read = GeneratorResult(values)
        for value in read:
            yield event(value)
        return read.value
