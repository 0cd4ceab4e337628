"""The form of the audit log: JSON lines, each with the hash of the one before. Pure.

A line is the JSON of its record with ``prev``, the hash of the line before, and at its end
``hash``, the SHA-256 of all that stands before it in the line. So a byte that was changed, and a
line that was added, removed or moved, breaks the chain at that line.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

#: What the first line of the log names as the hash before it.
START = "0" * 64

_HASH = re.compile(rb',"hash":"([0-9a-f]{64})"\}\n')
#: The bytes of ``_HASH``.
_HASH_BYTES = len(b',"hash":""}\n') + 64


@dataclass(frozen=True, slots=True)
class ChainLink:
    """The place of a line in the chain."""

    sequence: int = 0
    hash: str = START


@dataclass(frozen=True, slots=True)
class ChainBreak:
    """The first line that does not fit: its number within the lines read, from 1, and why."""

    line: int
    why: str


def line_of(record: Mapping[str, Any], before: ChainLink) -> tuple[bytes, ChainLink]:
    """The line of a record after the line ``before``, and the new line's place."""
    fields = {"sequence": before.sequence + 1, **record, "prev": before.hash}
    body = msgspec.json.encode(fields).removesuffix(b"}")
    digest = hashlib.sha256(body).hexdigest()
    return body + f',"hash":"{digest}"}}\n'.encode(), ChainLink(before.sequence + 1, digest)


def record_in(line: bytes) -> dict[str, Any]:
    """The record of a line. Raises ``ValueError`` where the line is damaged."""
    try:
        record = msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError("The line is not JSON") from error
    if not isinstance(record, dict):
        raise ValueError("The line holds no record")
    return record


def link_of(line: bytes) -> ChainLink:
    """The place of a line. Raises ``ValueError`` where its own hash does not fit it."""
    end = _HASH.fullmatch(line[-_HASH_BYTES:])
    if end is None:
        raise ValueError("The line is not complete")
    if hashlib.sha256(line[:-_HASH_BYTES]).hexdigest().encode() != end[1]:
        raise ValueError("The line was changed: its hash does not fit")
    sequence = record_in(line).get("sequence")
    if not isinstance(sequence, int):
        raise ValueError("The line has no number")
    return ChainLink(sequence, end[1].decode())


def first_break(lines: Iterable[bytes], before: ChainLink | None = None) -> ChainBreak | ChainLink:
    """The first line that does not fit, or the place of the last one where all do.

    ``before`` is the place of the line before the first; ``None`` takes that as it is, because
    older files may have been moved elsewhere.
    """
    for number, line in enumerate(lines, 1):
        try:
            here, record = link_of(line), record_in(line)
        except ValueError as error:
            return ChainBreak(number, str(error))
        if before is None:
            before = ChainLink(here.sequence - 1, str(record.get("prev")))
        if (here.sequence, record.get("prev")) != (before.sequence + 1, before.hash):
            return ChainBreak(
                number, "It does not follow the line before: lines are missing or moved"
            )
        before = here
    return before or ChainLink()
