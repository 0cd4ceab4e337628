"""The stage that turns every error into an answer in the form of the API that was asked."""

from __future__ import annotations

import logging
import traceback

import orjson
from aiohttp import web

from stoker.gateway.api import error_mapping, openai_errors
from stoker.gateway.api.path_rules import PATH_RULES, PathRules
from stoker.gateway.gateway_state import GatewayState
from stoker.gateway.request_context import Handler, RequestContext
from stoker.gateway.usage.recent_errors import ErrorKind, safe_code

_log = logging.getLogger("stoker.gateway")


class FormatErrors:
    """Answers, counts and logs what the stages after it raise."""

    def __init__(self, state: GatewayState) -> None:
        self._metrics = state.metrics
        self._recent = state.recent_errors

    async def __call__(self, context: RequestContext, proceed: Handler, /) -> web.StreamResponse:
        """Raises only where nothing can be answered any more."""
        try:
            response = await proceed(context)
        except ConnectionError:
            raise  # the client left: there is no one to answer
        except Exception as error:
            if context.head_sent:
                raise
            response = self._refusal(context, error)
        _end_unread(context.request, response)
        if response.status < 400:
            return response
        self._note(context, response)
        return _in_form(context.request, response)

    def _note(self, context: RequestContext, response: web.StreamResponse) -> None:
        """Keep what kind of error it was. A page that was refused is no error."""
        if response.content_type == "text/html":
            return
        is_own = isinstance(response, web.Response) and response.content_type == "application/json"
        code = openai_errors.message_and_code(response)[1] if is_own else None  # type: ignore[arg-type]
        self._recent.note(
            ErrorKind(
                safe_code(code),
                response.status,
                _loggable(context),
                context.model.id if hasattr(context, "model") else "",
                context.caller.owner if hasattr(context, "caller") else "",
            )
        )

    def _refusal(self, context: RequestContext, error: Exception) -> web.Response:
        response, code = error_mapping.answer_to(context.request, error)
        self._metrics.refused.labels(code).inc()
        path = _loggable(context)
        if response.status >= 500:
            _log.error("%s: %s: %s", path, code, _without_values(error))
        else:
            _log.info("refused %s: %d %s", path, response.status, code)
        return response


def _loggable(context: RequestContext) -> str:
    """Its path as the gateway's own table has it: a client may have put a key or a line end in."""
    return context.route or "a path that does not exist"


def _without_values(error: BaseException) -> str:
    """What went wrong and where, without the message, which may quote the request."""
    where = "".join(traceback.format_tb(error.__traceback__))
    because = f", because of {_without_values(error.__cause__)}" if error.__cause__ else ""
    return f"{type(error).__name__}\n{where}{because}"


def _in_form(request: web.BaseRequest, response: web.StreamResponse) -> web.StreamResponse:
    """An error in the form of the path's API; the stages write all of them in OpenAI's."""
    rules = _rules_of(request.path)
    if rules is None or rules.api is None or not isinstance(response, web.Response):
        return response
    message, code = openai_errors.message_and_code(response)
    formed = rules.api.error(response.status, message, code)
    if formed is not None:
        response.body = orjson.dumps(formed)
    return response


def _rules_of(path: str) -> PathRules | None:
    """The rules of the path, or of the one that it begins with: a client of
    ``/v1/messages/batches``, which is not here, reads the errors of ``/v1/messages``.
    """
    if path in PATH_RULES:
        return PATH_RULES[path]
    below = (rules for known, rules in PATH_RULES.items() if path.startswith(f"{known}/"))
    return next(below, None)


def _end_unread(request: web.BaseRequest, response: web.StreamResponse) -> None:
    """Close the connection behind a body that can't be read: where it ends is not known."""
    if request.content.exception():
        response.headers["Connection"] = "close"
        request.protocol.close()
        request.content.feed_eof()
