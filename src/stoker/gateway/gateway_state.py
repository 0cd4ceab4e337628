"""What all requests of one gateway share."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stoker.access.api_keys import Keys
from stoker.access.caller import Caller
from stoker.access.refused_entries import RefusedEntries
from stoker.access.sign_on.sign_on import SignOn
from stoker.engines import ALIAS, ServedModel
from stoker.gateway.api import model_entries, request_validation
from stoker.gateway.api.media_urls import MediaHosts
from stoker.gateway.dashboard.dashboard_sessions import DashboardSessions
from stoker.gateway.deployment_facts import DeploymentFacts
from stoker.gateway.limiting.caller_limiter import CallerLimiter
from stoker.gateway.limiting.counters import Counters
from stoker.gateway.limiting.local_counters import LocalCounters
from stoker.gateway.middleware.cors import Origins
from stoker.gateway.middleware.served_names import ServedNames
from stoker.gateway.model_aliases import ModelAliases
from stoker.gateway.prompt.last_heads import LastHeads
from stoker.gateway.prompt.owner_caches import OwnerCaches
from stoker.gateway.prompt.preparers import Preparer, Preparers
from stoker.gateway.relay.live_streams import LiveStreams
from stoker.gateway.routing.backend_pool import Pool
from stoker.gateway.routing.backend_slots import BackendSlots
from stoker.gateway.routing.first_tokens import FirstTokens
from stoker.gateway.routing.pooled_backend import PooledBackend
from stoker.gateway.timings import GatewayTimings
from stoker.gateway.usage.metrics import Metrics
from stoker.gateway.usage.recent_errors import RecentErrors
from stoker.usage_records import UsageWriter


class GatewayState:
    """The backends, who may ask them, and what was counted.

    Keys, rules of sign-on, origins, names, hosts of media and aliases may be replaced.
    """

    def __init__(
        self,
        keys: Keys,
        timings: GatewayTimings,
        counters: Callable[[Metrics], Counters] = lambda _: LocalCounters(),
    ) -> None:
        self.timings = timings
        self.keys = keys
        self.sign_on = SignOn()
        self.origins = Origins()
        self.served_names = ServedNames()
        self.media_hosts = MediaHosts()
        self.aliases = ModelAliases()
        self.refused_entries = RefusedEntries(time.monotonic)
        self.dashboard_sessions = DashboardSessions()
        #: What the gateway belongs to; ``None`` where it runs by itself.
        self.deployment: Callable[[], DeploymentFacts] | None = None
        self.owner_caches = OwnerCaches()
        self.last_heads = LastHeads()
        self.metrics = Metrics()
        self.recent_errors = RecentErrors()
        #: Where requests are recorded; ``None`` where they are not.
        self.usage: UsageWriter | None = None
        self.pool = Pool()
        self.slots = BackendSlots(self.pool, timings)
        self.first_tokens = FirstTokens(timings.max_completion_hold_s)
        self.limiter = CallerLimiter(counters(self.metrics))
        self.preparers = Preparers(self.metrics, timings)
        self.live_streams = LiveStreams(timings)
        #: New requests are refused: the server is about to end.
        self.draining = False

    @property
    def is_guarded(self) -> bool:
        """Whether a request needs a proof of who sends it."""
        return self.keys.required or self.sign_on.required

    @property
    def is_serving(self) -> bool:
        """Whether requests are taken, and some backend is known to serve a model."""
        return not self.draining and any(backend.models for backend in self.pool.backends)

    @property
    def down_cause(self) -> str:
        """Why no backend can be used; empty where one can, and where no cause is known."""
        backends = self.pool.backends
        down = not self.draining and not any(backend.usable for backend in backends)
        return next((b.down_cause for b in backends if b.down_cause), "") if down else ""

    @property
    def can_answer(self) -> bool:
        """Whether some model can answer a request now: one that chats, where some do."""
        return not self.draining and any(b.usable and b.models for b in self.pool.for_turns)

    def use_backends(self, backends: Sequence[PooledBackend]) -> None:
        """Send requests to these from now on; running requests end where they are."""
        self.pool.replace(backends)
        self.preparers.keep(self.pool.backends)
        self.slots.wake()

    def models_for(self, caller: Caller) -> dict[str, ServedModel]:
        """The models that a caller may use, by their own names."""
        models = self.pool.models()
        if not caller.models:
            return models
        return {name: model for name, model in models.items() if caller.may_use(name)}

    def chosen_model(
        self, request: Mapping[str, Any], caller: Caller, *, completes: bool = False
    ) -> ServedModel:
        """The model that a request names; raises ``BadRequestError`` where none is meant.

        Where a model for completion stands beside those that chat, one that is named otherwise
        than by its own name is that model for a request that ``completes``, and else never it.

        One that the caller may not use does not exist for it: the answer, a 404 that lists the
        models which it may use, reveals no other model. That holds for aliases and ``local`` too,
        which open what they stand for only to those who may use it by its own name.
        """
        models = self.models_for(caller)
        if caller.models and not models:
            raise request_validation.no_model_allowed()
        wanted = request.get("model")
        if not (isinstance(wanted, str) and wanted in models):
            wanted = self.aliases.resolve(wanted)
        if isinstance(wanted, str) and wanted in models:
            return models[wanted]
        meant = self._meant(models, completes=completes)
        target = self.alias_target(meant) if wanted == ALIAS else None
        if wanted == ALIAS and completes:
            target = target or next(iter(meant), None)  # one that does not chat completes, too
        return models[request_validation.choose_model({"model": wanted}, meant, target)]

    def _meant(
        self, models: Mapping[str, ServedModel], *, completes: bool
    ) -> Mapping[str, ServedModel]:
        """Those of the models that a request without a name of its own can mean."""
        completing = self.pool.for_completion
        chosen = {name: m for name, m in models.items() if (name in completing) is completes}
        return chosen or models

    def alias_target(self, models: Mapping[str, ServedModel]) -> str | None:
        """The one of these models that the name ``local`` stands for."""
        models = self._meant(models, completes=False)
        return model_entries.alias_target(models, lambda name: bool(self.pool.serving(name)))

    def shown_preparer(self, model: ServedModel) -> Preparer:
        """What counts for a model where no backend is selected: its smallest usable window's."""
        backend = self.pool.smallest(model.id)
        return self.preparers.of(backend, backend.models[model.id])
