"""The backends behind the gateway, and the models that they serve."""

from __future__ import annotations

import math
from collections.abc import Sequence

from stoker.engines import ServedModel
from stoker.gateway.routing.pooled_backend import PooledBackend


class NoBackendError(Exception):
    """No backend of the model is up."""


class Pool:
    """All backends."""

    def __init__(self) -> None:
        self.backends: list[PooledBackend] = []

    def replace(self, backends: Sequence[PooledBackend]) -> None:
        """Send new requests to these from now on; running ones end where they are."""
        for old in self.backends:
            if old not in backends:
                old.retired = True
                old.connections.close()
        self.backends = list(backends)

    @property
    def for_turns(self) -> list[PooledBackend]:
        """The backends that chat; all of them where none is there to complete code alone."""
        return [b for b in self.backends if not b.for_completion] or self.backends

    @property
    def for_completion(self) -> frozenset[str]:
        """The models that only complete code."""
        turns = {name for b in self.backends if not b.for_completion for name in b.models}
        every = {name for b in self.backends for name in b.models}
        return frozenset(every - turns) if turns else frozenset()

    def models(self) -> dict[str, ServedModel]:
        """Every model that some backend serves; its window is the smallest that it has."""
        found: dict[str, ServedModel] = {}
        for backend in self.backends:
            for name, model in backend.models.items():
                known = found.get(name)
                found[name] = model if known is None else _smaller(known, model)
        return found

    @property
    def in_flight(self) -> int:
        """Requests that backends work on."""
        return sum([b.in_flight for b in self.backends])

    def serving(self, model: str, avoid: Sequence[PooledBackend] = ()) -> list[PooledBackend]:
        """The usable backends of a model, without those to ``avoid``."""
        return [b for b in self.backends if model in b.models and b.usable and b not in avoid]

    def smallest(self, model: str) -> PooledBackend:
        """The backend of a model with the smallest window: a usable one if there is any."""
        candidates = self.serving(model) or [b for b in self.backends if model in b.models]
        return min(candidates, key=lambda b: b.window(model) or math.inf)

    def has_several(self, model: str) -> bool:
        """Whether a model has several backends, even if only one is up or free right now."""
        return len(self.backends) > 1 and sum(model in b.models for b in self.backends) > 1


def _smaller(one: ServedModel, other: ServedModel) -> ServedModel:
    """A model of two backends, with a window that both have."""
    if other.max_model_len is None or one.max_model_len is None:
        return one if one.max_model_len else other
    return one if one.max_model_len <= other.max_model_len else other
