"""Where a value is in a configuration file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

#: A key of an object, or ``(key, value)``: the item of a list whose ``key`` has that value.
Step = str | tuple[str, str]
#: The path of a value in a file: its keys, from the outermost object or list inwards.
Keys = tuple[Step, ...]


def get(document: Any, path: Sequence[Step]) -> Any:
    """The value at ``path``. Raises ``LookupError`` where there is none."""
    for step in path:
        document = _items(document)[position(document, step)]
    return document


def has(document: Any, path: Sequence[Step]) -> bool:
    """Whether there is a value at ``path``."""
    try:
        get(document, path)
    except LookupError:
        return False
    return True


def position(container: Any, step: Step) -> Any:
    """The key or the index of ``step``. Raises ``LookupError`` where it is missing."""
    if isinstance(step, str):
        if isinstance(container, dict) and step in container:
            return step
        raise LookupError(step)
    key, wanted = step
    for index, item in enumerate(container if isinstance(container, list) else ()):
        if isinstance(item, dict) and item.get(key) == wanted:
            return index
    raise LookupError(step)


def put(document: Any, path: Sequence[Step], value: object) -> Any:
    """``document`` with ``value`` at ``path``, as a new value. Raises ``ValueError``."""
    if not path:
        return value
    step, rest = path[0], path[1:]
    document = _empty_for(step) if document is None else document
    if not isinstance(document, type(_empty_for(step))):
        raise ValueError(f"expected {kind_of(step)} that holds {name_of(step)}")
    try:
        at = position(document, step)
    except LookupError:
        return _added(document, step, nested(rest, value))
    changed = document.copy()
    changed[at] = put(document[at], rest, value)
    return changed


def nested(path: Sequence[Step], value: object) -> Any:
    """``value`` inside the objects and lists that ``path`` names."""
    for step in reversed(path):
        value = {step: value} if isinstance(step, str) else [value]
    return value


def missing_parents(document: Any, path: Sequence[Step]) -> int:
    """How many of the objects and lists around ``path`` are not there yet."""
    return sum(not has(document, path[:length]) for length in range(1, len(path)))


def name_of(step: Step) -> str:
    """A step for messages."""
    return repr(step) if isinstance(step, str) else f"the item {step[0]} {step[1]!r}"


def kind_of(step: Step) -> str:
    """What holds ``step``, for messages."""
    return "an object" if isinstance(step, str) else "a list"


def words(path: Sequence[Step]) -> str:
    """A path for people: ``models[name=Stoker].apiBase``."""
    parts = (step if isinstance(step, str) else f"[{step[0]}={step[1]}]" for step in path)
    return ".".join(parts).replace(".[", "[")


def _items(document: Any) -> Any:
    if not isinstance(document, dict | list):
        raise LookupError
    return document


def _empty_for(step: Step) -> Any:
    return {} if isinstance(step, str) else []


def _added(document: Any, step: Step, value: object) -> Any:
    return {**document, step: value} if isinstance(step, str) else [*document, value]
