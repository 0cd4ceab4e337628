"""What a chat template adds to the texts that are counted apart, measured once per backend."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from stoker.tokens.chat_messages import Message, calls_of, images_in, piece_of
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
    #: What a tool call and its result take beyond two messages; ``None``: like three messages more.
    call_tokens: int | None = None

    def message_overhead(self, message: Message) -> int:
        """Return the tokens that a message takes beyond those of its text."""
        # A tool call is wrapped in tags and keys of its own, like a message in a message.
        call = 3 * self.message_tokens if self.call_tokens is None else self.call_tokens
        images = IMAGE_TOKENS * images_in(message.get("content"))
        return self.message_tokens + call * len(calls_of(message)) + images


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
_USER: Message = {"role": "user", "content": _PROBE_TEXT}
_ANSWER: Message = {"role": "assistant", "content": _PROBE_TEXT}
_CALL: Message = {
    "role": "assistant",
    "content": "",
    "tool_calls": [
        {
            "id": "call_abcd1",
            "type": "function",
            "function": {"name": "read_file", "arguments": '{"path": "src/app.py", "line": 10}'},
        }
    ],
}
_RESULT: Message = {"role": "tool", "tool_call_id": "call_abcd1", "content": _PROBE_TEXT}


def calibrate() -> Steps[Calibration]:
    """Measure what a backend's template adds, with a few tiny requests."""
    user, answer = _USER, _ANSWER
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


def calibrate_calls(known: Calibration) -> Steps[Calibration]:
    """Measure what the template adds to a call and its result, too.

    An estimate would be off by more with each step of an agent, and what was cut for it moves. The
    count fails where a template has no such messages.
    """
    call, result = yield CountStrings((piece_of(_CALL), _PROBE_TEXT))
    (without,) = yield CountRequest({"messages": [_USER, _ANSWER, _USER]})
    (with_one,) = yield CountRequest({"messages": [_USER, _CALL, _RESULT, _ANSWER, _USER]})
    added = with_one - without - call - result - 2 * known.message_tokens
    return replace(known, call_tokens=max(0, added))
