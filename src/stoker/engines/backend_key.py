"""A server's key as people store it: in variables, with what files and pastes add to it."""

from __future__ import annotations

#: What editors of Windows write at the beginning of a text file.
_BYTE_ORDER_MARK = "\ufeff"


def cleaned(value: str) -> str:
    """The key without white space at its ends: secrets and .env files end in a line's end.

    Raises ``ValueError``, with the reason, where what is left can't be sent in a header.
    """
    key = value.replace(_BYTE_ORDER_MARK, "").strip()
    if not key:
        raise ValueError("it is empty")
    if not key.isascii() or not key.isprintable():
        raise ValueError("a character in the middle of it can't be part of a key")
    return key
