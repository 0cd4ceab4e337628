"""Which whole answers of llama.cpp's server are better asked for as streams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

#: A prompt of fewer bytes is read in a batch or two (``llama_batch`` makes them last a second).
_LONG_BYTES = 4096
#: What the prompt is made of.
_PROMPT_FIELDS = ("messages", "tools", "prompt")


def asks_for_stream(request: Mapping[str, Any], choices: int, reads_slowly: bool) -> bool:
    """Whether a whole answer to ``request`` is to be asked for as a stream.

    A stream shows the server that its client has left while it reads a long prompt: it writes an
    event after each batch. It costs half a millisecond, so it is asked for where reading is slow.
    Joined, content, finish reason, usage and timings are those of the whole
    answer (compared in b11549), but a chat loses its ``logprobs``.

    A whole answer also reports one of several ``choices`` alone. With ``n`` 3 and 13 tokens each,
    its ``usage`` and ``timings`` report the 13 of the first choice; a stream reports each choice's.
    So it is with a list of prompts (seen in b11549). An answer that continues the last message
    does not repeat it in a stream, and is left as it is.
    """
    several = choices * _prompts(request.get("prompt")) > 1
    if not several and not (reads_slowly and _is_long(request)):
        return False
    if (request.get("logprobs") or request.get("n_probs")) and not several:
        return False
    return not _continues_an_answer(request.get("messages"))


def _is_long(request: Mapping[str, Any]) -> bool:
    parts = [request[name] for name in _PROMPT_FIELDS if name in request]
    try:
        return len(orjson.dumps(parts)) > _LONG_BYTES
    except TypeError:  # it nests deeper than orjson writes
        return False


def _prompts(prompt: Any) -> int:
    """How many prompts it is; a list of numbers is one, of token ids."""
    several = isinstance(prompt, list) and any(isinstance(each, str | list) for each in prompt)
    return len(prompt) if several else 1


def _continues_an_answer(messages: Any) -> bool:
    last = messages[-1] if isinstance(messages, Sequence) and messages else {}
    return isinstance(last, Mapping) and last.get("role") == "assistant"
