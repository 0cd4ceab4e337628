"""What a chat template adds to the texts that are counted apart, measured once per backend."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stoker.tokens.chat_messages import Message, calls_of, images_in
from stoker.tokens.counting.token_counting import CountRequest, CountStrings, Steps
from stoker.tokens.truncation.tool_schema_compression import forms_of

#: The tokens of one image while nothing better is known. Qwen2.5-VL makes 4 to 16,384 tokens of
#: one, by its size; 1,280 is a screenshot of 1,000 by 1,000 pixels at 28 x 28 a token.
IMAGE_TOKENS = 1280


@dataclass(frozen=True, slots=True)
class Calibration:
    """The tokens that a template adds. The defaults serve until ``calibrate`` has run."""

    base_tokens: int = 48
    message_tokens: int = 8
    tools_base_tokens: int = 256
    #: Tokens that the template makes of a tool, for each token of its JSON in one line.
    tool_factor: float = 1.15

    def message_overhead(self, message: Message) -> int:
        """Return the tokens that a message takes beyond those of its text."""
        # A tool call is wrapped in tags and keys of its own, like a message in a message.
        parts = 1 + 3 * len(calls_of(message))
        return self.message_tokens * parts + IMAGE_TOKENS * images_in(message.get("content"))


#: Two small tools that differ in everything, to measure what a template makes of a tool.
_PROBE_TOOLS: tuple[Mapping[str, Any], ...] = tuple(
    {
        "type": "function",
        "function": {
            "name": name,
            "description": description,
            "parameters": {
                "type": "object",
                "properties": {
                    key: {"type": "string", "description": what} for key, what in keys.items()
                },
                "required": list(keys),
            },
        },
    }
    for name, description, keys in (
        ("read_file", "Read a file.", {"path": "Where the file is.", "encoding": "Its encoding."}),
        ("run_command", "Run a command.", {"command": "What to run.", "directory": "Where."}),
    )
)
_PROBE_TEXT = "Hello there, how are you?"


def calibrate() -> Steps[Calibration]:
    """Measure what a backend's template adds, with a few tiny requests."""
    user = {"role": "user", "content": _PROBE_TEXT}
    answer = {"role": "assistant", "content": _PROBE_TEXT}
    texts = (_PROBE_TEXT, *(forms_of(tool).texts[0] for tool in _PROBE_TOOLS))
    text, first, second = yield CountStrings(texts)
    (one,) = yield CountRequest({"messages": [user]})
    (three,) = yield CountRequest({"messages": [user, answer, user]})
    message = max(2, math.ceil((three - one) / 2) - text)
    base = max(0, one - text - message)
    (with_one,) = yield CountRequest({"messages": [user], "tools": list(_PROBE_TOOLS[:1])})
    (with_two,) = yield CountRequest({"messages": [user], "tools": list(_PROBE_TOOLS)})
    factor = max(0.2, (with_two - with_one) / second)
    tools_base = max(0, math.ceil(with_one - one - factor * first))
    return Calibration(
        base_tokens=base,
        message_tokens=message,
        tools_base_tokens=tools_base,
        tool_factor=factor,
    )
