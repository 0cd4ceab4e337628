"""How many tokens a request may take, before it is answered. Pure."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from stoker import tokens
from stoker.tokens import Overheads, chat_messages
from stoker.tokens.truncation.context_budget import ANSWER_SHARE, ANSWER_TOKENS

#: Where the texts of a request are that is no chat.
_TEXT_FIELDS = (
    *("prompt", "suffix", "input", "input_prefix", "input_suffix"),
    *("input_middle", "input_extra"),
)
#: More answers to one prompt than any client is known to ask for.
_MOST_ANSWERS = 128
#: What a template adds at most.
_ADDED = Overheads()


class RequestTokens(NamedTuple):
    """The tokens of a request's prompts, and of its answers."""

    prompt: int
    answer: int

    @property
    def total(self) -> int:
        """Both."""
        return self.prompt + self.answer


def most_tokens(
    body: Mapping[str, Any], body_bytes: int, max_model_len: int | None
) -> RequestTokens:
    """What a request of so many bytes takes at most, without counting.

    No text has more tokens than bytes, and a chat's prompt none more than those and what any
    template of the catalogue adds; images by address come on top. Clients ask for answers of 32,000
    tokens and get 300: as where prompts are fitted, an answer is taken to need
    ``min(4096, max_model_len / 4)``, or less if the client asks for less.
    """
    window = max_model_len or ANSWER_TOKENS * ANSWER_SHARE
    answer = min(ANSWER_TOKENS, window // ANSWER_SHARE)
    answer = min(answer, tokens.asked_max_tokens(body) or answer)
    messages, tools = body.get("messages"), body.get("tools")
    if not isinstance(messages, list):
        return RequestTokens(body_bytes, 0 if _is_embedding(body) else answer * _answers(body))
    prompt = body_bytes + _ADDED.base + _ADDED.per_message * len(messages)
    if isinstance(tools, list):
        prompt += _ADDED.per_tool * len(tools)
    return RequestTokens(min(prompt, max_model_len or prompt), answer * _answers(body))


def estimated_prompt(body: Mapping[str, Any]) -> int:
    """A guess at the prompt's tokens, where nothing counts them. Images count as nothing."""
    texts, ids = texts_of(body)
    messages = body.get("messages")
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, dict):
            texts.append(chat_messages.text_of(message.get("content")))
    if body.get("tools"):
        with contextlib.suppress(TypeError):  # it nests deeper than orjson writes
            texts.append(orjson.dumps(body["tools"]).decode())
    return sum(tokens.estimate_strings(texts)) + ids


def texts_of(body: Mapping[str, Any]) -> tuple[list[str], int]:
    """The texts of a request that is no chat, and how many tokens it gives as numbers."""
    texts: list[str] = []
    ids = 0
    left: list[Any] = [body.get(name) for name in _TEXT_FIELDS]
    while left:
        value = left.pop()
        if isinstance(value, str):
            texts.append(value)
        elif isinstance(value, int):
            ids += 1
        elif isinstance(value, list):
            left.extend(value)
        elif isinstance(value, dict):
            left.extend(value.values())
    return texts, ids


def _is_embedding(body: Mapping[str, Any]) -> bool:
    return "input" in body and "prompt" not in body


def _answers(body: Mapping[str, Any]) -> int:
    n, prompt = body.get("n"), body.get("prompt")
    each = n if isinstance(n, int) and n > 1 else 1
    texts = sum(isinstance(item, str | list) for item in prompt) if isinstance(prompt, list) else 1
    return min(each * max(1, texts), _MOST_ANSWERS)
