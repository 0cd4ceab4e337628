"""Numbers of things in messages: "1 model", "2 models"."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """``number`` with its noun, whose plural ends in s, and with commas at the thousands."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


class Counted(int):
    """A number that a template writes with its noun: ``{count:model}``."""

    def __format__(self, spec: str) -> str:
        return counted(self, spec) if len(spec) > 1 and spec.isalpha() else super().__format__(spec)
