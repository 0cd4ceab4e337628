"""Exact token counts for one model as one backend serves it: in this process, or at its server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, TypeVar

from stoker import tokens
from stoker.engines import Backend, ServedModel
from stoker.gateway.prompt.local_counts import LocalCounts, counts_alike, find_tokenizer
from stoker.gateway.prompt.sent_form import SentForm
from stoker.gateway.prompt.server_counts import ServerCounts, without_a_path

T = TypeVar("T")


class TokenCounter:
    """Counts in ``worker`` where a tokenizer here is exact, else asks the backend.

    ``overheads``, ``calibration`` and ``correction`` are what is known of the model's template:
    bounds, measurements, and what the backend's own counts taught.
    """

    def __init__(
        self,
        model: ServedModel,
        backend: Backend,
        tokenizer: Path | None,
        server: ServerCounts,
        worker: Executor,
    ) -> None:
        self._model = model
        self._backend = backend
        self._tokenizer = tokenizer
        self._server = server
        self._worker = worker
        self.form = SentForm(model, backend.engine)
        self.overheads = tokens.Overheads()
        self.calibration: tokens.Calibration | None = None
        self.correction = tokens.Correction()
        #: Counts without asking the server; ``None`` where that would not be exact.
        self._local: LocalCounts | None = None
        self._has_looked = False
        self._ready: asyncio.Task[None] | None = None

    async def get_ready(self) -> None:
        """Read the tokenizer and measure the template, once, when it is first needed."""
        if self._ready is None or (self._ready.done() and self._ready.exception()):
            self._ready = asyncio.create_task(self._measure())
        await asyncio.shield(self._ready)

    async def count_request(self, request: Mapping[str, Any]) -> int:
        """The exact prompt tokens of a chat request."""
        await self.get_ready()
        return await self.run(_one_count(request))

    async def count_texts(self, texts: Sequence[str]) -> Sequence[int]:
        """The exact tokens of each text by itself."""
        await self.get_ready()
        local = self._local
        if local is not None:
            return await self._in_worker(lambda: local.count_strings(texts))
        return await self._server.texts(texts)

    async def run(self, steps: tokens.Steps[T]) -> T:
        """Run work that asks for counts, off the event loop or over the network."""
        local = self._local
        if local is not None:
            return await self._in_worker(lambda: tokens.drive(steps, local))
        with without_a_path():
            return await tokens.drive_async(steps, self._ask_server)

    async def _measure(self) -> None:
        if not self._has_looked:
            self._has_looked = True  # once, also where the server is asked again in vain
            await self._use_local_tokenizer()
        self.calibration = await self.run(tokens.calibrate())

    async def _use_local_tokenizer(self) -> None:
        local = await self._in_worker(
            lambda: find_tokenizer(self._tokenizer, self._backend, self._model)
        )
        if local is None:
            return
        if await counts_alike(local, self._server, self.form, self._model.id, self._worker):
            self._local = LocalCounts(local, self.form, lambda: self.correction)
            if local.template is not None:
                self.overheads = tokens.overheads_of(local.template.source)

    async def _ask_server(self, ask: tokens.CountQuery) -> Sequence[int]:
        if isinstance(ask, tokens.CountStrings):
            return await self._server.pieces(ask.texts)
        request = self.form.of({**ask.request, "model": self._model.id})
        return [self.correction.corrected(request, await self._server.request(request))]

    async def _in_worker(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._worker, work)


def _one_count(request: Mapping[str, Any]) -> tokens.Steps[int]:
    (count,) = yield tokens.CountRequest(request)
    return count
