"""The HTTP front door: what a client may ask, and what is done with it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

import aiohttp
import orjson
from aiohttp import web

from stoker import __version__
from stoker.engines import Backend, ServedModel
from stoker.gateway.api import model_entries, openai_errors, request_validation
from stoker.gateway.api.request_validation import BadRequestError
from stoker.gateway.middleware import cors
from stoker.gateway.middleware.api_keys import Keys
from stoker.gateway.middleware.cors import Origins
from stoker.gateway.prompt.prompt_fitter import REFUSED_TO_COUNT, FitSettings, Fitter, Prepared
from stoker.gateway.relay.forwarder import (
    BEGUN,
    CLIENT,
    BackendRequest,
    Exchange,
    observe_first_byte,
)
from stoker.gateway.relay.response_stream import ResponseStream
from stoker.gateway.routing.backend_pool import Pool, Upstream
from stoker.gateway.routing.priority import HEADER, Utility, utility_of
from stoker.gateway.usage.metrics import Metrics
from stoker.tokens import ContextLengthExceededError, TokenizerError, ToolTooDeepError

_log = logging.getLogger("stoker.gateway")

#: Silence after which a stream gets a comment. Proxies commonly cut at 60 s, clients at 300 s.
KEEP_ALIVE_S = 15.0

#: A backend that says nothing at all for this long hangs. Prefill is silent: the longest that was
#: measured is 147 s (15,500 tokens on 2 cores); OpenAI's own client gives up after 600 s.
SILENCE_S = 900.0
#: A client that has sent no whole request head for this long is dropped, be it slow or idle. It is
#: longer than the 60 s for which nginx keeps a connection to reuse it.
HEAD_S = 75.0
#: Answers that are under way when the server ends have this long.
_SHUTDOWN_S = 5.0

#: What a load balancer asks without a key. It tells nothing of models or users.
_OPEN_PATHS = frozenset({"/health", "/ready"})

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Served:
    """One backend, what it serves, and how its requests are fitted and limited."""

    backend: Backend
    models: Sequence[ServedModel]
    fit: FitSettings = field(default_factory=FitSettings)
    #: Requests sent to it at the same time; more wait their turn here. ``None`` sends all.
    max_concurrent: int | None = None

    def upstream(self) -> Upstream:
        """A place in the pool for it."""
        return Upstream(self.backend, self.models, self.max_concurrent, self.fit)


class Gateway:
    """The front door's state: the backends behind it and what it has counted."""

    def __init__(self, keys: Keys | None = None) -> None:
        self.pool = Pool()
        self.metrics = Metrics()
        self._draining = False
        self._keys = keys or Keys({})
        self._origins = Origins()
        self._exchange = Exchange(self.pool, self.metrics)
        self._fitters: dict[tuple[Backend, FitSettings, ServedModel], Fitter] = {}
        # One thread: counting is the tokenizer's work, which is quick when nobody shares its core.
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="count")
        self._http: aiohttp.ClientSession | None = None

    def serve(self, served: Sequence[Served]) -> None:
        """Send requests to these backends from now on; running requests end where they are."""
        before = list(self.pool.upstreams)
        self.pool.replace([_kept(before, s) or s.upstream() for s in served])
        current = {(u.backend, u.fit) for u in self.pool.upstreams}
        self._fitters = {k: f for k, f in self._fitters.items() if (k[0], k[1]) in current}

    def use_keys(self, keys: Keys) -> None:
        """Open to these keys from now on."""
        self._keys = keys

    def use_origins(self, allowed: Origins) -> None:
        """Answer these web pages from now on."""
        self._origins = allowed

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

    def runner(self) -> web.AppRunner:
        """What runs the application: a client that leaves ends its handler, and one that sends
        no whole head for a minute is dropped.
        """
        return web.AppRunner(
            self.app(),
            handler_cancellation=True,
            access_log=None,
            logger=_http_log,
            keepalive_timeout=HEAD_S,
            shutdown_timeout=_SHUTDOWN_S,
        )

    def app(self) -> web.Application:
        """The application to run."""
        app = web.Application(
            client_max_size=request_validation.MAX_BODY_BYTES, middlewares=[self._guard]
        )
        app.cleanup_ctx.append(self._background)
        app.on_response_prepare.append(self._mark)
        app.router.add_get("/health", self._health)
        app.router.add_get("/ready", self._ready)
        app.router.add_get("/metrics", self._show_metrics)
        app.router.add_get("/v1/models", self._list_models)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/completions", self._pass_on)
        app.router.add_post("/infill", self._pass_on)
        app.router.add_post("/v1/embeddings", self._pass_on)
        app.router.add_post("/v1/responses", self._pass_on)
        app.router.add_post("/v1/messages", self._pass_on)
        app.router.add_post("/fit", self._show_fit)
        app.router.add_post("/tokenize", self._tokenize)
        app.router.add_get("/info", self._info)
        return app

    async def _background(self, _: web.Application) -> AsyncIterator[None]:
        keeper = asyncio.create_task(self._exchange.keep_alive(KEEP_ALIVE_S, SILENCE_S))
        async with aiohttp.ClientSession() as http:
            self._http = http
            yield
        keeper.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeper
        self.pool.replace([])
        self._worker.shutdown(wait=False, cancel_futures=True)

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Check the page and the key; put every error into OpenAI's format."""
        try:
            if not self._origins.allow(request):
                return openai_errors.foreign_page(request.headers["Origin"])
            if cors.is_preflight(request):
                return cors.preflight_answer(request)
            if request.path not in _OPEN_PATHS:
                holder = self._keys.holder(request.headers.get("Authorization"))
                if holder is None:
                    return openai_errors.unauthorized()
                request[CLIENT] = holder
            return await handler(request)
        except ConnectionError:
            raise  # the client left: there is nobody to tell
        except Exception as error:
            if request.get(BEGUN):
                raise
            return self._refusal(request, error)

    async def _mark(self, request: web.Request, response: web.StreamResponse) -> None:
        await self._origins.mark(request, response)

    def _refusal(self, request: web.Request, error: Exception) -> web.Response:
        response, code = _error_answer(request, error)
        self.metrics.refused.labels(code).inc()
        if response.status >= 500:
            _log.error("%s %s: %s", request.method, request.path, code, exc_info=error)
        else:
            _log.info("refused %s: %d %s", request.path, response.status, code)
        return response

    async def _health(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _ready(self, _: web.Request) -> web.Response:
        if not any(upstream.usable for upstream in self.pool.upstreams):
            return openai_errors.not_ready()
        return web.json_response({"status": "ready"})

    async def _show_metrics(self, _: web.Request) -> web.Response:
        self.metrics.waiting.set(self.pool.waiting)
        for upstream in self.pool.upstreams:
            self.metrics.backend_up.labels(upstream.backend.url).set(upstream.usable)
        return web.Response(body=self.metrics.text(), content_type="text/plain")

    async def _list_models(self, _: web.Request) -> web.Response:
        return _json({"object": "list", "data": self._entries()})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await request_validation.read(request)
        request_validation.check_chat(body)
        if not self._is_serving:
            return openai_errors.not_ready()
        fitter = self._fitter(body)
        if fitter.model.vision is False:
            request_validation.check_text_only(body)
        prepared = await fitter.prepare(self._client(), body, fit=_wants_fit(request))
        response, answer = await self._answer(request, body, fitter.model.id, prepared)
        if answer is not None and answer.usage is not None:
            fitter.learn(prepared, answer.usage, answer.prefill_tokens_per_s)
        if prepared.rewrite is not None and prepared.rewrite.found:
            self.metrics.tool_calls.labels(fitter.model.id).inc(prepared.rewrite.found)
        return response

    @property
    def _is_serving(self) -> bool:
        return not self._draining and bool(self.pool.models())

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        body = await request_validation.read(request)
        request_validation.check_common(body)
        if not self._is_serving:
            return openai_errors.not_ready()
        chosen = self._model(body)
        model = chosen.id
        if chosen.takes_suffix is False:
            request_validation.check_no_suffix(body, fills=chosen.fill_in_the_middle is not False)
        prepared = Prepared(body)
        if request.path == "/v1/completions":
            fitter = self._fitter_of(chosen)
            prepared = await fitter.prepare_completion(
                self._client(), body, fit=_wants_fit(request)
            )
        return (await self._answer(request, body, model, prepared))[0]

    async def _answer(
        self, request: web.Request, body: Mapping[str, Any], model: str, prepared: Prepared
    ) -> tuple[web.StreamResponse, ResponseStream | None]:
        began = asyncio.get_running_loop().time()
        with self.metrics.in_flight.track_inprogress():
            # What was asked, not what is sent: that may have its tools in its text.
            utility = utility_of(body, request.headers.get(HEADER))
            ask = _ask(model, request, prepared, utility)
            response, answer = await self._exchange.send(request, ask)
        self.metrics.requests.labels(request.path, model, response.status).inc()
        if answer is not None:
            observe_first_byte(self.metrics, model, answer, began)
            self._note_usage(model, answer.usage)
        return response, answer

    def _note_usage(self, model: str, usage: Mapping[str, Any] | None) -> None:
        for kind in ("prompt_tokens", "completion_tokens"):
            count = usage.get(kind) if usage else None
            if isinstance(count, int) and count > 0:
                self.metrics.tokens.labels(model, kind).inc(count)

    async def _show_fit(self, request: web.Request) -> web.Response:
        """What would be cut of a chat request, and nothing sent to any backend."""
        body = await request_validation.read(request)
        request_validation.check_chat(body)
        if not self._is_serving:
            return openai_errors.not_ready()
        prepared = await self._fitter(body).prepare(self._client(), body)
        return _json(
            {
                "fit": prepared.header or "none",
                "prompt_tokens": prepared.prompt_tokens,
                "max_tokens": prepared.max_tokens,
                "cuts": asdict(prepared.cuts),
            }
        )

    async def _tokenize(self, request: web.Request) -> web.Response:
        """Exact counts of a prompt, a batch of prompts, or messages with tools."""
        body = await request_validation.read(request)
        if not self._is_serving:
            return openai_errors.not_ready()
        fitter = self._fitter(body)
        window = fitter.model.max_model_len
        if "messages" in body:
            request_validation.check_chat(body)
            count = await fitter.count_request(self._client(), body)
            return _json({"count": count, "max_model_len": window})
        texts = request_validation.texts(body)
        counts = await fitter.count_texts(self._client(), texts)
        if isinstance(body["prompt"], str):
            return _json({"count": counts[0], "max_model_len": window})
        return _json({"counts": list(counts), "max_model_len": window})

    async def _info(self, _: web.Request) -> web.Response:
        """What runs here, for people and editors."""
        backends = [
            {"engine": u.backend.engine, "models": list(u.models), "up": u.usable}
            for u in self.pool.upstreams
        ]
        served = self.pool.models()
        models = [
            {
                **entry,
                "prefill_tokens_per_s": self._fitter_of(
                    served[entry.get("root", entry["id"])]
                ).prefill_tokens_per_s,
            }
            for entry in self._entries()
        ]
        return _json(
            {"server": "stoker", "version": __version__, "backends": backends, "models": models}
        )

    def _fitter(self, body: Mapping[str, Any]) -> Fitter:
        return self._fitter_of(self._model(body))

    def _model(self, body: Mapping[str, Any]) -> ServedModel:
        """The model that a request names. Raises ``BadRequestError`` for one not served here."""
        models = self.pool.models()
        return models[request_validation.choose_model(body, models, self._alias_target(models))]

    def _alias_target(self, models: Mapping[str, ServedModel]) -> str | None:
        return model_entries.alias_target(models, lambda name: bool(self.pool.serving(name)))

    def _entries(self) -> list[dict[str, Any]]:
        models = self.pool.models()
        target = self._alias_target(models)
        return model_entries.entries(models.values(), target, lambda m: self._fitter_of(m).fits)

    def _fitter_of(self, model: ServedModel) -> Fitter:
        """A model of one name is one model: the first backend that is up counts for all."""
        upstream = next(iter(self.pool.serving(model.id)), None) or next(
            u for u in self.pool.upstreams if model.id in u.models
        )
        key = (upstream.backend, upstream.fit, model)
        known = self._fitters.get(key)
        if known is None:
            known = Fitter(model, upstream.backend, upstream.fit, self.metrics, self._worker)
            self._fitters[key] = known
        return known

    def _client(self) -> aiohttp.ClientSession:
        if self._http is None:
            raise RuntimeError("the gateway's application is not running")
        return self._http


def _kept(before: Sequence[Upstream], served: Served) -> Upstream | None:
    """The backend as it is known already, with what may have changed of its settings."""
    there = served.backend
    for upstream in before:
        known = upstream.backend
        if (known.url, known.key) == (there.url, there.key) and there.engine in ("", known.engine):
            upstream.max_concurrent, upstream.fit = served.max_concurrent, served.fit
            if served.models:
                upstream.models = {model.id: model for model in served.models}
            return upstream
    return None


def _error_answer(request: web.Request, error: Exception) -> tuple[web.Response, str]:
    """The answer to a request that can't be sent to a backend, and the name of what is wrong."""
    param: str | None = None
    if isinstance(error, ContextLengthExceededError):
        param = "prompt" if request.path == "/v1/completions" else "messages"
        status, code, said = 400, error.code, str(error)
    elif isinstance(error, TokenizerError):  # the template refuses the messages
        status, code, said, param = 400, "template_refused", str(error), "messages"
    elif isinstance(error, ToolTooDeepError):
        status, code, said, param = 400, "nested_too_deeply", str(error), "tools"
    elif isinstance(error, BadRequestError):
        status, code, said, param = error.status, error.code or "invalid", str(error), error.param
    elif isinstance(error, web.HTTPRequestEntityTooLarge):
        status, code = 413, "too_large"
        megabytes = request_validation.MAX_BODY_BYTES // 1024**2
        said = f"The request is larger than {megabytes} MB. Send less."
    elif isinstance(error, web.HTTPException):
        status, code = error.status, "no_such_path"
        said = f"{error.reason}: {request.method} {request.path}."
    elif isinstance(error, aiohttp.ClientResponseError) and error.status in REFUSED_TO_COUNT:
        status, code = 400, "backend_refused"
        said = "The model's server refuses to read this request, so it can't be counted."
    else:
        return _server_error(error)
    return openai_errors.response(status, said, code=code, param=param), code


def _server_error(error: Exception) -> tuple[web.Response, str]:
    if isinstance(error, aiohttp.ClientError | asyncio.TimeoutError):
        return openai_errors.not_ready(), "backend_does_not_count"
    if isinstance(error, NotImplementedError):
        return openai_errors.cannot_count(), "cannot_count"
    return openai_errors.internal(), "internal_error"


def _wants_fit(request: web.Request) -> bool:
    return request.headers.get("x-stoker-fit", "").lower() != "off"


def _without_content(record: logging.LogRecord) -> bool:
    """Keep what a client sent out of the log: aiohttp quotes a head that it can't read."""
    record.exc_info = record.exc_text = None
    return True


_http_log = logging.getLogger("stoker.gateway.http")
_http_log.addFilter(_without_content)


def _json(value: Any) -> web.Response:
    return web.Response(body=orjson.dumps(value), content_type="application/json")


def _ask(
    model: str, request: web.Request, prepared: Prepared, utility: Utility | None
) -> BackendRequest:
    body = prepared.request
    streamed = bool(body.get("stream"))
    options = body.get("stream_options") or {}
    wants_usage = bool(options.get("include_usage"))
    sent = {**body, "model": model}
    if streamed and request.path in ("/v1/chat/completions", "/v1/completions"):
        sent["stream_options"] = {**options, "include_usage": True}
    return BackendRequest(
        model=model,
        client=request[CLIENT],
        path=request.path,
        body=sent,
        streamed=streamed,
        wants_usage=wants_usage,
        rewrite=prepared.rewrite,
        headers={"x-stoker-fit": prepared.header} if prepared.header else {},
        utility=utility,
    )
