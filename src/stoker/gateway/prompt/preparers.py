"""What prepares requests for each backend: one preparer for each model that it serves."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import aiohttp

from stoker import engines
from stoker.engines import Backend, ServedModel
from stoker.gateway.prompt.cache_ledger import CacheLedger, Prefill
from stoker.gateway.prompt.completion_fitter import CompletionFitter
from stoker.gateway.prompt.engine_slots import EngineSlots
from stoker.gateway.prompt.fit_settings import FitSettings
from stoker.gateway.prompt.infill_fitter import InfillFitter
from stoker.gateway.prompt.known_prompts import KnownPrompts
from stoker.gateway.prompt.prepared_request import Prepared
from stoker.gateway.prompt.prompt_chain import PromptChain
from stoker.gateway.prompt.prompt_fitter import PromptFitter
from stoker.gateway.prompt.server_counts import ServerCounts
from stoker.gateway.prompt.token_counter import TokenCounter
from stoker.gateway.routing.pooled_backend import PooledBackend
from stoker.gateway.timings import GatewayTimings
from stoker.gateway.usage.metrics import Metrics
from stoker.gateway.usage.usage_report import UsageReport

_Key = tuple[Backend, FitSettings, ServedModel]
#: A backend has a new object for each of its models whenever it is asked what it serves.
_MOST_FOUND = 256


class _FoundPreparer(NamedTuple):
    """A preparer, and what it was found for: while these live, their ids are no others'."""

    backend: PooledBackend
    model: ServedModel
    preparer: Preparer


class Preparer:
    """Prepares requests for ``model`` as one backend serves it."""

    def __init__(
        self,
        model: ServedModel,
        settings: FitSettings,
        counter: TokenCounter,
        known: KnownPrompts,
        metrics: Metrics,
        infill: Callable[[Callable[[], int | None]], InfillFitter],
        completion_slots: int = 0,
    ) -> None:
        self.model = model
        self.counter = counter
        self.form = counter.form
        self.known = known
        self.chats = PromptFitter(model, settings, counter, known, metrics)
        self.completions = CompletionFitter(model, settings, counter)
        self.infills = infill(lambda: self.chats.most_infill_tokens)
        #: What the backend has read.
        self.ledger = CacheLedger(model.parallel)
        #: Which of its slots holds what, where nothing else sends requests to it.
        self.slots = EngineSlots(model.parallel, completion_slots)
        self._metrics = metrics
        kinds = ("read", "cached", "wasted")
        self._counted = [metrics.prefill.labels(model.id, kind) for kind in kinds]

    async def learn(
        self, prepared: Prepared, chain: PromptChain, report: UsageReport, is_turn: bool
    ) -> None:
        """Learn from an answer how its prompt was counted and read.

        ``is_turn``: it belongs to a conversation that goes on.
        """
        usage = report.usage
        if usage is None:
            return
        await self.chats.learn(prepared, usage, report.prefill_tokens_per_s)
        prompt_tokens = usage.get("prompt_tokens")
        if prompt_tokens and chain.links:
            answer_tokens = usage.get("completion_tokens", 0) if is_turn else 0
            noted = self.ledger.note(chain, prompt_tokens, report.cached_tokens, answer_tokens)
            self._account(noted)

    def restored(self, head: str, head_tokens: int, prompt_tokens: int, slot: int) -> None:
        """A slot has got a prompt with this head from a file, and need not read it."""
        self.ledger.restored(head, head_tokens)
        self.slots.restored(slot, head)
        self._metrics.restored.labels(self.model.id).inc(prompt_tokens)

    def _account(self, prefill: Prefill) -> None:
        read, cached, wasted = self._counted
        read.inc(prefill.read_tokens)
        cached.inc(prefill.cached_tokens)
        wasted.inc(prefill.wasted_tokens)
        speed = self.chats.prefill_tokens_per_s
        if speed:
            self._metrics.prefill_saved.labels(self.model.id).inc(prefill.cached_tokens / speed)


class Preparers:
    """All preparers of a gateway, made when they are first needed."""

    def __init__(self, metrics: Metrics, timings: GatewayTimings) -> None:
        self._metrics = metrics
        self._counts_kept = timings.counts_kept
        self._known: dict[_Key, Preparer] = {}
        #: The same by the two objects themselves, whose hashes take a request 5 us.
        self._found: dict[tuple[int, int], _FoundPreparer] = {}
        self._http: aiohttp.ClientSession | None = None
        # One thread: counting is the tokenizer's work, which is quick on a core of its own.
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="count")

    def start(self, http: aiohttp.ClientSession) -> None:
        """Ask backends through this session from now on."""
        self._http = http

    def stop(self) -> None:
        """Count nothing more."""
        self._worker.shutdown(wait=False, cancel_futures=True)

    def of(self, backend: PooledBackend, model: ServedModel) -> Preparer:
        """The one for a model at a backend: what it has learned lasts while both stay as is."""
        found = self._found.get((id(backend), id(model)))
        if found is None:
            found = self._found[id(backend), id(model)] = self._find(backend, model)
        found.preparer.known.of_run(backend.run)
        return found.preparer

    def _find(self, backend: PooledBackend, model: ServedModel) -> _FoundPreparer:
        key = (backend.endpoint, backend.fit, model)
        if key not in self._known:
            self._known[key] = self._new(*key, backend.completion_slots)
        if len(self._found) >= _MOST_FOUND:
            self._found.clear()
        return _FoundPreparer(backend, model, self._known[key])

    def keep(self, backends: Iterable[PooledBackend]) -> None:
        """Forget those of all other backends."""
        current = {(b.endpoint, b.fit) for b in backends}
        self._known = {k: v for k, v in self._known.items() if (k[0], k[1]) in current}
        self._found.clear()

    def _new(
        self, backend: Backend, settings: FitSettings, model: ServedModel, completion_slots: int
    ) -> Preparer:
        if self._http is None:
            raise RuntimeError("the gateway's application is not running")
        server = ServerCounts(self._http, backend, model.id, self._counts_kept)
        counter = TokenCounter(model, backend, settings.tokenizer, server, self._worker)
        infill = partial(InfillFitter, model, settings, backend, self._http)
        known = KnownPrompts(trusted=engines.lookup(backend.engine).reports_whole_prompts)
        return Preparer(model, settings, counter, known, self._metrics, infill, completion_slots)
