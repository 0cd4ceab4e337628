"""The HTTP front door: what a client may ask, and which backend answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import aiohttp
import orjson
from aiohttp import web

from stoker.engines import Backend, ServedModel
from stoker.gateway import errors
from stoker.gateway.relay import relay

#: The largest request body: a 2 MB prompt, its JSON escapes and room to spare.
MAX_BODY_BYTES = 16 * 1024 * 1024


@dataclass
class Gateway:
    """The front door's state: the backend that answers, or none while it starts."""

    backend: Backend | None = None
    models: Sequence[ServedModel] = ()
    _http: aiohttp.ClientSession | None = field(default=None, init=False)

    def serve(self, backend: Backend, models: Sequence[ServedModel]) -> None:
        """Send requests to ``backend`` from now on."""
        self.backend, self.models = backend, models

    def pause(self) -> None:
        """Answer "not ready" until ``serve`` is called again."""
        self.backend = None

    def app(self) -> web.Application:
        """The application to run; it opens and closes its own connections."""
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.cleanup_ctx.append(self._session)
        app.router.add_get("/health", self._health)
        app.router.add_get("/v1/models", self._list_models)
        app.router.add_post("/v1/chat/completions", self._complete)
        app.router.add_post("/v1/completions", self._complete)
        return app

    async def _session(self, _: web.Application) -> AsyncIterator[None]:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
            self._http = session
            yield

    async def _health(self, _: web.Request) -> web.Response:
        if self.backend is None:
            return errors.not_ready()
        return web.json_response({"status": "ok"})

    async def _list_models(self, _: web.Request) -> web.Response:
        entries = [
            {"id": m.id, "object": "model", "owned_by": "stoker", "max_model_len": m.max_model_len}
            for m in self.models
        ]
        return web.Response(
            body=orjson.dumps({"object": "list", "data": entries}), content_type="application/json"
        )

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        if self.backend is None or self._http is None:
            return errors.not_ready()
        return await relay(request, self._http, self.backend, body)
