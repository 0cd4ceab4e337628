"""The gateway as an HTTP server calls it: its paths, what each request passes, and its tasks."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import web

from stoker.gateway import pipeline
from stoker.gateway.api import fit_api, health_api, models_api, openapi_api, path_rules
from stoker.gateway.api.request_validation import BadRequestError
from stoker.gateway.dashboard.dashboard import Dashboard
from stoker.gateway.gateway_state import GatewayState
from stoker.gateway.request_context import Guard, RequestContext, Stage
from stoker.gateway.routes import Routes
from stoker.gateway.tracing import traced_stages

if TYPE_CHECKING:  # it imports OpenTelemetry
    from stoker.gateway.tracing.otlp_traces import Traces

#: Connections to one backend for what is asked beside requests: counts and tokens.
_COUNTING_CONNECTIONS = 2

_Answer = Callable[[GatewayState, RequestContext], Awaitable[web.StreamResponse]]

#: Paths that the gateway answers itself.
_OWN_PATHS: tuple[tuple[str, _Answer], ...] = (
    ("/", health_api.health),
    ("/health", health_api.health),
    ("/ready", health_api.ready),
    ("/openapi.json", openapi_api.document),
    ("/metrics", health_api.metrics),
    ("/v1/models", models_api.list_models),
    (models_api.MODELS + "{model}", models_api.show_model),
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
    """What an HTTP server runs of one gateway."""

    def __init__(
        self, state: GatewayState, model_request: pipeline.Row, traces: Traces | None
    ) -> None:
        self._state = state
        self._model_request = model_request
        self._traces = traces
        self._dashboard = Dashboard(state)
        #: The paths that exist.
        self.routes = self._all_routes()
        every = pipeline.steps(pipeline.EVERY_REQUEST, state)
        self._passed = pipeline.chained(every, self._routed)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        context = RequestContext(request)
        response = await self._passed(context)
        if not context.head_sent:
            response.headers.update(context.answer_headers)
        return response

    async def _routed(self, context: RequestContext) -> web.StreamResponse:
        route = self.routes.of(context.request)
        context.route = route.path
        if "Expect" in context.request.headers:
            await _invite_body(context.request)
        return await route.handler(context)

    def _all_routes(self) -> Routes:
        routes = Routes()
        for path, answer in _OWN_PATHS:
            routes.add(("GET", "HEAD"), path, partial(answer, self._state))
        for method, path, page in self._dashboard.routes():
            routes.add((method,), path, page)
        on_model, forwarding = self._model_steps()
        for path, answer in _COUNTING_PATHS:
            last = partial(answer, self._state)
            routes.add(("POST",), path, pipeline.chained(on_model, last))
        forwarded = pipeline.chained([*on_model, *forwarding], _unanswered)
        for path in path_rules.BACKEND_PATHS:
            routes.add(("POST",), path, forwarded)
        return routes

    def _model_steps(self) -> tuple[list[Guard | Stage], list[Guard | Stage]]:
        """Those of every request about a model, and those of one that a backend answers."""
        on_model = pipeline.steps(self._model_request, self._state)
        forwarding = pipeline.steps(pipeline.BACKEND_REQUEST, self._state)
        if self._traces is None:
            return on_model, forwarding
        on_model.insert(0, traced_stages.TraceRequest(self._traces))
        return on_model, traced_stages.with_spans(forwarding, self._traces)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Do what is done beside requests, for as long as they are answered."""
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


async def _invite_body(request: web.BaseRequest) -> None:
    """Ask for a body that its client holds back until then: RFC 9110, 10.1.1."""
    if request.version < (1, 1):
        return
    if request.headers["Expect"].lower() != "100-continue":
        raise BadRequestError(
            "The gateway knows no Expect but 100-continue. Leave the header out.",
            status=417,
            code="unknown_expectation",
        )
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = 0  # nothing of the answer is sent yet


async def _unanswered(context: RequestContext) -> web.StreamResponse:
    raise RuntimeError("the last stage of the pipeline did not answer")
