"""A decision to run one model on one engine, with the reason for each part of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace

from stoker.models import Model

Value = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Argument:
    """One launch argument, in the engine's own spelling, and why it has this value."""

    name: str
    value: Value
    reason: str


@dataclass(frozen=True, slots=True)
class Trial:
    """Other values for some arguments of a plan, which may be faster on a machine."""

    arguments: tuple[Argument, ...]

    @property
    def name(self) -> str:
        """``n_ubatch = 256``."""
        return ", ".join(f"{a.name} = {a.value}" for a in self.arguments)


@dataclass(frozen=True, slots=True)
class MemoryPrediction:
    """Where the memory goes, in bytes. ``budget_bytes`` is what the plan may use.

    For several GPUs the figures are those of one of them, which are alike.
    """

    weights_bytes: int
    kv_cache_bytes: int
    #: Activations, graphs and what else the engine needs; ``graphs_bytes`` is a part of it.
    overhead_bytes: int
    budget_bytes: int
    graphs_bytes: int = 0
    #: All the memory that there is, in use by others or not.
    device_bytes: int | None = None
    #: Of ``overhead_bytes`` what was measured on this machine beyond what is predicted elsewhere.
    measured_bytes: int = 0

    @property
    def total_bytes(self) -> int:
        """What the plan is predicted to use."""
        return self.weights_bytes + self.kv_cache_bytes + self.overhead_bytes


@dataclass(frozen=True, slots=True)
class Traffic:
    """What is asked of a server: ``concurrency`` requests at all times, each with this shape."""

    concurrency: int
    prompt_tokens: int
    answer_tokens: int
    #: The part of a prompt that the prefix cache holds already, from 0 to 1.
    prefix_hit: float = 0.0


@dataclass(frozen=True, slots=True)
class Interval:
    """A prediction, and the range in which four of five measurements of unseen models lay."""

    expected: float
    low: float
    high: float

    def times(self, factor: float) -> Interval:
        """All of it so many times as long."""
        return Interval(factor * self.expected, factor * self.low, factor * self.high)


@dataclass(frozen=True, slots=True)
class Speed:
    """Predicted times of one request among ``concurrency`` that run at once, in seconds."""

    concurrency: int
    prompt_tokens: int
    first_token_s: Interval
    token_s: Interval

    @property
    def output_tokens_per_s(self) -> float:
        """Tokens a second of all answers together, while they are written."""
        return self.concurrency / self.token_s.expected

    def times(self, first_token: float, token: float) -> Speed:
        """With both times so many times as long."""
        first_token_s, token_s = self.first_token_s.times(first_token), self.token_s.times(token)
        return replace(self, first_token_s=first_token_s, token_s=token_s)


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
    #: The speed when the wanted number of users ask at once; ``None`` where nothing is known of it.
    speed: Speed | None = None
    #: How many GPUs it runs on; 0 is the CPU.
    gpus: int = 0
    #: Requests of ``max_model_len`` that the cache holds at once, as vLLM counts them.
    max_concurrency: float | None = None
    #: Requests of the purpose's usual length that have room at once; ``None`` where others queue
    #: without harm to the prediction.
    most_at_once: int | None = None
    #: Bytes of a token in a file that a slot is saved to; ``None`` where its engine has no such
    #: files, or can't go on from the middle of one with this model.
    slot_bytes_per_token: float | None = None
    #: Of ``parallel``, what is kept for code completion: the model does that, too.
    completion_slots: int = 0
    #: Whether people would wait for its answers, for the purpose that was asked for.
    usable: bool = True
    #: Tokens a second below which they would rather have a quicker model that is worse.
    comfortable_tokens_per_s: float = 0.0
    #: What is left of ``decode_tokens_per_s`` where no draft is right, as in prose half of them are
    #: not; ``None`` where nothing is drafted, or the engine's plans have one figure for both.
    undrafted_tokens_per_s: float | None = None
    #: What was measured on this machine has made the times to the first token and for each further
    #: one so many times as long as they were predicted.
    corrected_by: tuple[float, float] = (1.0, 1.0)
    #: What ranks plans, in points of a coding benchmark: an estimate, good for order only.
    score: float = 0.0

    def argument(self, name: str) -> Value | None:
        """The value of the argument ``name``, or ``None`` where the plan does not set it.

        ``kv_cache_dtype`` and ``kv-cache-dtype`` are one: people set it in the flag's spelling.
        """
        wanted = name.replace("-", "_")
        return next((a.value for a in self.arguments if a.name.replace("-", "_") == wanted), None)

    def with_arguments(self, arguments: Iterable[Argument]) -> Plan:
        """The plan with these arguments in the place of its own of the same names."""
        changed = {a.name: a for a in arguments}
        kept = tuple(changed.pop(a.name, a) for a in self.arguments)
        return replace(self, arguments=(*kept, *changed.values()))

    def corrected(self, first_token: float, token: float, reason: str) -> Plan:
        """The plan with these factors on its predicted times, for a reason."""
        decode, prefill = self.decode_tokens_per_s, self.prefill_tokens_per_s
        return replace(
            self,
            decode_tokens_per_s=decode and decode / token,
            undrafted_tokens_per_s=self.undrafted_tokens_per_s
            and self.undrafted_tokens_per_s / token,
            prefill_tokens_per_s=prefill and prefill / first_token,
            speed=self.speed and self.speed.times(first_token, token),
            corrected_by=(self.corrected_by[0] * first_token, self.corrected_by[1] * token),
            reasons=(*self.reasons, reason),
        )

    @property
    def fingerprint(self) -> str:
        """Twelve hex digits that two plans share only if they start the same thing."""
        parts = [self.engine, self.model.id, str(self.model.path), self.model.served_name]
        parts += [f"{a.name}={a.value!r}" for a in self.arguments]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]
