"""The fields of a request to Responses, each checked once and named in its own words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from stoker.gateway.api.request_validation import BadRequestError, is_whole
from stoker.gateway.client_apis.client_api import wrong

_Check = Callable[[str, Any], None]
#: OpenAI's ids are shorter; an error quotes no more of one.
_ID_CHARS = 64
_SENT_WHOLE = "Answers are not stored here: send the whole conversation in `input`."


def check_fields(body: Mapping[str, Any]) -> None:
    """Raise ``BadRequestError`` where a field has the wrong type, or asks for what is not here."""
    for name, value in body.items():
        if name in _CHECKS and value is not None:
            _CHECKS[name](name, value)


def _is(kind: type | tuple[type, ...], expected: str) -> _Check:
    def check(name: str, value: Any) -> None:
        is_flag = value is True or value is False  # in Python a whole number too
        if not isinstance(value, kind) or (is_flag and kind is not bool):
            raise wrong(name, expected)

    return check


def _whole(name: str, value: Any) -> None:
    if not is_whole(value):
        raise wrong(name, "a whole number")


def _truncation(name: str, value: Any) -> None:
    if value not in ("auto", "disabled"):
        raise wrong(name, "auto or disabled")


def _previous(name: str, value: Any) -> None:
    raise BadRequestError(
        f"Previous response with id {str(value)[:_ID_CHARS]!r} not found. {_SENT_WHOLE}",
        code="previous_response_not_found",
        param=name,
    )


def _conversation(name: str, value: Any) -> None:
    raise BadRequestError(
        f"The conversation was not found. {_SENT_WHOLE}",
        code="conversation_not_found",
        param=name,
    )


def _prompt(name: str, value: Any) -> None:
    if isinstance(value, dict):
        raise BadRequestError(
            "Prompts are not stored here: send their text in `instructions` and `input`.",
            code="prompt_not_found",
            param=name,
        )


def _background(name: str, value: Any) -> None:
    if value:
        raise BadRequestError(
            "Answers can't be made in the background here, since they are not stored. Leave "
            "`background` out.",
            code="unsupported_parameter",
            param=name,
        )


#: The check of each field that is read, or that only a server can do that keeps answers, prompts
#: and files. Null is a field left out.
_CHECKS: Mapping[str, _Check] = {
    "background": _background,
    "conversation": _conversation,
    "instructions": _is(str, "a text"),
    "max_output_tokens": _whole,
    "metadata": _is(dict, "an object"),
    "parallel_tool_calls": _is(bool, "true or false"),
    "previous_response_id": _previous,
    "prompt": _prompt,
    "reasoning": _is(dict, "an object"),
    "stream": _is(bool, "true or false"),
    "stream_options": _is(dict, "an object"),
    "temperature": _is((int, float), "a number"),
    "text": _is(dict, "an object"),
    "tools": _is(list, "a list of tools"),
    "top_logprobs": _whole,
    "top_p": _is((int, float), "a number"),
    "truncation": _truncation,
}
