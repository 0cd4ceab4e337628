"""What the paths about a model differ in, one row for each; all else is the pipeline's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from stoker.engines import ServedModel
from stoker.gateway.api import request_validation, stream_formats
from stoker.gateway.api.stream_formats import StreamFormat
from stoker.gateway.client_apis.client_api import ClientApi
from stoker.gateway.client_apis.messages_api import MessagesApi
from stoker.gateway.client_apis.responses.responses_api import ResponsesApi
from stoker.gateway.prompt import infill_request
from stoker.gateway.prompt.prepared_request import Prepared
from stoker.gateway.prompt.preparers import Preparer
from stoker.tokens import request_form

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
INFILL = "/infill"
EMBEDDINGS = "/v1/embeddings"
RESPONSES = "/v1/responses"
MESSAGES = "/v1/messages"
COUNT_TOKENS = "/v1/messages/count_tokens"
INPUT_TOKENS = "/v1/responses/input_tokens"
FIT = "/fit"
TOKENIZE = "/tokenize"

Body = dict[str, Any]


def _as_sent(body: Body) -> Body:
    return body


def _normal_where_chat(body: Body) -> Body:
    return request_form.normal_request(body) if "messages" in body else body


def _any_model(body: Body, model: ServedModel) -> None:
    """Every model takes it."""


def _nothing(body: Body) -> Sequence[str]:
    return ()


async def _as_it_is(preparer: Preparer, body: Body, fit: bool, mark: int) -> Prepared:
    return Prepared(body)


def _chat(preparer: Preparer, body: Body, fit: bool, mark: int) -> Awaitable[Prepared]:
    return preparer.chats.prepare(body, fit=fit, mark=mark)


async def _completion(preparer: Preparer, body: Body, fit: bool, mark: int) -> Prepared:
    if infill_request.fills_in(body):
        return await preparer.infills.prepare_completion(body, fit=fit)
    return await preparer.completions.prepare(body, fit=fit)


async def _infill(preparer: Preparer, body: Body, fit: bool, mark: int) -> Prepared:
    return await preparer.infills.prepare(body, fit=fit)


@dataclass(frozen=True, slots=True)
class PathRules:
    """How requests to one path are checked and prepared."""

    #: What makes chats of its requests; all that follows reads the chat.
    api: ClientApi | None = None
    #: The path that a backend gets its requests at, where that is not the client's.
    backend_path: str | None = None
    #: How the client's own requests are passed on to a backend that has this API, and no chats.
    passed_on: PathRules | None = None
    #: Raises ``BadRequestError`` where the body has the wrong shape.
    check: Callable[[Body], None] = request_validation.check_common
    #: The body in the one form that everything after this reads.
    normal: Callable[[Body], Body] = _as_sent
    #: The types of tools that the normal form leaves out, of a body that was checked.
    left_out: Callable[[Body], Sequence[str]] = _nothing
    #: Raises ``BadRequestError`` where the model, as a backend serves it, can't take the request.
    check_model: Callable[[Body, ServedModel], None] = request_validation.check_suffix
    #: The request as one backend gets it. The last arguments are whether to make it fit, and the
    #: mark of its owner (``OwnerCaches``).
    prepare: Callable[[Preparer, Body, bool, int], Awaitable[Prepared]] = _as_it_is
    #: The field that an error about the prompt names.
    prompt_field: str = "messages"
    #: Streams end with a usage event where ``stream_options`` asks for one.
    streams_usage: bool = False
    #: How its streams end and report errors; ``None``: as OpenAI's chats, with ``[DONE]``.
    stream_format: StreamFormat | None = None
    #: Streams report how far the prompt is read where the backend's engine can.
    reports_prefill: bool = False
    #: Messages that a server refuses are rewritten for it, and sent again.
    rewrites_messages: bool = False


_CHAT_RULES = PathRules(
    check=request_validation.check_chat,
    normal=request_form.normal_request,
    left_out=request_form.tools_left_out,
    check_model=request_validation.check_content,
    prepare=_chat,
    streams_usage=True,
    reports_prefill=True,
    rewrites_messages=True,
)


def _as_chats(api: ClientApi, native: StreamFormat, prompt_field: str = "messages") -> PathRules:
    """The rules of an API that is served from chats, or in its own streams where there are none."""
    passed_on = PathRules(check_model=request_validation.check_chats, stream_format=native)
    return replace(
        _CHAT_RULES, api=api, backend_path=CHAT, prompt_field=prompt_field, passed_on=passed_on
    )


PATH_RULES = {
    CHAT: _CHAT_RULES,
    COMPLETIONS: PathRules(
        normal=request_form.without_empty_limits,
        check_model=_any_model,  # a text after the cursor is looked at where it is written
        prepare=_completion,
        prompt_field="prompt",
        streams_usage=True,
        reports_prefill=True,
    ),
    INFILL: PathRules(prepare=_infill, stream_format=stream_formats.NATIVE, reports_prefill=True),
    EMBEDDINGS: PathRules(),
    RESPONSES: _as_chats(ResponsesApi(), stream_formats.RESPONSES, "input"),
    MESSAGES: _as_chats(MessagesApi(), stream_formats.MESSAGES),
    # No backend gets these: they are answered here.
    COUNT_TOKENS: _as_chats(MessagesApi(), stream_formats.MESSAGES),
    INPUT_TOKENS: _as_chats(ResponsesApi(), stream_formats.RESPONSES, "input"),
    FIT: PathRules(
        check=request_validation.check_chat,
        normal=request_form.normal_request,
        check_model=_any_model,
        prepare=_chat,
    ),
    TOKENIZE: PathRules(
        check=request_validation.check_countable,
        normal=_normal_where_chat,
        check_model=_any_model,
    ),
}
#: The paths that a backend answers.
BACKEND_PATHS = (CHAT, COMPLETIONS, INFILL, EMBEDDINGS, RESPONSES, MESSAGES)
