"""JSON with halves of characters in it, in a request or in an answer. Pure.

JavaScript's texts are UTF-16, so a client that cuts one within an emoji writes half of it as
``\\ud83d``. That is no JSON, and the agent sends it again with every later request of the session:
https://github.com/anthropics/claude-code/issues/44230.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

#: The first half of a character, and the second.
_FIRST, _SECOND = rb"\\u[dD][89abAB][0-9a-fA-F]{2}", rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_HALF = re.compile(rb"%b(?!%b)|(?<!%b)%b" % (_FIRST, _SECOND, _FIRST, _SECOND))
#: Escaped backslashes, with which no other escape begins; and what no JSON holds, in their place.
_BACKSLASH, _HIDDEN = rb"\\", b"\0\0"
#: The sign for a character that could not be read, as JavaScript's ``toWellFormed`` writes it.
_REPLACEMENT = rb"\\ufffd"


def loads(body: bytes) -> Any:
    """The JSON in ``body``, with a replacement character for each half of one.

    Raises ``orjson.JSONDecodeError`` where it is not JSON.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        well_formed = replaced(body)
        if well_formed is None:
            raise
        return orjson.loads(well_formed)


def replaced(body: bytes) -> bytes | None:
    """The body with a replacement character for each half; ``None`` where it has none."""
    if b"\0" in body:
        return None  # no JSON, whatever is replaced
    changed, halves = _HALF.subn(_REPLACEMENT, body.replace(_BACKSLASH, _HIDDEN))
    return changed.replace(_HIDDEN, _BACKSLASH) if halves else None
