"""What usage teaches about counts that come out wrong, for each shape of requests apart."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import orjson

from stoker.recent_values import RecentValues
from stoker.tokens.counting.plain_form import OUTSIDE_THE_PROMPT, is_plain
from stoker.tokens.counting.token_counting import Request

#: A count of a whole prompt that is off by more than this share, and by more than these tokens,
#: is of something else: templates that differ do so by a preamble, of some hundred tokens.
_MOST_DOUBT_SHARE = 0.25
_LEAST_DOUBT_TOKENS = 64
#: The longest preambles for tools (Llama 3.1's, Qwen's) stay well below this.
_MOST_CORRECTION_TOKENS = 1024
#: Each is some hundred bytes; people have a handful of clients, each with some sets of tools.
_MOST_SHAPES = 256


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What was counted before a request, and what the backend reported as read."""

    counted_tokens: int
    used_tokens: int

    @property
    def difference(self) -> int:
        """Tokens that the count was short of (positive) or over (negative)."""
        return self.used_tokens - self.counted_tokens

    @property
    def is_exact(self) -> bool:
        return self.difference == 0

    def is_plausible(self, request: Request) -> bool:
        """Whether the backend can have read ``request`` whole and counted all of it.

        Some report only what was not in their cache, and no message is less than a token.
        """
        most = max(_LEAST_DOUBT_TOKENS, int(self.counted_tokens * _MOST_DOUBT_SHARE))
        return self.used_tokens >= len(request["messages"]) and abs(self.difference) <= most


@dataclass(frozen=True, slots=True)
class _Learned:
    """What is known of one shape."""

    tokens: int = 0
    #: Some request of this shape was counted exactly: any difference is of another cause.
    is_exact: bool = False
    #: The messages of the last request that was off, and by how much.
    last: tuple[bytes, int] = (b"", 0)


class Corrections:
    """Tokens to add to counts, by the shape of the request.

    A difference counts once two requests with other messages have shown it, and never for a
    shape that has been counted exactly: what one request alone causes is in its own content.
    """

    def __init__(self) -> None:
        self._learned = RecentValues[bytes, _Learned](_MOST_SHAPES)

    def of(self, request: Request) -> int:
        """The tokens to add to the count of ``request``."""
        if not self._learned:
            return 0
        return self._learned.get(_shape(request), _Learned()).tokens

    def learn(self, request: Request, reconciled: Reconciled) -> None:
        """Take note of one answer; ``reconciled`` is by the count without correction."""
        shape, difference = _shape(request), reconciled.difference
        known = self._learned.get(shape, _Learned())
        if reconciled.is_exact:
            self._learned.put(shape, _Learned(is_exact=True))
        elif known.is_exact or not reconciled.is_plausible(request):
            return
        else:
            messages = _digest(request["messages"])
            content, before = known.last
            repeats = content != messages and before == difference
            tokens = difference if repeats else known.tokens
            tokens = max(-_MOST_CORRECTION_TOKENS, min(tokens, _MOST_CORRECTION_TOKENS))
            self._learned.put(shape, _Learned(tokens, last=(messages, difference)))


def _shape(request: Request) -> bytes:
    """All that a server may render in a way of its own, apart from the texts of messages."""
    messages = request["messages"]
    inside = {k: v for k, v in request.items() if k not in OUTSIDE_THE_PROMPT and k != "messages"}
    kinds = {f"{m.get('role')} {type(m.get('content')).__name__} {sorted(m)}" for m in messages}
    last = messages[-1].get("role") if messages else None
    return _digest([inside, sorted(kinds), last, is_plain(request)])


def _digest(value: object) -> bytes:
    try:
        data = orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:  # it nests deeper than orjson writes, or holds half of a character
        data = repr(value).encode("utf-8", "replace")
    return hashlib.blake2b(data, digest_size=16).digest()
