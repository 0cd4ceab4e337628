"""The HTTP front door: what a client may ask, and what is done with it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any

import orjson
from aiohttp import web

from stoker.engines import Backend, ServedModel
from stoker.gateway import errors, requests
from stoker.gateway.exchange import Ask, Exchange, observe_first_byte
from stoker.gateway.keys import Keys
from stoker.gateway.metrics import Metrics
from stoker.gateway.pool import Pool, Upstream
from stoker.gateway.requests import BadRequestError

_log = logging.getLogger("stoker.gateway")

#: Silence after which a stream gets a comment. Proxies commonly cut at 60 s, clients at 300 s.
KEEP_ALIVE_S = 15.0

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Gateway:
    """The front door's state: the backends behind it and what it has counted."""

    def __init__(self, keys: Keys | None = None) -> None:
        self.pool = Pool()
        self.metrics = Metrics()
        self._draining = False
        self._keys = keys or Keys({})
        self._exchange = Exchange(self.pool, self.metrics)

    def serve(
        self, backend: Backend, models: Sequence[ServedModel], max_concurrent: int | None = None
    ) -> None:
        """Send requests to this one backend from now on."""
        self.pool.replace([Upstream(backend, models, max_concurrent)])

    async def drain(self, within_s: float) -> None:
        """Take no more requests, and wait for the answers that are under way."""
        self._draining = True
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within_s
        # The end of a request signals nothing that could be waited for.
        while any(u.in_flight for u in self.pool.upstreams) and loop.time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.05)

    def pause(self) -> None:
        """Answer "not ready" until ``serve`` is called again."""
        self.pool.replace([])

    def app(self) -> web.Application:
        """The application to run."""
        app = web.Application(client_max_size=requests.MAX_BODY_BYTES, middlewares=[self._guard])
        app.cleanup_ctx.append(self._background)
        app.router.add_get("/health", self._health)
        app.router.add_get("/ready", self._ready)
        app.router.add_get("/metrics", self._show_metrics)
        app.router.add_get("/v1/models", self._list_models)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/completions", self._pass_on)
        app.router.add_post("/v1/embeddings", self._pass_on)
        app.router.add_post("/v1/responses", self._pass_on)
        app.router.add_post("/v1/messages", self._pass_on)
        return app

    async def _background(self, _: web.Application) -> AsyncIterator[None]:
        keeper = asyncio.create_task(self._exchange.keep_alive(KEEP_ALIVE_S))
        yield
        keeper.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeper
        self.pool.replace([])

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Check the key; put every error into OpenAI's format."""
        try:
            if request.path.startswith("/v1/"):
                holder = self._keys.holder(request.headers.get("Authorization"))
                if holder is None:
                    return errors.unauthorized()
                request["client"] = holder
            return await handler(request)
        except BadRequestError as bad:
            return errors.response(bad.status, str(bad), code=bad.code, param=bad.param)
        except web.HTTPRequestEntityTooLarge:
            limit = requests.MAX_BODY_BYTES // 1024**2
            return errors.response(
                413, f"The request is larger than {limit} MB. Send less.", code="too_large"
            )
        except web.HTTPException as refused:
            return errors.response(
                refused.status, f"{refused.reason}: {request.method} {request.path}."
            )

    async def _health(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _ready(self, _: web.Request) -> web.Response:
        if not any(upstream.usable for upstream in self.pool.upstreams):
            return errors.not_ready()
        return web.json_response({"status": "ready"})

    async def _show_metrics(self, _: web.Request) -> web.Response:
        self.metrics.waiting.set(self.pool.waiting)
        for upstream in self.pool.upstreams:
            self.metrics.backend_up.labels(upstream.backend.url).set(upstream.usable)
        return web.Response(body=self.metrics.text(), content_type="text/plain")

    async def _list_models(self, _: web.Request) -> web.Response:
        entries = [_entry(model) for model in self.pool.models().values()]
        body = orjson.dumps({"object": "list", "data": entries})
        return web.Response(body=body, content_type="application/json")

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = requests.parse(await request.read())
        requests.check_chat(body)
        return await self._answer(request, body)

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        body = requests.parse(await request.read())
        requests.check_common(body)
        return await self._answer(request, body)

    async def _answer(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        if self._draining or not self.pool.upstreams:
            return errors.not_ready()
        began = asyncio.get_running_loop().time()
        model = requests.choose_model(body, self.pool.models())
        ask = _ask(model, request, body)
        with self.metrics.in_flight.track_inprogress():
            response, answer = await self._exchange.send(request, ask)
        self.metrics.requests.labels(request.path, model, response.status).inc()
        if answer is not None:
            observe_first_byte(self.metrics, model, answer, began)
            self._note_usage(model, answer.usage)
        return response

    def _note_usage(self, model: str, usage: Mapping[str, Any] | None) -> None:
        for kind in ("prompt_tokens", "completion_tokens"):
            tokens = usage.get(kind) if usage else None
            if isinstance(tokens, int):
                self.metrics.tokens.labels(model, kind).inc(tokens)


def _ask(model: str, request: web.Request, body: dict[str, Any]) -> Ask:
    streamed = bool(body.get("stream"))
    options = body.get("stream_options") or {}
    wants_usage = bool(options.get("include_usage"))
    sent = {**body, "model": model}
    if streamed and request.path in ("/v1/chat/completions", "/v1/completions"):
        sent["stream_options"] = {**options, "include_usage": True}
    return Ask(
        model=model,
        client=request["client"],
        path=request.path,
        body=sent,
        streamed=streamed,
        wants_usage=wants_usage,
    )


def _entry(model: ServedModel) -> dict[str, Any]:
    return {
        "id": model.id,
        "object": "model",
        "owned_by": "stoker",
        "max_model_len": model.max_model_len,
        "quantization": model.quantization,
        "capabilities": {
            "tools": model.tools or "none",
            "vision": bool(model.vision),
            "reasoning": bool(model.reasoning),
            "fim": bool(model.fill_in_the_middle),
        },
    }
