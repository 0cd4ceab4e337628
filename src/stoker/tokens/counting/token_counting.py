"""Count tokens: the queries, and the cache of counts.

Fitting is a generator that yields a ``CountQuery`` and receives the counts, so that the same code
serves local counting (in a thread) and counting over HTTP (on the event loop).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

Request = Mapping[str, Any]
T = TypeVar("T")

#: Bytes of one token of English prose or code are 3 to 4.5 with every vocabulary of 32,000
#: entries or more; 3 keeps an estimate from text alone on the safe side.
BYTES_PER_TOKEN = 3.0


@dataclass(frozen=True, slots=True)
class CountStrings:
    """How many tokens is each of these texts, by itself and without a template?"""

    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CountRequest:
    """How many tokens is the prompt of this request, with template and tools?"""

    request: Request


#: A question that work asks of a counter.
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


@dataclass(frozen=True, slots=True)
class Finished(Generic[T]):
    """The result of work that asks for no more counts."""

    value: T


def advance(steps: Steps[T], answer: Sequence[int] | None) -> CountQuery | Finished[T]:
    """Go on with ``steps``; ``answer`` is to what they asked last, ``None`` at the beginning."""
    try:
        return next(steps) if answer is None else steps.send(answer)
    except StopIteration as done:
        return Finished(done.value)


def answer_of(counts: Counts, ask: CountQuery) -> Sequence[int]:
    """What ``counts`` answers."""
    if isinstance(ask, CountStrings):
        return counts.count_strings(ask.texts)
    return [counts.count_request(ask.request)]


def drive(steps: Steps[T], counts: Counts) -> T:
    """Run ``steps`` with a counter that answers at once; call it from a worker thread."""
    ask = advance(steps, None)
    while not isinstance(ask, Finished):
        ask = advance(steps, answer_of(counts, ask))
    return ask.value
