"""When the pieces of one answer arrived, counted from when its request was due."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

#: Failures that the benchmark itself caused: its time was up, or the user stopped it.
NOT_SENT, CUT_OFF = "not sent: the time was up", "cut off: the time was up"


@dataclass(frozen=True, slots=True)
class Timing:
    """One request, in seconds after the start of its round.

    ``arrival_s`` is when it was due, and all waiting times count from there. Counting from when it
    was sent would leave out the waiting that a slow server causes (coordinated omission).
    """

    arrival_s: float
    #: When it was actually sent; ``None`` where it never was.
    sent_s: float | None = None
    #: When each piece of the answer arrived: text, reasoning or a tool call.
    chunk_s: tuple[float, ...] = ()
    #: When the answer was complete; ``None`` where it never was.
    end_s: float | None = None
    #: As the server counts them; ``None`` where it does not report them.
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    answer_tokens: int | None = None
    failure: str | None = None

    @property
    def answered(self) -> bool:
        """Whether the answer arrived completely."""
        return self.failure is None

    @property
    def first_token_s(self) -> float:
        """From when the request was due to the first piece of its answer."""
        return self.chunk_s[0] - self.arrival_s

    @property
    def total_s(self) -> float:
        """From when the request was due to the last piece of its answer."""
        return self.chunk_s[-1] - self.arrival_s

    @property
    def tokens(self) -> int:
        """Tokens of the answer; where the server does not count them, the number of pieces."""
        return self.answer_tokens or len(self.chunk_s)

    @property
    def token_s(self) -> float | None:
        """Time per token after the first; ``None`` for an answer of one token or one piece."""
        if self.tokens < 2 or len(self.chunk_s) < 2:
            return None
        return (self.chunk_s[-1] - self.chunk_s[0]) / (self.tokens - 1)

    @property
    def longest_gap_s(self) -> float | None:
        """The longest pause between two pieces of the answer."""
        return max((late - early for early, late in pairwise(self.chunk_s)), default=None)
