"""Read a client's request once: JSON of the right shape, or an error that names what is wrong."""

from __future__ import annotations

import asyncio
import difflib
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson
from aiohttp import web

from stoker.engines import ALIAS, ServedModel
from stoker.gateway.api import body_values, lone_surrogates
from stoker.tokens.request_form import WrittenPart, new_at, recognised

#: The largest request body: a 2 MB prompt, its JSON escapes and room to spare.
MAX_BODY_BYTES = 16 * 1024 * 1024
#: Each takes some 6 us on the event loop, and few conversations reach a thousand.
MAX_MESSAGES = 10_000
#: Up to here a 64-bit float holds every whole number.
_MAX_EXACT = 2**53
#: orjson reads 1024 levels and writes 254; tool schemas nest a dozen.
_MAX_DEPTH = 254


class BadRequestError(Exception):
    """The client must change the request; ``status`` and ``code`` are OpenAI's."""

    def __init__(
        self, message: str, *, status: int = 400, code: str | None = None, param: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param


def parse(body: bytes) -> dict[str, Any]:
    """The JSON object in ``body``. NaN and broken UTF-8 are not JSON."""
    try:
        request = lone_surrogates.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequestError(
            f"The request body is not valid JSON: {error}.", code="invalid_json"
        ) from None
    if not isinstance(request, dict):
        raise BadRequestError("The request body must be a JSON object.", code="invalid_json")
    if not _can_be_sent_on(request):
        raise BadRequestError(
            f"The request nests more than {_MAX_DEPTH} levels deep. Send it flatter.",
            code="invalid_json",
        )
    return request


def without_private_fields(request: dict[str, Any]) -> dict[str, Any]:
    """The request without a client's own notes: fields that start with ``_``, which no API has.

    Parameters of tools are not touched: their names are the tool's.
    """
    public = _public(request)
    for name in ("messages", "tools"):
        items = public.get(name)
        if isinstance(items, list) and any(map(_has_private, items[new_at(items) :])):
            items = [_public(item) if isinstance(item, dict) else item for item in items]
            public = {**public, name: items}
    return public


def with_known_messages(request: dict[str, Any]) -> dict[str, Any]:
    """The request; messages that are known to be in normal form need no check, and are marked."""
    messages = request.get("messages")
    if not isinstance(messages, list):
        return request
    check_length(messages)
    return {**request, "messages": recognised(messages)}


def check_length(messages: Sequence[Any]) -> None:
    """Raise ``BadRequestError`` where a conversation has too many messages."""
    if len(messages) > MAX_MESSAGES:
        raise _wrong("messages", f"a list of at most {MAX_MESSAGES:,} messages")


async def check_values(body: bytes) -> None:
    """Raise ``BadRequestError`` where a body holds more values than the event loop can look at."""
    if body_values.may_have_too_many(body) and await asyncio.to_thread(
        body_values.has_too_many, body
    ):
        raise BadRequestError(
            f"The request has more than {body_values.MOST_CONTAINERS:,} lists and objects, or more "
            f"than {body_values.MOST_COMMAS:,} values. Send less in one request.",
            status=413,
            code="too_many_values",
        )


async def read(request: web.BaseRequest, within_s: float) -> bytes:
    """The body that a client sends. A client that takes longer than ``within_s`` is refused.

    Raises ``BadRequestError``, and aiohttp's own error for a body above ``MAX_BODY_BYTES``.
    """
    try:
        if request.content.is_eof():  # it has come whole: nothing has to be waited for
            return _within_size(request.content.read_nowait())
        return await _awaited(request, within_s)
    except asyncio.TimeoutError:
        raise BadRequestError(
            f"The request was not complete after {within_s:.0f} seconds. Send it again.",
            status=408,
            code="request_timeout",
        ) from None
    except web.RequestPayloadError:
        raise BadRequestError(
            "The request body does not match its Content-Length or Transfer-Encoding.",
            code="invalid_body",
        ) from None


async def _awaited(request: web.BaseRequest, within_s: float) -> bytes:
    late = asyncio.TimeoutError()
    # Not wait_for, which makes a task of each read.
    timer = asyncio.get_running_loop().call_later(within_s, request.content.set_exception, late)
    try:
        return await request.read()
    finally:
        timer.cancel()


def _within_size(body: bytes) -> bytes:
    if len(body) > MAX_BODY_BYTES:
        raise web.HTTPRequestEntityTooLarge(MAX_BODY_BYTES, len(body))
    return body


def check_chat(request: dict[str, Any]) -> None:
    """Raise ``BadRequestError`` where a chat request has the wrong shape."""
    messages = request.get("messages")
    if not isinstance(messages, list) or not messages:
        raise _wrong("messages", "a list with at least one message")
    check_length(messages)
    for index in range(new_at(messages), len(messages)):
        if type(messages[index]) is not WrittenPart:
            _check_message(messages[index], f"messages[{index}]")
    tools = request.get("tools")
    if tools is not None and not (isinstance(tools, list) and all(map(_is_tool, tools))):
        raise _wrong("tools", "a list of objects, each a tool with a name")
    functions = request.get("functions")
    if functions is not None and not (isinstance(functions, list) and all(map(_named, functions))):
        raise _wrong("functions", "a list of objects with a name")
    check_common(request)


def parts_beyond_text(request: Mapping[str, Any]) -> list[str]:
    """The types of a chat's content parts other than text, such as ``image_url``."""
    return _kinds_beyond_text(request["messages"])


def _kinds_beyond_text(messages: Iterable[Mapping[str, Any]]) -> list[str]:
    contents = (message.get("content") for message in messages)
    lists = (content for content in contents if isinstance(content, list))
    parts = (part for content in lists for part in content if isinstance(part, dict))
    return [str(part.get("type")) for part in parts if part.get("type") not in ("text", "refusal")]


def check_content(request: Mapping[str, Any], model: ServedModel) -> None:
    """Raise ``BadRequestError`` where a question has more than text and the model reads only that.

    What stands further back in the conversation is no reason: its client can't take it back. An
    embedding model answers no chat at all.
    """
    check_chats(request, model)
    if model.vision is not False:
        return
    backwards = reversed(request["messages"])
    question = itertools.takewhile(lambda message: message["role"] == "user", backwards)
    for kind in _kinds_beyond_text(question):
        raise BadRequestError(
            f"This model reads text only, and the question has a part of type {kind!r}. "
            "Remove it, or serve a model that reads it.",
            code="unsupported_content",
            param="messages",
        )


def check_chats(request: Mapping[str, Any], model: ServedModel) -> None:
    """Raise ``BadRequestError`` where the model is known to answer no chats."""
    if not model.may_chat:
        raise BadRequestError(
            f"The model {model.id!r} does not chat: it is made for embeddings or similar. Choose "
            "another model, or send texts to /v1/embeddings.",
            code="model_does_not_chat",
            param="model",
        )


def check_suffix(request: Mapping[str, Any], model: ServedModel) -> None:
    """Raise ``BadRequestError`` where a text after the cursor would be ignored."""
    if request.get("suffix") and model.takes_suffix is False:
        fills = model.fill_in_the_middle is not False  # on a path of its own
        other = "Send both sides to /infill as `input_prefix` and `input_suffix`, or leave"
        raise BadRequestError(
            "The model's server ignores the text after the cursor (`suffix`) here. "
            f"{other if fills else 'This model can not fill in the middle: leave'} `suffix` out.",
            code="unsupported_suffix",
            param="suffix",
        )


def check_countable(request: dict[str, Any]) -> None:
    """Raise ``BadRequestError`` where there is neither a chat nor a text to count."""
    if "messages" in request:
        check_chat(request)
    else:
        texts(request)


def texts(request: dict[str, Any]) -> list[str]:
    """The prompts of a request to count: one text, or a list of them."""
    prompt = request.get("prompt")
    found = [prompt] if isinstance(prompt, str) else prompt
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise _wrong("prompt", "a text or a list of texts; or send messages")
    return found


def check_common(request: dict[str, Any]) -> None:
    """Raise ``BadRequestError`` where a field that all completions share has the wrong type."""
    for name in ("max_tokens", "max_completion_tokens"):
        value = request.get(name)
        if value is not None and not is_whole(value):
            raise _wrong(name, "a whole number")
    if not isinstance(request.get("stream", False), bool | None):
        raise _wrong("stream", "true or false")
    options = request.get("stream_options")
    if options is not None and not isinstance(options, dict):
        raise _wrong("stream_options", "an object")


def choose_model(
    request: Mapping[str, Any], served: Iterable[str], alias_target: str | None = None
) -> str:
    """The model that the request means; with one model served, a request may leave it out.

    ``alias_target`` is the model that the name ``local`` stands for.
    """
    names = list(served)
    wanted = request.get("model")
    if wanted == ALIAS and alias_target is not None:
        return alias_target
    if wanted in names:
        return str(wanted)
    if wanted in (None, "", "default") and len(names) == 1:
        return names[0]
    if not isinstance(wanted, str) or not wanted:
        raise _wrong("model", f"one of: {', '.join(names)}")
    near = difflib.get_close_matches(wanted, names, n=1, cutoff=0.4)
    hint = f"Did you mean {near[0]!r}?" if near else f"Served here: {', '.join(names) or 'none'}."
    raise BadRequestError(
        f"The model {wanted!r} is not served here. {hint}",
        status=404,
        code="model_not_found",
        param="model",
    )


def no_model_allowed() -> BadRequestError:
    """What the holder of a key gets that opens none of the models, whichever is asked for."""
    return BadRequestError(
        "This key opens no model that is served here. Ask who made it for one that does: "
        "`stoker keys create OWNER --model NAME`. An alias or `local` is no name there.",
        status=404,
        code="model_not_found",
        param="model",
    )


def written(request: object) -> bytes:
    """The JSON of a request, or of a part of it, as it is sent to a backend.

    It may nest deeper than what the client sent: tools that are offered in the prompt are part of
    the answer's schema. Raises ``BadRequestError`` where it nests too deeply.
    """
    try:
        return orjson.dumps(request)
    except orjson.JSONEncodeError:
        raise BadRequestError(
            "The request nests too deeply to be sent on. Send simpler tool schemas.",
            code="nested_too_deeply",
        ) from None


def _has_private(value: Any) -> bool:
    if type(value) is WrittenPart or not isinstance(value, dict):
        return False
    return "_" in [name[:1] for name in value]


def is_whole(value: Any) -> bool:
    """Whether it is a whole number. JavaScript and Lua have one type for all, and write 100.0."""
    if isinstance(value, float):
        return value.is_integer() and abs(value) <= _MAX_EXACT
    return isinstance(value, int) and not isinstance(value, bool)


def _public(value: dict[str, Any]) -> dict[str, Any]:
    for name in value:
        if name.startswith("_"):
            return {name: item for name, item in value.items() if not name.startswith("_")}
    return value


def _can_be_sent_on(request: dict[str, Any]) -> bool:
    try:
        orjson.dumps(request)
    except orjson.JSONEncodeError:
        return False
    return True


def _check_message(message: Any, where: str) -> None:
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        raise _wrong(where, "an object with a role")
    content = message.get("content")
    if message["role"] != "tool" and not isinstance(content, str | list | dict | None):
        raise _wrong(f"{where}.content", "a text, a list of parts, an object, or null")
    if isinstance(content, list):
        _check_parts(content, f"{where}.content")
    calls = message.get("tool_calls")
    calls = [calls] if isinstance(calls, dict) else calls
    if calls is not None and not (isinstance(calls, list) and all(map(_is_call, calls))):
        raise _wrong(f"{where}.tool_calls", "a list of objects with a function that has a name")


def _check_parts(parts: list[Any], where: str) -> None:
    for index, part in enumerate(parts):
        if isinstance(part, str):
            continue
        if not isinstance(part, dict):
            raise _wrong(where, "a list of objects")
        if not isinstance(part.get("type"), str | None):
            raise _wrong(f"{where}[{index}].type", "a text")
        if not isinstance(part.get("text", ""), str):
            raise _wrong(f"{where}[{index}].text", "a text")


def _is_tool(tool: Any) -> bool:
    """A function in OpenAI's form or with its fields at the top, or a tool of another type."""
    if not isinstance(tool, dict):
        return False
    other = isinstance(tool.get("type"), str) and tool["type"] != "function"
    return _named(tool.get("function")) if "function" in tool else other or _named(tool)


def _is_call(call: Any) -> bool:
    """Whether it has a name, in OpenAI's forms or with its fields at the top, as elsewhere."""
    if not isinstance(call, dict):
        return False
    function = call.get("function", call.get("custom", call))
    return isinstance(function, str) or _named(function)


def _named(function: Any) -> bool:
    return isinstance(function, dict) and isinstance(function.get("name"), str)


def _wrong(param: str, expected: str) -> BadRequestError:
    return BadRequestError(f"{param} must be {expected}.", code="invalid_type", param=param)
