"""A decision to run one model on one engine, with the reason for each part of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from stoker.models import Model

Value = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Argument:
    """One launch argument, in the engine's own spelling, and why it has this value."""

    name: str
    value: Value
    reason: str


@dataclass(frozen=True, slots=True)
class MemoryPrediction:
    """Where the memory goes, in bytes. ``budget_bytes`` is what the plan may use."""

    weights_bytes: int
    kv_cache_bytes: int
    overhead_bytes: int
    budget_bytes: int

    @property
    def total_bytes(self) -> int:
        """What the plan is predicted to use."""
        return self.weights_bytes + self.kv_cache_bytes + self.overhead_bytes


@dataclass(frozen=True, slots=True)
class Plan:
    """Model + engine + arguments, with predicted memory and speed.

    ``max_model_len`` is the context of one request in tokens; ``parallel`` is how many requests
    have that much each at the same time.
    """

    model: Model
    engine: str
    max_model_len: int
    parallel: int
    arguments: tuple[Argument, ...]
    memory: MemoryPrediction
    reasons: tuple[str, ...] = ()
    decode_tokens_per_s: float | None = None
    prefill_tokens_per_s: float | None = None

    def argument(self, name: str) -> Value | None:
        """The value of the argument ``name``, or ``None`` where the plan does not set it."""
        return next((a.value for a in self.arguments if a.name == name), None)

    @property
    def fingerprint(self) -> str:
        """Twelve hex digits that two plans share only if they start the same thing."""
        parts = [self.engine, self.model.id, str(self.model.path), self.model.served_name]
        parts += [f"{a.name}={a.value!r}" for a in self.arguments]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]
