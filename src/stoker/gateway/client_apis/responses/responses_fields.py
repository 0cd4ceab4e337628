"""The fields of a request to Responses, each checked once and named in its own words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stoker.gateway.api.request_validation import BadRequestError, is_whole
from stoker.gateway.client_apis.client_api import wrong

_WHOLE = ("max_output_tokens", "top_logprobs")
#: The type of each other field that is read, and how an error describes it. Null is left out.
_TYPES: Mapping[str, tuple[type | tuple[type, ...], str]] = {
    "instructions": (str, "a text"),
    "metadata": (dict, "an object"),
    "parallel_tool_calls": (bool, "true or false"),
    "reasoning": (dict, "an object"),
    "stream": (bool, "true or false"),
    "stream_options": (dict, "an object"),
    "temperature": ((int, float), "a number"),
    "text": (dict, "an object"),
    "tools": (list, "a list of tools"),
    "top_p": ((int, float), "a number"),
}
#: OpenAI's ids are shorter; an error quotes no more of one.
_ID_CHARS = 64
_TRUNCATIONS = (None, "auto", "disabled")


def check_fields(body: Mapping[str, Any]) -> None:
    """Raise ``BadRequestError`` where a field has the wrong type, or asks for what is not here."""
    for name, (kind, expected) in _TYPES.items():
        value = body.get(name)
        is_flag = isinstance(value, bool) and kind is not bool  # in Python a whole number too
        if value is not None and (is_flag or not isinstance(value, kind)):
            raise wrong(name, expected)
    for name in _WHOLE:
        if body.get(name) is not None and not is_whole(body[name]):
            raise wrong(name, "a whole number")
    if body.get("truncation") not in _TRUNCATIONS:
        raise wrong("truncation", "auto or disabled")
    _refuse_stored(body)


def _refuse_stored(body: Mapping[str, Any]) -> None:
    """Refuse what only a server can do that keeps answers, prompts and files."""
    whole = "Answers are not stored here: send the whole conversation in `input`."
    previous = body.get("previous_response_id")
    if previous is not None:
        raise BadRequestError(
            f"Previous response with id {str(previous)[:_ID_CHARS]!r} not found. {whole}",
            code="previous_response_not_found",
            param="previous_response_id",
        )
    if body.get("conversation") is not None:
        raise BadRequestError(
            f"The conversation was not found. {whole}",
            code="conversation_not_found",
            param="conversation",
        )
    if isinstance(body.get("prompt"), dict):
        raise BadRequestError(
            "Prompts are not stored here: send their text in `instructions` and `input`.",
            code="prompt_not_found",
            param="prompt",
        )
    if body.get("background"):
        raise BadRequestError(
            "Answers can't be made in the background here, since they are not stored. Leave "
            "`background` out.",
            code="unsupported_parameter",
            param="background",
        )
