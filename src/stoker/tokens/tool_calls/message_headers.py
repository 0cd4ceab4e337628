"""Messages within an answer: reasoning, calls and the answer itself, each behind its header.

gpt-oss' Harmony writes ``<|channel|>analysis<|message|>...<|end|>``, others write one marker.
"""

from __future__ import annotations

import re

from stoker.tokens.tool_calls.call_candidate import (
    NAME_CHARS,
    REJECTED,
    FoundHeader,
    HeaderVerdict,
    Rejected,
    skip_blank,
)
from stoker.tokens.tool_calls.call_validation import ToolSchemas
from stoker.tokens.tool_calls.json_calls import Arguments

_HARMONY_ENDS = ("<|end|>", "<|return|>", "<|call|>")
#: How a Harmony message begins. The prompt ends with ``<|start|>assistant``, so that the first one
#: may begin behind it: with its channel, or with its recipient.
HARMONY_OPENINGS = ("<|start|>", "<|channel|>")
RECIPIENT_OPENING = "to=functions."
#: What is left of the channel of reasoning where a server strips the special tokens
#: (https://github.com/oobabooga/textgen/issues/7374).
_REASONING_OPENING = "analysis"
#: Where no message may begin, these words are plain text.
FIRST_OPENINGS = (RECIPIENT_OPENING, _REASONING_OPENING)
#: What is left there of the header of a call.
STRIPPED_OPENINGS = ("commentary to=functions.", "assistantcommentary to=functions.")
#: A call's header without special tokens: ``commentary to=functions.f json{...}``.
_STRIPPED = re.compile(
    r"(?:assistant)?(?:commentary )?to=(?P<recipient>functions\.[^\s<{]+)"
    r"(?:\s+\w+)?\s*(?=\{)"
)
#: What follows stripped reasoning: the answer, or a message before or with a call.
_STRIPPED_ENDS = ("assistantfinal", "assistantcommentary")
#: Source: OpenAI's description of Harmony. The recipient stands before or behind the channel, and
#: the type of the content with or without ``<|constrain|>``.
_HEADER = re.compile(
    r"(?:<\|start\|>)?\s*(?:assistant)?\s*"
    r"(?:to=(?P<recipient>[^\s<]+)\s*)?"
    r"(?:<\|channel\|>\s*(?P<channel>analysis|commentary|final)\s*)?"
    r"(?:to=(?P<late_recipient>[^\s<]+)\s*)?"
    r"(?:<\|channel\|>\s*\w+\s*)?(?:<\|constrain\|>\s*)?(?:\w+\s*)?"
)
_MESSAGE = "<|message|>"

#: Markers of other templates around reasoning (true) and around the answer: Command R7B and A,
#: Gemma 4, Apertus, Seed-OSS, Magistral, PLaMo 3, Inkling, Solar Open, Apriel, Kimi K3.
HEADERS: dict[str, FoundHeader] = {
    opening: FoundHeader(len(opening), (closing,), thought)
    for opening, closing, thought in (
        ("<|START_THINKING|>", "<|END_THINKING|>", True),
        ("<|START_RESPONSE|>", "<|END_RESPONSE|>", False),
        ("<|START_TEXT|>", "<|END_TEXT|>", False),
        ("<|channel>thought\n", "<channel|>", True),
        ("<|inner_prefix|>", "<|inner_suffix|>", True),
        ("<seed:think>", "</seed:think>", True),
        ("[THINK]", "[/THINK]", True),
        ("<|plamo:begin_think:plamo|>", "<|plamo:end_think:plamo|>", True),
        ("<|message_model|><|content_thinking|>", "<|end_message|>", True),
        ("<|content_thinking|>", "<|end_message|>", True),
        ("<|message_model|><|content_text|>", "<|end_message|>", False),
        ("<|content_text|>", "<|end_message|>", False),
        ("<|think|>", "<|end|>", True),
        ("<|content|>", "<|end|>", False),
        ("<|begin|>assistant<|content|>", "<|end|>", False),
        ("[BEGIN FINAL RESPONSE]", "[END FINAL RESPONSE]", False),
        ("<|open|>think<|sep|>", "<|close|>think<|sep|>", True),
        ("<|open|>response<|sep|>", "<|close|>response<|sep|>", False),
    )
}
#: Everything that may end the body of a message.
BODY_ENDS = (*_HARMONY_ENDS, *(end for header in HEADERS.values() for end in header.closings))


class HarmonyMessage:
    """The header of one message, and its body if it is a call: JSON for a tool."""

    def __init__(self, offered: ToolSchemas, start: int) -> None:
        self._offered = offered
        self._start = start
        self._arguments: Arguments | None = None

    def read(self, text: str, final: bool) -> HeaderVerdict:
        if self._arguments is None:
            verdict = self._read_stripped(text) or self._read_header(text, final)
            if not isinstance(verdict, Arguments):
                return verdict
            self._arguments = verdict
        return self._arguments.read(text, final)

    def _read_stripped(self, text: str) -> Arguments | Rejected | None:
        """A call without special tokens, up to its arguments; ``None`` where there is none."""
        header = _STRIPPED.match(text, self._start)
        if header is None:
            return None
        recipient = header["recipient"]
        # The model may write the type of the arguments right behind the name.
        name = self._offered.resolve(recipient) or self._offered.resolve(
            recipient.removesuffix("json")
        )
        return REJECTED if name is None else Arguments(self._offered, name, header.end())

    def _read_header(self, text: str, final: bool) -> Arguments | HeaderVerdict:
        end = text.find(_MESSAGE, self._start, self._start + NAME_CHARS)
        if end < 0:
            too_long = len(text) - self._start >= NAME_CHARS
            return REJECTED if final or too_long else None
        header = _HEADER.fullmatch(text, self._start, end)
        if header is None:
            return REJECTED
        body = end + len(_MESSAGE)
        recipient = header["recipient"] or header["late_recipient"]
        if recipient is None:
            thought = header["channel"] == "analysis"
            return FoundHeader(body, _HARMONY_ENDS, thought) if header["channel"] else REJECTED
        name = self._offered.resolve(recipient)
        if name is None:
            return REJECTED
        body = skip_blank(text, body)
        if body == len(text):
            return REJECTED if final else None
        return Arguments(self._offered, name, body) if text[body] == "{" else REJECTED


class StrippedReasoning:
    """``analysis...assistantfinal...``: Harmony whose special tokens the server stripped.

    It is reasoning only where both words are there. An answer that merely begins with the first
    one, directly followed by more, waits for the second one.
    """

    OPEN = _REASONING_OPENING

    def __init__(self, start: int) -> None:
        self._body = self._searched = start + len(self.OPEN)

    def read(self, text: str, final: bool) -> HeaderVerdict:
        if len(text) > self._body and not text[self._body].isalnum():
            return REJECTED
        if any(text.find(end, self._searched) >= 0 for end in _STRIPPED_ENDS):
            return FoundHeader(self._body, _STRIPPED_ENDS, thought=True)
        self._searched = max(self._body, len(text) - len(max(_STRIPPED_ENDS, key=len)))
        return REJECTED if final else None
