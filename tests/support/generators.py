"""What a generator yields and what it returns."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

from stoker.generator_result import GeneratorResult

T = TypeVar("T")
R = TypeVar("R")


def drained(values: Generator[T, None, R]) -> tuple[list[T], R]:
    """All values of the generator, and what it returns."""
    read = GeneratorResult(values)
    return list(read), read.value


def returned(values: Generator[object, None, R]) -> R:
    """What the generator returns once it was read to its end."""
    return GeneratorResult(values).read()
