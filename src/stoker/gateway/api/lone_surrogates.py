"""Halves of characters in a request's body. Pure.

JavaScript's texts are UTF-16, so a client that cuts one within an emoji writes half of it as
``\\ud83d``. That is no JSON, and the agent sends it again with every later request of the session:
https://github.com/anthropics/claude-code/issues/44230.
"""

from __future__ import annotations

import re

#: A whole pair, any other escape, or a half.
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(?P<half>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
#: The sign for a character that could not be read, as JavaScript's ``toWellFormed`` writes it.
_REPLACEMENT = rb"\ufffd"


def replaced(body: bytes) -> bytes | None:
    """The body with a replacement character for each half; ``None`` where it has none."""
    changed = _ESCAPE.sub(lambda found: _REPLACEMENT if found["half"] else found[0], body)
    return changed if changed != body else None
