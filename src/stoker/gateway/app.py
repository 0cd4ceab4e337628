"""The gateway as an HTTP application: its paths, what each request passes, and its tasks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import web
from aiohttp.typedefs import Middleware

from stoker.gateway import pipeline
from stoker.gateway.api import (
    fit_api,
    health_api,
    models_api,
    openapi_api,
    path_rules,
    request_validation,
)
from stoker.gateway.dashboard.dashboard import Dashboard
from stoker.gateway.gateway_state import GatewayState
from stoker.gateway.request_context import Handler, RequestContext, Stage
from stoker.gateway.tracing import traced_stages

if TYPE_CHECKING:  # it imports OpenTelemetry
    from stoker.gateway.tracing.otlp_traces import Traces

#: A request's key for its context.
_CONTEXT = web.RequestKey("context", RequestContext)

#: Connections to one backend for what is asked beside requests: counts and tokens.
_COUNTING_CONNECTIONS = 2

_HttpHandler = Callable[[web.Request], Awaitable[web.StreamResponse]]
#: A request's key for what its path is answered by.
_HANDLER: web.RequestKey[_HttpHandler] = web.RequestKey("handler")
_Answer = Callable[[GatewayState, RequestContext], Awaitable[web.StreamResponse]]

#: Paths that the gateway answers itself.
_OWN_PATHS: tuple[tuple[str, _Answer], ...] = (
    ("/", health_api.health),
    ("/health", health_api.health),
    ("/ready", health_api.ready),
    ("/openapi.json", openapi_api.document),
    ("/metrics", health_api.metrics),
    ("/v1/models", models_api.list_models),
    ("/v1/models/{model:.+}", models_api.show_model),
    ("/info", models_api.info),
)
#: Those of them that are about one model.
_COUNTING_PATHS: tuple[tuple[str, _Answer], ...] = (
    (path_rules.FIT, fit_api.fit),
    (path_rules.TOKENIZE, fit_api.tokenize),
    (path_rules.COUNT_TOKENS, fit_api.count_tokens),
    (path_rules.INPUT_TOKENS, fit_api.input_tokens),
)


class GatewayApplication:
    """What aiohttp runs of one gateway: its paths, what every request passes, and its tasks."""

    def __init__(
        self, state: GatewayState, model_request: pipeline.Row, traces: Traces | None
    ) -> None:
        self._state = state
        self._model_request = model_request
        self._traces = traces
        self._dashboard = Dashboard(state)

    def build(self) -> web.Application:
        """The application to run."""
        app = web.Application(
            client_max_size=request_validation.MAX_BODY_BYTES, middlewares=[self._entry()]
        )
        app.cleanup_ctx.append(self._background)
        app.on_response_prepare.append(self._mark)
        for path, answer in _OWN_PATHS:
            app.router.add_get(path, _http(partial(answer, self._state)))
        for method, path, page in self._dashboard.routes():
            app.router.add_route(method, path, _http(page))
        on_model, forwarding = self._model_stages()
        for path, answer in _COUNTING_PATHS:
            last = partial(answer, self._state)
            app.router.add_post(path, _http(pipeline.chained(on_model, last)))
        forwarded = _http(pipeline.chained([*on_model, *forwarding], _unanswered))
        for path in path_rules.BACKEND_PATHS:
            app.router.add_post(path, forwarded)
        return app

    def _model_stages(self) -> tuple[list[Stage], list[Stage]]:
        """Those of every request about a model, and those of one that a backend answers."""
        on_model = pipeline.stages(self._model_request, self._state)
        forwarding = pipeline.stages(pipeline.BACKEND_REQUEST, self._state)
        if self._traces is None:
            return on_model, forwarding
        on_model.insert(0, traced_stages.TraceRequest(self._traces))
        return on_model, traced_stages.with_spans(forwarding, self._traces)

    def _entry(self) -> Middleware:
        """What every request passes, also one whose path does not exist."""
        row = pipeline.stages(pipeline.EVERY_REQUEST, self._state)

        async def routed(context: RequestContext) -> web.StreamResponse:
            return await context.request[_HANDLER](context.request)

        passed = pipeline.chained(row, routed)

        @web.middleware
        async def enter(request: web.Request, handler: _HttpHandler) -> web.StreamResponse:
            request[_HANDLER] = handler
            context = request[_CONTEXT] = RequestContext(request)
            return await passed(context)

        return enter

    async def _background(self, _: web.Application) -> AsyncIterator[None]:
        usage, limiter = self._state.usage, self._state.limiter
        if usage:
            usage.start()
        await limiter.start()
        keepers = [
            asyncio.create_task(self._state.live_streams.keep_alive()),
            asyncio.create_task(limiter.keep()),
        ]
        # Dozens at once made a llama.cpp with its default number of threads stall for up to 30 s.
        few = aiohttp.TCPConnector(limit_per_host=_COUNTING_CONNECTIONS)
        async with aiohttp.ClientSession(connector=few) as http:
            self._state.preparers.start(http)
            keepers.append(asyncio.create_task(self._dashboard.keep(http)))
            signing_on = asyncio.create_task(self._state.sign_on.keep(http))
            yield
            signing_on.cancel()
            await asyncio.gather(signing_on, return_exceptions=True)
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)
        await limiter.close()
        self._state.pool.replace([])
        self._state.preparers.stop()
        if usage:  # last: requests that were broken off have noted what came of them by now
            await asyncio.to_thread(usage.close)
        if self._traces:
            await self._traces.close()

    async def _mark(self, request: web.Request, response: web.StreamResponse) -> None:
        await self._state.origins.mark(request, response)
        context = request.get(_CONTEXT)
        if context is not None and context.answer_headers:
            response.headers.update(context.answer_headers)


def _http(handler: Handler) -> _HttpHandler:
    """A handler of the pipeline as aiohttp calls it."""

    async def handle(request: web.Request) -> web.StreamResponse:
        return await handler(request[_CONTEXT])

    return handle


async def _unanswered(context: RequestContext) -> web.StreamResponse:
    raise RuntimeError("the last stage of the pipeline did not answer")
