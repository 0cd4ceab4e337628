"""How a context window is divided between the prompt and the answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: The most room that is kept for an answer when the client sets no limit.
#: 4,096 tokens hold a long source file; a quarter of the window leaves the rest to the prompt.
ANSWER_TOKENS = 4096
ANSWER_SHARE = 4
_ANSWER_LIMITS = ("max_completion_tokens", "max_tokens")
#: How long a person waits for the first token before the wait looks like a failure.
FIRST_TOKEN_TARGET_S = 30.0


@dataclass(frozen=True, slots=True)
class ReadingTime:
    """What a backend reads in time, in tokens, where that is less than its window.

    What was read before is in its cache and takes no time.
    """

    #: System prompt and tools, which are read once; also what a cut leaves to be read again.
    head_tokens: int
    #: What one request may add behind what the one before had.
    added_tokens: int
    #: What of that may be a call with its results; ``None``: all of it.
    result_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Budget:
    """A context window, divided. ``prompt + answer <= max_model_len`` holds for every value."""

    max_model_len: int
    #: Room kept for the answer while the prompt is fitted.
    answer_tokens: int
    #: What the prompt is fitted to: the window less the answer, or what the operator wants.
    prompt_tokens: int
    #: ``None`` where the prompt may take any time.
    time: ReadingTime | None = None

    @property
    def hard_prompt_tokens(self) -> int:
        """The longest prompt that the window itself allows beside the answer."""
        return self.max_model_len - self.answer_tokens

    @property
    def uncut_tokens(self) -> int:
        """A prompt of no more tokens is sent as it is."""
        most = self.prompt_tokens
        return min(most, self.time.added_tokens) if self.time else most

    def clamp(self, asked_tokens: int | None, prompt_tokens: int) -> int | None:
        """Return the ``max_tokens`` to send for a prompt of ``prompt_tokens``.

        ``None`` stays ``None``: the backend then fills the window. A number is never raised.
        """
        if asked_tokens is None:
            return None
        return max(1, min(asked_tokens, self.max_model_len - prompt_tokens))


def asked_max_tokens(request: Mapping[str, Any]) -> int | None:
    """Return how many tokens the client asks for at most, ``None`` without a limit.

    ``max_completion_tokens`` is OpenAI's newer name and wins over ``max_tokens``.
    """
    for name in _ANSWER_LIMITS:
        value = request.get(name)
        if type(value) is int and value > 0:  # no bool
            return value
    return None


def clamp_max_tokens(request: Mapping[str, Any], most_tokens: int) -> Mapping[str, Any]:
    """Return the request with every limit that it names brought down to ``most_tokens``."""
    limits = {name: request.get(name) for name in _ANSWER_LIMITS}
    over = {n: most_tokens for n, v in limits.items() if isinstance(v, int) and v > most_tokens}
    return {**request, **over} if over else request


def budget_for(
    max_model_len: int,
    asked_tokens: int | None = None,
    *,
    max_prompt_tokens: int | None = None,
    time: ReadingTime | None = None,
) -> Budget:
    """Divide a window of ``max_model_len`` tokens.

    The answer gets ``min(4096, max_model_len / 4)``, or less if the client asks for less.
    ``max_prompt_tokens`` bounds the prompt further, and ``time`` its parts.
    """
    answer = min(ANSWER_TOKENS, max_model_len // ANSWER_SHARE)
    if asked_tokens is not None:
        answer = min(answer, asked_tokens)
    prompt = max_model_len - max(1, answer)
    if max_prompt_tokens is not None:
        prompt = min(prompt, max_prompt_tokens)
    return Budget(max_model_len, max(1, answer), max(1, prompt), time)


def prompt_tokens_for_time(
    prefill_tokens_per_s: float, target_s: float = FIRST_TOKEN_TARGET_S
) -> int:
    """Return the longest prompt that a backend reads within ``target_s`` seconds."""
    return int(prefill_tokens_per_s * target_s)
