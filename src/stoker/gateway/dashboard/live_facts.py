"""What the pages show, as values: gathered from the gateway's state, and put into no words here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from stoker.engines import ServedModel
from stoker.gateway.dashboard import activity
from stoker.gateway.dashboard.activity import RecentActivity
from stoker.gateway.dashboard.usage_overview import UsageOverview
from stoker.gateway.deployment_facts import DeploymentFacts
from stoker.gateway.gateway_state import GatewayState
from stoker.gateway.routing.pooled_backend import PooledBackend
from stoker.gateway.usage.recent_errors import SeenError

#: ``resting``: it failed several times in a row, and gets one request at a time to try.
Health = Literal["up", "down", "resting"]
#: Of all backends: ``none`` where there is none, ``draining`` where the gateway is about to end.
Overall = Literal["ready", "partly", "down", "none", "draining"]


@dataclass(frozen=True, slots=True)
class BackendFacts:
    """One backend."""

    url: str
    engine: str
    health: Health
    #: Since when it is up or down, in seconds since the epoch.
    since: float
    #: Why it is down; empty where that is not known.
    cause: str
    models: tuple[ServedModel, ...]
    in_flight: int
    #: Requests that it works on at the same time; ``None`` where that is not bounded.
    slots: int | None
    #: The part of its KV cache that is in use, from 0 to 1; ``None`` where it does not report it.
    kv_cache_use: float | None


@dataclass(frozen=True, slots=True)
class PromptFacts:
    """The tokens of prompts since the gateway was started, and what was cut."""

    read_tokens: int
    cached_tokens: int
    wasted_tokens: int
    #: Requests by what was cut from them: a request may be in several.
    cuts: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class LiveFacts:
    """All that the page shows."""

    overall: Overall
    started_at: float
    version: str
    deployment: DeploymentFacts | None
    backends: tuple[BackendFacts, ...]
    activity: RecentActivity
    in_flight: int
    waiting: int
    unread_tokens: int
    prompts: PromptFacts
    usage: UsageOverview
    errors: tuple[SeenError, ...]


def backend_facts(backend: PooledBackend, kv_cache_use: float | None) -> BackendFacts:
    """One backend as it is now."""
    models = tuple(backend.models.values())
    slots = [n for model in backend.models if (n := backend.slots(model)) is not None]
    return BackendFacts(
        backend.endpoint.url,
        backend.endpoint.engine,
        _health(backend),
        backend.healthy_since,
        backend.down_cause,
        models,
        backend.in_flight,
        max(slots, default=backend.max_concurrent),
        kv_cache_use,
    )


def _health(backend: PooledBackend) -> Health:
    if not backend.healthy:
        return "down"
    return "up" if backend.usable else "resting"


def prompt_facts(state: GatewayState) -> PromptFacts:
    """What became of prompts since the start."""
    prefill = activity.counted(state.metrics.prefill, "kind")
    cuts = activity.counted(state.metrics.fits, "step")
    return PromptFacts(
        prefill.get("read", 0),
        prefill.get("cached", 0),
        prefill.get("wasted", 0),
        tuple(sorted(((step, n) for step, n in cuts.items() if n), key=lambda each: -each[1])),
    )


def overall(state: GatewayState) -> Overall:
    """Whether requests are answered."""
    backends = state.pool.backends
    if state.draining:
        return "draining"
    if not backends:
        return "none"
    usable = [b for b in backends if b.usable and b.models]
    if not usable:
        return "down"
    return "ready" if len(usable) == len(backends) else "partly"


def backends_of(
    state: GatewayState, uses: Mapping[PooledBackend, float]
) -> tuple[BackendFacts, ...]:
    """All backends, those that need a look first."""
    facts: Sequence[BackendFacts] = [backend_facts(b, uses.get(b)) for b in state.pool.backends]
    return tuple(sorted(facts, key=lambda each: each.health == "up"))
