"""Messages and tools in normal form with their JSON, so that what comes again is read once.

An agent sends its whole conversation with every step, some thousand messages. Those that were in
normal form before are recognised by a hash of their JSON, and are neither checked nor changed
again; routing, counting and the prompt's chain use the same JSON and hash.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from stoker.recent_values import RecentValues

#: Messages that are remembered: some 150 bytes each, and no content.
_MOST_KNOWN = 16_384
#: The hashes of messages that the normal form leaves as they are, the oldest first.
_KNOWN = RecentValues[int, None](_MOST_KNOWN)


class WrittenPart(dict[str, Any]):
    """A message or a tool in normal form, with its JSON.

    It is never changed: ``{**part, ...}`` is a plain ``dict`` again. ``key`` is this process's own
    hash of the JSON, and leads back to no content.
    """

    __slots__ = ("json", "key")

    def __init__(self, value: Mapping[str, Any], json: bytes) -> None:
        super().__init__(value)
        self.json = json
        self.key = hash(json)


def part_key(part: Any) -> int:
    """This process's hash of the JSON of a part of a request."""
    return part.key if type(part) is WrittenPart else hash(orjson.dumps(part))


def recognised(messages: Sequence[Any]) -> list[Any]:
    """The messages of a client; those that are known to be in normal form are written parts."""
    at = new_at(messages)
    return [*messages[:at], *map(_recognised, messages[at:])]


def new_at(messages: Sequence[Any]) -> int:
    """The place of the first message that is no written part; those before it need no look."""
    kinds = list(map(type, messages))  # no step of its own for each of a thousand messages
    written = kinds.count(WrittenPart)
    if written in (0, len(kinds)):
        return written
    if kinds[:written].count(WrittenPart) == written:  # all of them come first
        return written
    return next(at for at, kind in enumerate(kinds) if kind is not WrittenPart)


def _recognised(message: Any) -> Any:
    try:
        json = orjson.dumps(message)
    except orjson.JSONEncodeError:
        return message
    return WrittenPart(message, json) if hash(json) in _KNOWN else message


def normal_part(value: Mapping[str, Any], *, is_known: bool = False) -> Mapping[str, Any]:
    """A message or a tool in normal form, written; as it is where it nests too deeply for that.

    ``is_known`` remembers a message that came in normal form.
    """
    if type(value) is WrittenPart:
        return value
    try:
        part = WrittenPart(value, orjson.dumps(value))
    except orjson.JSONEncodeError:
        return value
    if is_known:
        _KNOWN.put(part.key, None)
    return part
