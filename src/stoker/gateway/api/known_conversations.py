"""Conversations that go on: of a body that begins as one before it, only what is new is parsed.

An agent sends its whole conversation with every step, up to a megabyte in which nothing changed.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from operator import attrgetter, is_
from typing import Any, NamedTuple

import msgspec
import orjson

from stoker.gateway.api import media_urls, request_validation
from stoker.gateway.api.request_validation import BadRequestError
from stoker.tokens.request_form import WrittenPart, new_at

#: A shorter body is parsed as quickly as it is compared.
_LEAST_BYTES = 16_384
#: A conversation that has grown by less is kept as it was: that much is soon parsed again.
_LEAST_GROWTH_BYTES = 16_384
#: What is kept of all owners, in memory only: of plain text some 20 MB of bodies. Of a body of many
#: small values it is less, because those take thirty times the bytes of their JSON.
_MOST_CONVERSATIONS, _MOST_MEMORY_BYTES = 32, 83_886_080
#: Stands in a body where its known messages were, in a word that no client can guess.
_MARK = secrets.token_hex(16)
_MARK_JSON = orjson.dumps(_MARK)
_memory = attrgetter("memory_bytes")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class KnownConversation:
    """The first messages of an owner's requests: in normal form, and without any address."""

    owner: str
    #: Of a body, all up to the end of the last known message.
    beginning: bytes
    #: Where the first message begins.
    start: int
    messages: Sequence[WrittenPart]
    #: Their JSON, separated by commas. A client's own may have a field twice, and what was checked
    #: is the last one.
    json: bytes
    memory_bytes: int

    def is_in(self, messages: Sequence[Any]) -> bool:
        """Whether these messages begin with its own, and none of those was changed."""
        return len(messages) >= len(self.messages) and all(map(is_, messages, self.messages))

    def begins(self, owner: str, body: bytes) -> bool:
        """Whether the owner's body goes on with it."""
        return self.owner == owner and body.startswith(self.beginning)

    def cut_from(self, body: bytes) -> bytes:
        """The body with the mark in place of the known messages."""
        return body[: self.start] + _MARK_JSON + body[len(self.beginning) :]


class ParsedBody(NamedTuple):
    """A request, and the messages that it begins with as one before it did."""

    request: dict[str, Any]
    known: KnownConversation | None = None


class _Pieces(msgspec.Struct):
    messages: list[msgspec.Raw]


class KnownConversations:
    """The conversations of all owners. Each is used for its own owner's requests alone: otherwise
    the time that one takes would show what others have sent.
    """

    def __init__(self) -> None:
        #: The one that was used last at the end.
        self._known: list[KnownConversation] = []

    def parse(self, owner: str, body: bytes) -> ParsedBody:
        """The request in ``body``; known messages are written parts.

        Raises ``BadRequestError``.
        """
        if len(body) < _LEAST_BYTES:
            return ParsedBody(_whole(body))
        known = next((c for c in reversed(self._known) if c.begins(owner, body)), None)
        request = _continued(known, body) if known is not None else None
        if request is None:
            known, request = None, _whole(body)
        self._keep(owner, body, known, request)
        return ParsedBody(request, known)

    def _keep(
        self, owner: str, body: bytes, known: KnownConversation | None, request: dict[str, Any]
    ) -> None:
        """Keep the conversation as far as it is known now."""
        kept = [each for each in self._known if each is not known]
        longer = _longer(owner, body, known, request) or known
        if longer is not None:
            kept.append(longer)
        while len(kept) > _MOST_CONVERSATIONS or sum(map(_memory, kept)) > _MOST_MEMORY_BYTES:
            del kept[0]
        self._known = kept


def _whole(body: bytes) -> dict[str, Any]:
    return request_validation.with_known_messages(request_validation.parse(body))


def _continued(known: KnownConversation, body: bytes) -> dict[str, Any] | None:
    """The request with what is known of it; ``None`` where that is not what its messages are.

    A parser is in the same state after the same bytes. Behind the known messages it goes on with
    more of them, or the mark would not be the first one: ``messages`` may come twice in a body, and
    then the last one counts.
    """
    try:
        request = request_validation.parse(known.cut_from(body))
    except BadRequestError:
        return None
    messages = request.get("messages")
    if not isinstance(messages, list) or messages[:1] != [_MARK]:
        return None
    request["messages"] = [*known.messages, *messages[1:]]
    return request_validation.with_known_messages(request)


def _longer(
    owner: str, body: bytes, known: KnownConversation | None, request: dict[str, Any]
) -> KnownConversation | None:
    """The conversation with the messages that are known since; ``None`` where they are few, or too
    much to be kept.
    """
    messages = request.get("messages")
    if not isinstance(messages, list):
        return None
    before = len(known.messages) if known is not None else 0
    # Not the last one, in place of which an editor may send another next time.
    last = min(new_at(messages), len(messages) - 1)
    new = list(takewhile(media_urls.names_no_address, messages[before:last]))
    if sum(len(part.json) for part in new) < _LEAST_GROWTH_BYTES:
        return None
    memory = (known.memory_bytes if known is not None else 0) + _memory_of(new)
    if memory > _MOST_MEMORY_BYTES:
        return None
    places = _places(body, known, new)
    if places is None:
        return None
    start, end = places
    parts, json = (known.messages, [known.json]) if known is not None else ((), [])
    json += [part.json for part in new]
    return KnownConversation(owner, body[:end], start, [*parts, *new], b",".join(json), memory)


def _places(
    body: bytes, known: KnownConversation | None, new: Sequence[WrittenPart]
) -> tuple[int, int] | None:
    """Where the messages begin in the body, and where the new ones end; ``None`` where that is not
    certain.
    """
    rest = body if known is None else known.cut_from(body)
    try:
        pieces = msgspec.json.decode(rest, type=_Pieces).messages
    except (msgspec.MsgspecError, RecursionError):
        return None
    if known is not None:
        pieces = pieces[1:]  # without the mark
    if len(pieces) < len(new):
        return None
    start = body.find(pieces[0]) if known is None else known.start
    end = start if known is None else len(known.beginning)
    for piece, part in zip(pieces, new, strict=False):
        found = body.find(piece, end)
        between = body[end:found].strip(b" \t\r\n")
        if between not in (b"", b",") or not _holds(piece, part):
            return None
        end = found + len(memoryview(piece))
    return start, end


def _holds(piece: msgspec.Raw, part: WrittenPart) -> bool:
    """Whether ``part`` is what stands there; not where halves of characters were replaced."""
    try:
        return bool(orjson.loads(memoryview(piece)) == part)
    except orjson.JSONDecodeError:
        return False


def _memory_of(parts: Sequence[WrittenPart]) -> int:
    """What messages take with their JSON, which is kept three times: of each, of all, and as sent.

    It is not counted further than it matters.
    """
    memory = 3 * sum(len(part.json) for part in parts)
    values: list[Any] = list(parts)
    while values and memory <= _MOST_MEMORY_BYTES:
        value = values.pop()
        memory += sys.getsizeof(value)
        if isinstance(value, dict):
            values += (*value, *value.values())
        elif isinstance(value, list):
            values += value
    return memory
