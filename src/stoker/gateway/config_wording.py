"""What msgspec reports about a configuration file, in the words of those who write it."""

from __future__ import annotations

import re

_TYPES = {
    "int": "a whole number",
    "float": "a number",
    "str": "a text in quotes",
    "bool": "true or false",
    "array": "a list",
    "object": "a section",
    "null": "nothing",
}
_BOUNDS = {">=": "of at least", "<=": "of at most", ">": "above", "<": "below"}


def in_plain_words(message: str) -> str:
    """``Expected `int` >= 1`` as ``it must be a whole number of at least 1``; others as they are.

    The forms are those of msgspec 0.19 to 0.21.
    """
    message = message.replace("`", "")
    if missing := re.fullmatch(r"Object missing required field (\S+)", message):
        return f"{missing[1]!r} is missing"
    if other := re.fullmatch(r"Invalid enum value (.+)", message):
        return f"{other[1]} is not one of its values"
    if re.fullmatch(r"Expected (str|array|object) of length >= 1", message):
        return "it is empty"
    if wrong := re.fullmatch(r"Expected (.+), got (\w+)", message):
        return f"it must be {_types(wrong[1])}, and is {_types(wrong[2])}"
    if bound := re.fullmatch(r"Expected (\w+) ([<>]=?) (\S+)", message):
        return f"it must be {_types(bound[1])} {_BOUNDS[bound[2]]} {bound[3]}"
    return message


def missing_name(message: str) -> str:
    """The setting that a section lacks; empty where the message is about something else."""
    missing = re.fullmatch(r"Object missing required field (\S+)", message.replace("`", ""))
    return missing[1] if missing else ""


def without_links(text: str) -> str:
    """Markdown's ``[role](../teams.md)`` as ``role``: for a terminal."""
    return re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", text)


def _types(names: str) -> str:
    """``int | null`` as ``a whole number``."""
    kinds = [name for name in names.split(" | ") if name != "null"] or ["null"]
    return " or ".join(_TYPES.get(name, name) for name in kinds)
