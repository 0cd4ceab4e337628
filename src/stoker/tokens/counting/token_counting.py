"""Count tokens: the queries, the cache of counts, and their correction by the backend's usage.

Fitting is a generator that yields a ``CountQuery`` and receives the counts, so that the same code
serves local counting (in a thread) and counting over HTTP (on the event loop).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

Request = Mapping[str, Any]
T = TypeVar("T")

#: Bytes of one token of English prose or code are 3 to 4.5 with every vocabulary of 32,000
#: entries or more; 3 keeps an estimate from text alone on the safe side.
BYTES_PER_TOKEN = 3.0
#: A count of a whole prompt that is off by more than this share, and by more than these tokens,
#: is of something else: templates that differ do so by a preamble, of some hundred tokens.
_MOST_DOUBT_SHARE = 0.25
_LEAST_DOUBT_TOKENS = 64
#: The longest preambles for tools (Llama 3.1's, Qwen's) stay well below this.
_MOST_CORRECTION_TOKENS = 1024


@dataclass(frozen=True, slots=True)
class CountStrings:
    """How many tokens is each of these texts, by itself and without a template?"""

    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CountRequest:
    """How many tokens is the prompt of this request, with template and tools?"""

    request: Request


CountQuery = CountStrings | CountRequest
#: Work that needs counts: yields what it asks, is sent one number for each text or request.
Steps = Generator[CountQuery, Sequence[int], T]


class Counts(Protocol):
    """A counter that answers at once, such as ``LocalTokenizer``."""

    def count_strings(self, texts: Sequence[str]) -> list[int]:
        """Return the tokens of each text."""

    def count_request(self, request: Request) -> int:
        """Return the tokens of the whole prompt."""


class PieceCache:
    """Remembers how many tokens a text is, by its content, in bounded memory.

    Two generations instead of a list by age: a look-up writes nothing most of the time, so that
    several threads may share one cache.
    """

    def __init__(self, max_chars: int = 64_000_000) -> None:
        self._max_chars = max_chars // 2
        self._chars = 0
        self._new: dict[str, int] = {}
        self._old: dict[str, int] = {}

    def count(self, texts: Sequence[str], counter: Callable[[list[str]], list[int]]) -> list[int]:
        """Return the tokens of each text, asking ``counter`` only for what is not known."""
        known = {text: self._look_up(text) for text in texts}
        missing = [text for text, tokens in known.items() if tokens is None]
        if missing:
            for text, tokens in zip(missing, counter(missing), strict=True):
                known[text] = tokens
                self._remember(text, tokens)
        return [known[text] or 0 for text in texts]

    def missing(self, texts: Sequence[str]) -> list[str]:
        """Return the texts that are not known, each once."""
        return [text for text in dict.fromkeys(texts) if self._look_up(text) is None]

    def _look_up(self, text: str) -> int | None:
        tokens = self._new.get(text)
        if tokens is None:
            tokens = self._old.get(text)
            if tokens is not None:
                self._remember(text, tokens)
        return tokens

    def _remember(self, text: str, tokens: int) -> None:
        if self._chars > self._max_chars:
            self._old, self._new, self._chars = self._new, {}, 0
        self._new[text] = tokens
        self._chars += len(text)


def estimate_strings(texts: Sequence[str], bytes_per_token: float = BYTES_PER_TOKEN) -> list[int]:
    """Estimate the tokens of each text, where a backend counts whole requests only.

    The fitter checks its result with an exact count, so a guess costs some room, never a failure.
    """
    return [int(utf8_bytes(text) / bytes_per_token) + 1 for text in texts]


def utf8_bytes(text: str) -> int:
    """Return the length of ``text`` in UTF-8. Free for ASCII, which Python marks as such."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def drive(steps: Steps[T], counts: Counts) -> T:
    """Run ``steps`` with a counter that answers at once; call it from a worker thread."""
    answer: Sequence[int] | None = None
    while True:
        try:
            ask = steps.send(answer) if answer is not None else next(steps)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]
        if isinstance(ask, CountStrings):
            answer = counts.count_strings(ask.texts)
        else:
            answer = [counts.count_request(ask.request)]


async def drive_async(
    steps: Steps[T], answer_ask: Callable[[CountQuery], Awaitable[Sequence[int]]]
) -> T:
    """Run ``steps`` with a counter that is asked over the network."""
    answer: Sequence[int] | None = None
    while True:
        try:
            ask = steps.send(answer) if answer is not None else next(steps)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]
        answer = await answer_ask(ask)


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
class Correction:
    """Tokens to add to the next count, learned from past ones, with and without tools."""

    plain_tokens: int = 0
    tools_tokens: int = 0

    def corrected(self, request: Request, counted_tokens: int) -> int:
        """Return what to expect of ``request``, which was counted as ``counted_tokens``."""
        return max(1, counted_tokens + self._of(request))

    def learn(self, request: Request, reconciled: Reconciled, then: Correction) -> Correction:
        """Return the correction after one answer, to a request that was counted with ``then``.

        Requests that were counted before either answer came report the same error, which counts
        once. A count that was exact changes nothing, nor does one that is not plausible.
        """
        if reconciled.is_exact or not reconciled.is_plausible(request):
            return self
        tokens = then._of(request) + reconciled.difference
        tokens = max(-_MOST_CORRECTION_TOKENS, min(tokens, _MOST_CORRECTION_TOKENS))
        if request.get("tools"):
            return Correction(self.plain_tokens, tokens)
        return Correction(tokens, self.tools_tokens)

    def _of(self, request: Request) -> int:
        return self.tools_tokens if request.get("tools") else self.plain_tokens
