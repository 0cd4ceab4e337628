"""The stage that turns every error into an answer in OpenAI's format."""

from __future__ import annotations

import logging

from aiohttp import web

from stoker.gateway.api import error_mapping
from stoker.gateway.gateway_state import GatewayState
from stoker.gateway.request_context import Handler, RequestContext

_log = logging.getLogger("stoker.gateway")


class FormatErrors:
    """Answers, counts and logs what the stages after it raise."""

    def __init__(self, state: GatewayState) -> None:
        self._metrics = state.metrics

    async def __call__(self, context: RequestContext, proceed: Handler, /) -> web.StreamResponse:
        """Raises only where nothing can be answered any more."""
        try:
            return await proceed(context)
        except ConnectionError:
            raise  # the client left: there is no one to answer
        except Exception as error:
            if context.head_sent:
                raise
            return self._refusal(context.request, error)

    def _refusal(self, request: web.Request, error: Exception) -> web.Response:
        response, code = error_mapping.answer_to(request, error)
        self._metrics.refused.labels(code).inc()
        if response.status >= 500:
            _log.error("%s %s: %s", request.method, request.path, code, exc_info=error)
        else:
            _log.info("refused %s: %d %s", request.path, response.status, code)
        return response
