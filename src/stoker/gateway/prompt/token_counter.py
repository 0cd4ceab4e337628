"""Exact token counts for one model as one backend serves it: in this process, or at its server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import aiohttp

from stoker import tokens
from stoker.engines import Backend, ServedModel
from stoker.gateway.prompt.local_counts import LocalCounts, counts_alike, find_tokenizer
from stoker.gateway.prompt.sent_form import SentForm
from stoker.gateway.prompt.server_counts import ServerCounts, without_a_path

T = TypeVar("T")


class TokenCounter:
    """Counts in ``worker`` where a tokenizer here is exact, else asks the backend.

    Texts are counted here wherever there is a tokenizer. A whole request is, too, where every
    server renders it alike (``tokens.is_plain``), or where the server can't count.

    ``overheads`` and ``calibration`` are what is known of the model's template: bounds and
    measurements. ``corrections`` are what the backend's own counts taught.
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
        self.corrections = tokens.Corrections()
        #: Counts without asking the server; ``None`` where that would not be exact.
        self._local: LocalCounts | None = None
        self._server_counts = True
        #: Whether its template writes plain requests as the server does: until one was off.
        self._renders_alike = True
        #: Some leave tools out of the prompt where ``tool_choice`` is "none" (vLLM with a flag).
        self._reads_unused_tools = True
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
        return await self.run(_one_count(self.as_read(request)))

    async def count_texts(self, texts: Sequence[str]) -> Sequence[int]:
        """The exact tokens of each text by itself."""
        await self.get_ready()
        local = self._local
        if local is not None:
            return await self._in_worker(lambda: local.count_strings(texts))
        return await self._server.texts(texts)

    async def run(self, steps: tokens.Steps[T]) -> T:
        """Run work that asks for counts, off the event loop or over the network."""
        answer: Sequence[int] | None = None
        while True:
            ask = await self._in_worker(partial(self._go_on, steps, answer))
            if isinstance(ask, tokens.Finished):
                return ask.value
            answer = await self._ask_server(ask)

    async def learn(self, sent: Mapping[str, Any], reconciled: tokens.Reconciled) -> None:
        """Take note of what the backend read of ``sent``, which was counted without correction."""
        if reconciled.is_exact or not await self._find_cause(sent, reconciled.used_tokens):
            self.corrections.learn(sent, reconciled)

    def as_read(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """The request without tools that the server is known not to read."""
        return request if self._reads_unused_tools else _toolless(request)

    def _go_on(
        self, steps: tokens.Steps[T], answer: Sequence[int] | None
    ) -> tokens.CountQuery | tokens.Finished[T]:
        """Go on until the server must be asked."""
        while True:
            ask = tokens.advance(steps, answer)
            if isinstance(ask, tokens.Finished) or self._local is None:
                return ask
            if isinstance(ask, tokens.CountRequest) and not self._counts_here(ask.request):
                return ask
            answer = tokens.answer_of(self._local, ask)

    def _counts_here(self, request: Mapping[str, Any]) -> bool:
        if not self._server_counts:
            return True
        return self._renders_alike and tokens.is_plain(self.form.of(request))

    async def _find_cause(self, sent: Mapping[str, Any], used_tokens: int) -> bool:
        """Whether it is known why a count was off, so that the next one is right."""
        if self._local is not None and self._counts_here(sent):
            self._renders_alike = not await self._server_counts_as(used_tokens, sent)
            return not self._renders_alike
        if sent.get("tools") and sent.get("tool_choice") == "none":
            self._reads_unused_tools = not await self._server_counts_as(
                used_tokens, _toolless(sent)
            )
            return not self._reads_unused_tools
        return False

    async def _server_counts_as(self, used_tokens: int, sent: Mapping[str, Any]) -> bool:
        try:
            with without_a_path():
                return await self._server.request({**sent, "model": self._model.id}) == used_tokens
        except (aiohttp.ClientError, NotImplementedError, asyncio.TimeoutError):
            return False

    async def _measure(self) -> None:
        if not self._has_looked:
            self._has_looked = True  # once, also where the server is asked again in vain
            await self._use_local_tokenizer()
        self.calibration = await self.run(tokens.calibrate())
        # Templates without tools may refuse calls.
        with suppress(tokens.TokenizerError, aiohttp.ClientResponseError):
            self.calibration = await self.run(tokens.calibrate_calls(self.calibration))

    async def _use_local_tokenizer(self) -> None:
        local = await self._in_worker(
            lambda: find_tokenizer(self._tokenizer, self._backend, self._model)
        )
        if local is None:
            return
        if await counts_alike(local, self._server, self.form, self._model.id, self._worker):
            self._local = LocalCounts(local, self.form, self.corrections)
            if (template := local.template) is not None:
                self.overheads = tokens.overheads_of(template.source, template.source_for_tools)

    async def _ask_server(self, ask: tokens.CountQuery) -> Sequence[int]:
        try:
            with without_a_path():
                if isinstance(ask, tokens.CountStrings):
                    return await self._server.pieces(ask.texts)
                request = self.form.of({**ask.request, "model": self._model.id})
                count = await self._server.request(request)
        except NotImplementedError:
            if self._local is None:
                raise
            self._server_counts = False
            local = self._local
            return await self._in_worker(lambda: tokens.answer_of(local, ask))
        return [max(1, count + self.corrections.of(request))]

    async def _in_worker(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._worker, work)


def _one_count(request: Mapping[str, Any]) -> tokens.Steps[int]:
    (count,) = yield tokens.CountRequest(request)
    return count


def _toolless(request: Mapping[str, Any]) -> Mapping[str, Any]:
    """The request without tools that must not be called."""
    if request.get("tool_choice") != "none":
        return request
    return {k: v for k, v in request.items() if k not in ("tools", "tool_choice")}
