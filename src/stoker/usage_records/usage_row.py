"""One recorded request, in the form that every database takes."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

#: The status of a request whose client left before the end of its answer: nginx's.
CLIENT_LEFT = 499
#: Longer names and ids are cut: a client's may be of any length.
_MOST_CHARS = 256
#: What a column of PostgreSQL's type ``bigint`` holds at most.
_MOST = 2**63 - 1

Value = str | int | float | None


class UsageRow(NamedTuple):
    """One request that was asked of a model, when it has ended. ``None`` is what is not known."""

    #: When its body was read, in milliseconds since the epoch.
    arrived_ms: int
    owner: str
    key_id: str
    model: str
    #: The path of the API, such as ``/v1/chat/completions``.
    path: str
    #: What the client was answered; ``CLIENT_LEFT`` where it left, 502 where a stream broke off.
    status: int
    #: All tokens of the prompt, those from the engine's cache included.
    prompt_tokens: int | None
    #: All tokens of the answer, those of the reasoning included.
    completion_tokens: int | None
    cached_tokens: int | None
    reasoning_tokens: int | None
    #: 1 where the answer was cut before the engine reported its tokens: the prompt is as counted or
    #: by its bytes, the answer by its events, of which engines send one for each token.
    estimated: int
    #: Seconds from ``arrived_ms`` to the first byte of the answer: in a stream, its first token.
    first_byte_s: float | None
    total_s: float
    #: Seconds of them that it waited for a slot at a backend.
    queue_s: float | None
    #: What was cut from the prompt to make it fit: tokens as counted, tools that were left out, and
    #: the names of the steps, separated by spaces.
    cut_tokens: int
    cut_tools: int
    cut_steps: str
    #: The client's own name of its conversation. It is stored as a salted hash.
    session: str | None


#: The columns of a row, in order.
COLUMNS = UsageRow._fields


def as_stored(row: UsageRow, salt: bytes) -> tuple[Value, ...]:
    """The values of ``COLUMNS`` in a form that no database refuses.

    One that is refused would keep all rows after it from being written.
    """
    if row.session is not None:
        row = row._replace(session=_hashed(row.session, row.owner, salt) if row.session else None)
    return tuple(
        [
            _stored_text(value)
            if type(value) is str
            else _MOST
            if type(value) is int and value > _MOST
            else value
            for value in row
        ]
    )


def _hashed(session: str, owner: str, salt: bytes) -> str:
    """A hash that neither another database nor another owner has for the same session."""
    text = f"{owner}\0{session}".encode("utf-8", "replace")
    return hashlib.blake2b(text, key=salt, digest_size=12).hexdigest()


def _stored_text(text: str) -> str:
    if text.isascii() and len(text) <= _MOST_CHARS and "\0" not in text:
        return text
    return text[:_MOST_CHARS].encode("utf-8", "replace").decode().replace("\0", "?")
