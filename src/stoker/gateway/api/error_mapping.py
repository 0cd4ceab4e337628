"""Which answer each error gets, and its name in the log and the metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import aiohttp
from aiohttp import web

from stoker.gateway.api import openai_errors, request_validation
from stoker.gateway.api.path_rules import PATH_RULES
from stoker.gateway.api.request_validation import BadRequestError
from stoker.gateway.prompt.server_counts import REFUSED_TO_COUNT
from stoker.tokens import ContextLengthExceededError, TokenizerError, ToolTooDeepError

_REASONS = {404: "Not Found", 405: "Method Not Allowed"}


class NoSuchPathError(Exception):
    """The path does not exist, or not with this method; ``hint`` is what to do about it.

    ``methods`` are those that it exists with: RFC 9110, 15.5.6.
    """

    def __init__(self, status: int, hint: str, methods: Sequence[str] = ()) -> None:
        super().__init__(hint)
        self.status = status
        self.hint = hint
        self.headers = {"Allow": ", ".join(methods)} if methods else None


def answer_to(request: web.BaseRequest, error: Exception) -> tuple[web.Response, str]:
    """The answer to a request that can't be sent to a backend, and the name of what is wrong."""
    param, headers = None, None
    if isinstance(error, ContextLengthExceededError):
        param = PATH_RULES[request.path].prompt_field
        status, code, message = 400, error.code, str(error)
    elif isinstance(error, TokenizerError):  # the template refuses the messages
        status, code, message, param = 400, "template_refused", str(error), "messages"
    elif isinstance(error, ToolTooDeepError):
        status, code, message, param = 400, "nested_too_deeply", str(error), "tools"
    elif isinstance(error, BadRequestError):
        status, code, message = error.status, error.code or "invalid", str(error)
        param = error.param
    elif isinstance(error, web.HTTPRequestEntityTooLarge):
        status, code = 413, "too_large"
        megabytes = request_validation.MAX_BODY_BYTES // 1024**2
        message = f"The request is larger than {megabytes} MB. Send less."
    elif isinstance(error, NoSuchPathError):
        status, code = error.status, "no_such_path"
        message = f"{_REASONS[status]}: {request.method} {request.path}. {error.hint}"
        headers = error.headers
    elif isinstance(error, aiohttp.ClientResponseError) and error.status in REFUSED_TO_COUNT:
        status, code = 400, "backend_refused"
        message = "The model's server refuses to read this request, so it can't be counted."
    else:
        return _server_error(error)
    refusal = openai_errors.response(status, message, code=code, param=param, headers=headers)
    return refusal, code


def _server_error(error: Exception) -> tuple[web.Response, str]:
    if isinstance(error, aiohttp.ClientError | asyncio.TimeoutError):
        return openai_errors.not_ready(), "backend_does_not_count"
    if isinstance(error, NotImplementedError):
        return openai_errors.cannot_count(), "cannot_count"
    return openai_errors.internal(), "internal_error"
