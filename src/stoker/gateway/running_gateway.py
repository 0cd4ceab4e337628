"""One gateway, and what may change of it while it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stoker.access.api_keys import Keys
from stoker.access.refused_entries import RefusedEntries
from stoker.access.sign_on.sign_on_rules import SignOnRules
from stoker.engines import Backend, ServedModel
from stoker.errors import Problem
from stoker.gateway import pipeline
from stoker.gateway.api.media_urls import MediaHosts
from stoker.gateway.app import GatewayApplication
from stoker.gateway.deployment_facts import DeploymentFacts
from stoker.gateway.gateway_state import GatewayState
from stoker.gateway.http_server import GatewayRunner
from stoker.gateway.limiting.caller_limiter import CallerLimiter
from stoker.gateway.limiting.counters import Counters
from stoker.gateway.limiting.local_counters import LocalCounters
from stoker.gateway.middleware.cors import Origins
from stoker.gateway.middleware.served_names import ServedNames
from stoker.gateway.model_aliases import ModelAliases
from stoker.gateway.prompt.fit_settings import FitSettings
from stoker.gateway.prompt.last_heads import LastHeads
from stoker.gateway.prompt.preparers import Preparer
from stoker.gateway.routing.backend_pool import Pool
from stoker.gateway.routing.backend_slots import BackendSlots
from stoker.gateway.routing.pooled_backend import PooledBackend
from stoker.gateway.timings import DEFAULT_TIMINGS, GatewayTimings
from stoker.gateway.tracing.trace_settings import TraceSettings
from stoker.gateway.usage.metrics import Metrics
from stoker.gateway.usage.recent_errors import ENGINE_ENDED, ErrorKind
from stoker.usage_records import UsageStore, UsageWriter

if TYPE_CHECKING:  # it imports OpenTelemetry
    from stoker.gateway.tracing.otlp_traces import Traces


@dataclass(frozen=True, slots=True)
class Served:
    """One backend, what it serves, and how its requests are fitted and limited."""

    backend: Backend
    models: Sequence[ServedModel]
    fit: FitSettings = field(default_factory=FitSettings)
    #: Requests sent to it at the same time; more wait their turn here. ``None`` sends all.
    max_concurrent: int | None = None
    #: Nothing but this gateway sends requests to it: which slot of it holds what is known here.
    is_ours: bool = False
    #: Its models complete code beside those that chat.
    for_completion: bool = False
    #: Of its slots, those that turns leave free for completions.
    completion_slots: int = 0
    #: Fields that its completions carry (``CompletionOrder``).
    completion_fields: Mapping[str, int] = field(default_factory=dict)
    #: Its completions let the first token of a turn go first: they share a CPU, or the engine.
    yields: bool = False
    #: It computes on the CPU, where the first token of a turn comes later for what others compute.
    computes_on_cpu: bool = True

    def pooled(self) -> PooledBackend:
        """A place in the pool for it."""
        pooled = PooledBackend(self.backend, self.models, self.max_concurrent, self.fit)
        pooled.is_ours = self.is_ours
        pooled.for_completion = self.for_completion
        pooled.completion_slots = self.completion_slots
        pooled.completion_fields = self.completion_fields
        pooled.yields = self.yields
        pooled.computes_on_cpu = self.computes_on_cpu
        return pooled


class Gateway:
    """One gateway: what it serves may change while it runs."""

    def __init__(
        self,
        keys: Keys | None = None,
        timings: GatewayTimings = DEFAULT_TIMINGS,
        model_request: pipeline.Row = pipeline.MODEL_REQUEST,
        counters: Callable[[Metrics], Counters] = lambda _: LocalCounters(),
    ) -> None:
        self._state = GatewayState(keys or Keys({}), timings, counters)
        self._model_request = model_request
        self._traces: Traces | None = None

    @property
    def pool(self) -> Pool:
        """The backends, and what they serve."""
        return self._state.pool

    @property
    def slots(self) -> BackendSlots:
        """The requests that wait for a backend."""
        return self._state.slots

    @property
    def limiter(self) -> CallerLimiter:
        """The limits of callers and models. Its ``plans`` may be replaced while it runs."""
        return self._state.limiter

    def serve(self, served: Sequence[Served]) -> None:
        """Send requests to these backends from now on; running requests end where they are."""
        before = list(self.pool.backends)
        self._state.use_backends([_kept(before, s) or s.pooled() for s in served])

    def preparers(self, backend: PooledBackend) -> list[Preparer]:
        """What prepares requests for each model of a backend, while the application runs."""
        models = backend.models.values()
        return [self._state.preparers.of(backend, model) for model in models]

    @property
    def last_heads(self) -> LastHeads:
        """What each client's conversations begin with."""
        return self._state.last_heads

    @property
    def refused_entries(self) -> RefusedEntries:
        """The requests that were refused at the entry."""
        return self._state.refused_entries

    def on_first_tokens(self, watch: Callable[[bool], None]) -> None:
        """Call ``watch`` when turns begin to wait for their first token, and when none does."""
        self._state.first_tokens.watch = watch

    def use_keys(self, keys: Keys) -> None:
        """Open to these keys from now on."""
        self._state.keys = keys

    def use_sign_on(self, rules: SignOnRules) -> None:
        """Open to those who sign on by these rules from now on."""
        self._state.sign_on.use(rules)

    def use_origins(self, allowed: Origins) -> None:
        """Answer these web pages from now on."""
        self._state.origins = allowed

    def use_served_names(self, names: ServedNames) -> None:
        """Answer requests to these hosts from now on, where no key is needed."""
        self._state.served_names = names

    def use_media_hosts(self, hosts: MediaHosts) -> None:
        """Let engines fetch from these hosts from now on."""
        self._state.media_hosts = hosts

    def use_aliases(self, aliases: ModelAliases) -> None:
        """Answer to these names of models, too, from now on."""
        self._state.aliases = aliases

    def belong_to(self, deployment: Callable[[], DeploymentFacts]) -> None:
        """Show this deployment on the dashboard, as it is whenever that is asked."""
        self._state.deployment = deployment

    def record_usage(self, store: UsageStore | None, days: int) -> None:
        """Record each request there while the application runs, and delete it after ``days``.

        To be called before the application is made.
        """
        lost = self._state.metrics.usage_lost.inc
        self._state.usage = UsageWriter(store, days, lost) if store else None

    def send_traces(self, settings: TraceSettings | None) -> None:
        """Send a trace of each request there. To be called before the application is made."""
        if settings is not None:
            from stoker.gateway.tracing.otlp_traces import Traces  # noqa: PLC0415  (an extra)

            self._traces = Traces(settings)

    def use_caches_per_owner(self, enabled: bool) -> None:
        """Keep each owner's prompts from the others' caches from now on, or share one cache."""
        self._state.owner_caches.enabled = enabled

    async def drain(self, within_s: float) -> None:
        """Take no more requests, and wait for the answers that are under way."""
        self._state.draining = True
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within_s
        # The end of a request signals nothing that could be waited for.
        while any(b.in_flight for b in self.pool.backends) and loop.time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.05)

    def pause(self, problem: Problem) -> None:
        """Answer "not ready" until ``serve`` is called again; the dashboard shows why."""
        self._state.recent_errors.note(ErrorKind(ENGINE_ENDED, problem=problem))
        self.pool.replace([])

    def suspend(self, backend: Backend, problem: Problem) -> None:
        """Answer "not ready" for the models of one backend until ``resume``; others go on."""
        self._state.recent_errors.note(ErrorKind(ENGINE_ENDED, problem=problem))
        for pooled in self.pool.backends:
            if pooled.endpoint == backend:
                pooled.healthy = False

    def resume(self, backend: Backend) -> None:
        """The backend answers again."""
        for pooled in self.pool.backends:
            if pooled.endpoint == backend and not pooled.healthy:
                pooled.recovered()
        self.slots.wake()

    def application(self) -> GatewayApplication:
        """What answers requests."""
        return GatewayApplication(self._state, self._model_request, self._traces)

    def runner(self) -> GatewayRunner:
        """What runs the application."""
        return GatewayRunner(self.application(), self._state.timings)


def _kept(before: Sequence[PooledBackend], served: Served) -> PooledBackend | None:
    """The backend as it is known already, with what may have changed of its settings."""
    there = served.backend
    for backend in before:
        known = backend.endpoint
        if (known.url, known.key) == (there.url, there.key) and there.engine in ("", known.engine):
            backend.max_concurrent, backend.fit = served.max_concurrent, served.fit
            if served.models:
                backend.serve(served.models)
            return backend
    return None
