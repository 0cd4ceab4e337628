"""Which answer each error gets, and its name in the log and the metrics."""

from __future__ import annotations

import asyncio

import aiohttp
from aiohttp import web

from stoker.gateway.api import openai_errors, path_hints, request_validation
from stoker.gateway.api.path_rules import PATH_RULES
from stoker.gateway.api.request_validation import BadRequestError
from stoker.gateway.prompt.server_counts import REFUSED_TO_COUNT
from stoker.tokens import ContextLengthExceededError, TokenizerError, ToolTooDeepError


def answer_to(request: web.Request, error: Exception) -> tuple[web.Response, str]:
    """The answer to a request that can't be sent to a backend, and the name of what is wrong."""
    param: str | None = None
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
    elif isinstance(error, web.HTTPException):
        status, code = error.status, "no_such_path"
        message = f"{error.reason}: {request.method} {request.path}.{_hint(request, error)}"
    elif isinstance(error, aiohttp.ClientResponseError) and error.status in REFUSED_TO_COUNT:
        status, code = 400, "backend_refused"
        message = "The model's server refuses to read this request, so it can't be counted."
    else:
        return _server_error(error)
    return openai_errors.response(status, message, code=code, param=param), code


def _hint(request: web.Request, error: web.HTTPException) -> str:
    if isinstance(error, web.HTTPMethodNotAllowed):
        return f" Send it with {' or '.join(sorted(error.allowed_methods))}."
    if not isinstance(error, web.HTTPNotFound):
        return ""
    resources = request.app.router.resources()
    known = {resource.canonical for resource in resources}
    found = path_hints.hint(request.path, known)
    return f" {found or 'docs/reference/http-api.md lists the paths.'}"


def _server_error(error: Exception) -> tuple[web.Response, str]:
    if isinstance(error, aiohttp.ClientError | asyncio.TimeoutError):
        return openai_errors.not_ready(), "backend_does_not_count"
    if isinstance(error, NotImplementedError):
        return openai_errors.cannot_count(), "cannot_count"
    return openai_errors.internal(), "internal_error"
