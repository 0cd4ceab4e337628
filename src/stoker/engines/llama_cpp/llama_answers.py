"""How llama.cpp's server reports the tokens of several answers to one request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def streams_to_count(request: Mapping[str, Any], choices: int) -> bool:
    """Whether a whole answer to ``request`` would report one of its ``choices`` alone.

    With ``n`` 3 and 13 tokens each, ``usage`` and ``timings`` of a whole answer report the 13 of
    the first choice; a stream reports each choice's. So it is with a list of prompts (seen in
    b11549). A streamed answer that continues the last message does not repeat it, so that one is
    left as it is.
    """
    if choices * _prompts(request.get("prompt")) == 1:
        return False
    return not _continues_an_answer(request.get("messages"))


def _prompts(prompt: Any) -> int:
    """How many prompts it is; a list of numbers is one, of token ids."""
    several = isinstance(prompt, list) and any(isinstance(each, str | list) for each in prompt)
    return len(prompt) if several else 1


def _continues_an_answer(messages: Any) -> bool:
    last = messages[-1] if isinstance(messages, Sequence) and messages else {}
    return isinstance(last, Mapping) and last.get("role") == "assistant"
