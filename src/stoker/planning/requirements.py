"""What the user wants of a model server, and what that means in tokens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from stoker.errors import UsageError
from stoker.models import KnownModel, Model, Purpose


@dataclass(frozen=True, slots=True)
class Requirements:
    """What a plan is to serve. ``None`` leaves the choice to the planner."""

    purpose: Purpose | None = None
    #: People who use it; about a third of them wait for an answer at the busiest time.
    users: int = 1
    #: The context of one request, in tokens.
    context: int | None = None
    #: Requests answered at the same time.
    parallel: int | None = None
    #: Exactly how many GPUs a server that can divide a model divides it among.
    tensor_parallel: int | None = None
    engine: str | None = None
    #: Engines whose installed build can't use the GPU, such as llama.cpp's on the package index.
    cpu_only_engines: frozenset[str] = frozenset()
    #: Slots beside those of the chat, kept for code completion, where an engine has slots.
    completion_slots: int = 0
    #: The user named the model: a slow one, or one to avoid, is planned all the same.
    named: bool = False
    #: What plans took of each GPU on this machine beyond what was predicted, by ``memory_key``.
    measured_bytes: Mapping[str, int] = field(default_factory=dict)
    #: Why models have no drafts on this machine: those cost there, by ``drafts_key``.
    costly_drafts: Mapping[str, str] = field(default_factory=dict)

    def why_no_drafts(self, engine: str, model: Model) -> str:
        """Why this model is to have no drafts; empty where it may have some."""
        return self.costly_drafts.get(drafts_key(engine, model), "")

    def more_bytes(self, engine: str, model: Model, gpus: int) -> int:
        """What a plan is to keep of each GPU beyond its prediction, after an earlier start."""
        return self.measured_bytes.get(memory_key(engine, model, gpus), 0)

    @property
    def concurrency(self) -> int:
        """Requests that run at once at the busiest time."""
        return self.parallel or max(1, -(-self.users // 3))


def memory_key(engine: str, model: Model, gpus: int) -> str:
    """What a measurement of memory on one machine holds for."""
    return f"{engine} {model.id} {model.quantization} {gpus}"


def drafts_key(engine: str, model: Model) -> str:
    """What a measurement of drafts on one machine holds for."""
    return f"{engine} {model.id} {model.quantization}"


@dataclass(frozen=True, slots=True)
class Need:
    """What a purpose asks of a plan."""

    #: The shortest context with which it works, and the one to aim for.
    least_context: int
    good_context: int
    #: Its usual prompt, how much of it the prefix cache holds, and its usual answer.
    prompt_tokens: int
    prefix_hit: float
    answer_tokens: int
    #: Slower than this is not waited for.
    least_tokens_per_s: float
    most_first_token_s: float
    #: Slower than this is waited for, but a quicker model that is worse would be preferred.
    comfortable_tokens_per_s: float = 0.0


#: Agent mode sends 15,500 tokens before the first word (measured with VS Code 1.139.1), of which
#: every turn but the first finds most in the prefix cache. Completions are short and must be quick.
#: Users of agents call 20 to 25 tokens/s of Qwen3.6-35B-A3B on a Strix Halo too slow
#: (kyuz0/amd-strix-halo-vllm-toolboxes, issue 42), and 13 of Qwen3-8B on a DGX Spark
#: (lyb.re, 2026-03-10), and run mixtures at 40 to 55 there.
NEEDS: dict[Purpose, Need] = {
    "chat": Need(8_192, 32_768, 2_000, 0.5, 500, 10, 20),
    "agent": Need(32_768, 131_072, 20_000, 0.75, 400, 12, 25, 25),
    "completion": Need(4_096, 16_384, 1_500, 0.5, 40, 30, 2),
}


#: Without a purpose: a question with a file attached must get an answer.
ANY = Need(2_048, 32_768, 2_048, 0.0, 500, 8, 35)


def need_of(requirements: Requirements) -> Need:
    """What the purpose of ``requirements`` asks of a plan."""
    return ANY if requirements.purpose is None else NEEDS[requirements.purpose]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that could be served, with what the catalogue knows of it."""

    model: Model
    known: KnownModel | None = None
    #: The one vendor whose GPUs these files are made for, where that is so.
    made_for: str | None = None
    #: The engine that is to serve it; without one, each that reads its files is planned for.
    engine: str | None = None

    def serves(self, purpose: Purpose) -> bool:
        """Whether the catalogue holds it fit for ``purpose``; unknown models serve chat."""
        return purpose in self.known.purposes if self.known else purpose == "chat"


def candidates_of(catalogue: Iterable[KnownModel]) -> list[Candidate]:
    """Every form of every model of the catalogue, as it would be fetched from the hub."""
    return [
        Candidate(known.model(variant), known, variant.made_for)
        for known in catalogue
        for variant in known.weights
    ]


#: A question and its answer; any less is a slip of the keyboard.
_LEAST_CONTEXT = 512


def check(requirements: Requirements) -> None:
    """Raise ``UsageError`` for numbers that cannot be meant."""
    for name, value, least, most in (
        ("--users", requirements.users, 1, 100_000),
        ("--parallel", requirements.parallel, 1, 4096),
        ("--context", requirements.context, _LEAST_CONTEXT, 10_000_000),
    ):
        if value is not None and not least <= value <= most:
            raise UsageError(
                f"{name} {value} is out of range.",
                f"It must be between {least:,} and {most:,}.",
                "Correct the number.",
            )
