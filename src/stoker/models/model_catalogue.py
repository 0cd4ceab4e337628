"""Facts on models by name: ``data/models.toml``, and the user's own ``models.toml`` before it.

It needs no network: shapes come from the publishers' config.json, copied field by field.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal, get_args

from stoker import paths
from stoker.data.facts import load_additions, load_table
from stoker.errors import UsageError
from stoker.models.hf_config import architecture_from_config
from stoker.models.model import Architecture, Model

#: What a model is used for.
Purpose = Literal["chat", "agent", "completion"]
Confidence = Literal["high", "medium", "low"]
WeightFormat = Literal[
    "bf16",
    "fp16",
    "fp8",
    "fp4-fp8",
    "int8",
    "int4",
    "awq",
    "gptq",
    "nvfp4",
    "mxfp4",
    "mxfp8",
    "gguf",
]


@dataclass(frozen=True, slots=True)
class Variant:
    """The same model with its weights stored in another way."""

    #: The repository on the hub.
    id: str
    format: WeightFormat
    bits: int | None = None
    #: The quantization of a GGUF, such as ``Q4_K_M``.
    file: str | None = None
    weights_bytes: int | None = None
    #: The files hold the blocks that predict further tokens, and an engine runs them.
    mtp_head: bool = False
    #: The one vendor whose GPUs these files are made for, where that is so.
    made_for: Literal["nvidia", "amd"] | None = None
    #: GPUs, by their names here, on which vLLM is known to fail with these files, and why.
    fails_on: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Quality:
    """One figure for code, in percent. Figures of different benchmarks cannot be compared."""

    benchmark: str
    score: float
    date: str
    source: str
    #: Publishers measure their own models in the best light; compare like with like.
    by: Literal["publisher", "independent"] = "independent"


@dataclass(frozen=True, slots=True)
class InfillFact:
    """In which form a model fills in between two texts (``stoker.tokens.infill.FORMS``)."""

    form: str
    #: Where its publisher describes that.
    source: str


@dataclass(frozen=True, slots=True)
class KnownModel:
    """One model of the catalogue. ``None`` means "not known"."""

    #: The model on the hub at its own precision.
    id: str
    architecture: Architecture
    parameters: int
    #: Parameters that one token uses; ``None`` for a dense model, which uses all.
    active_parameters: int | None
    max_context_tokens: int
    license: str
    purposes: tuple[Purpose, ...]
    #: How the weights of ``id`` are stored.
    native_format: WeightFormat = "bf16"
    #: The size of those weights, where it is known.
    weights_bytes: int | None = None
    variants: tuple[Variant, ...] = ()
    aliases: tuple[str, ...] = ()
    released: str | None = None
    #: vLLM's names.
    tool_call_parser: str | None = None
    reasoning_parser: str | None = None
    chat_template: str | None = None
    #: Further arguments that vLLM must have for this model, without the dashes.
    vllm_args: Mapping[str, str | int | bool] = field(default_factory=dict, hash=False)
    #: What the model's recipe for vLLM decodes ahead with: method or model, and how many tokens.
    speculative: Mapping[str, str | int] | None = field(default=None, hash=False)
    #: The first version that runs it.
    min_vllm: str | None = None
    min_llama_cpp: str | None = None
    #: GPUs, by their names here, on which vLLM is known to fail with this model, and why.
    fails_on: Mapping[str, str] = field(default_factory=dict, hash=False)
    quality: Quality | None = None
    #: ``None`` where its publisher does not mention it: its vocabulary may have the tokens all
    #: the same.
    infill: InfillFact | None = None
    note: str = ""
    #: Why to choose another one; empty where there is no reason.
    avoid: str = ""
    confidence: Confidence = "low"
    sources: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def name(self) -> str:
        """The short name: the first alias, else the repository's name in lower case."""
        return self.aliases[0] if self.aliases else self.id.rpartition("/")[2].lower()

    @property
    def weights(self) -> tuple[Variant, ...]:
        """Every form of the weights: the model's own, then its variants."""
        own = Variant(self.id, self.native_format, weights_bytes=self.weights_bytes)
        return (own, *self.variants)

    def failures(self, id: str) -> Mapping[str, str]:  # noqa: A002  (the model's own word)
        """GPUs on which vLLM is known to fail with the weights of this id, and why."""
        of_files = (form.fails_on for form in self.variants if form.id == id)
        return {**self.fails_on, **next(of_files, {})}

    def model(self, variant: Variant | None = None) -> Model:
        """What would be served: the model's own weights or ``variant``, not fetched yet."""
        chosen = variant or self.weights[0]
        return Model(
            id=chosen.id,
            format="gguf" if chosen.format == "gguf" else "safetensors",
            origin="hub",
            served_name=self.name,
            quantization=chosen.file or chosen.format,
            parameters=self.parameters,
            weights_bytes=chosen.weights_bytes,
            architecture=self.architecture,
            max_context_tokens=self.max_context_tokens,
            license=self.license,
            has_mtp_head=chosen.mtp_head,
        )


def known_models() -> tuple[KnownModel, ...]:
    """Every model that is known; the user's own entries replace those of the same id.

    Raises ``StokerError`` where the user's ``models.toml`` cannot be used.
    """
    own = load_additions(paths.config_dir() / "models.toml", "models", known_model)
    ids = {model.id.casefold() for model in own}
    return (*own, *(model for model in _shipped_models() if model.id.casefold() not in ids))


def find_known_model(name: str) -> tuple[KnownModel, Variant]:
    """The model that ``name`` means, and which of its weights: by id, variant's id or alias.

    Raises ``UsageError`` with the nearest names where there is none.
    """
    wanted = name.casefold().strip()
    for model in known_models():
        if wanted in {alias.casefold() for alias in model.aliases}:
            return model, model.weights[0]
        for variant in model.weights:
            if wanted in (variant.id.casefold(), variant.id.casefold().rpartition("/")[2]):
                return model, variant
    near = nearest_models(name)
    hint = f"The nearest are: {', '.join(near)}." if near else "No known name is similar."
    raise UsageError(
        f"There is no model {name!r} in the catalogue.",
        hint,
        f"{'Use one of those, or add' if near else 'Add'} it: stoker models add REPO_OR_FOLDER.",
    )


def smallest_that_fill_in(count: int = 2) -> list[KnownModel]:
    """Models that fill in between two texts, the smallest first, without those to avoid."""
    found = [model for model in known_models() if model.infill and not model.avoid]
    return sorted(found, key=lambda model: model.parameters)[:count]


def may_fill_in(name: str) -> bool:
    """Whether a model that has the tokens for it is any good at filling in, as far as is known.

    Chat models of some families have the tokens and were not made for that.
    """
    known = _shipped_by_name().get(name.casefold().removesuffix(":latest"))
    return known is None or known.infill is not None


@cache
def _shipped_by_name() -> Mapping[str, KnownModel]:
    """The models of the shipped catalogue by each of their names."""
    return {
        each.casefold(): model
        for model in reversed(_shipped_models())
        for variant in model.weights
        for each in (variant.id, variant.id.rpartition("/")[2], *model.aliases, model.name)
    }


def nearest_models(name: str, count: int = 4) -> list[str]:
    """Short names of the models whose names are most like ``name``, the nearest first."""
    keys: dict[str, str] = {}
    for model in reversed(known_models()):
        for known in (
            *model.aliases,
            *(variant.id.rpartition("/")[2] for variant in model.weights),
        ):
            keys[_letters(known)] = model.name
    near = difflib.get_close_matches(
        _letters(name.rpartition("/")[2]), keys, n=2 * count, cutoff=0.5
    )
    return list(dict.fromkeys(keys[key] for key in near))[:count]


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.casefold())


@cache
def _shipped_models() -> tuple[KnownModel, ...]:
    return tuple(known_model(row) for row in load_table("models")["models"])


def known_model(row: Mapping[str, Any]) -> KnownModel:
    """One ``[[models]]`` table of a catalogue file as a value.

    Raises ``KeyError`` for a field that is missing, ``ValueError`` for one that cannot be, and
    ``StokerError`` where ``config`` is no model.
    """
    _one_of(row, "native_format", WeightFormat)
    _one_of(row, "confidence", Confidence)
    for purpose in row["purposes"]:
        _one_of({"id": row["id"], "purposes": purpose}, "purposes", Purpose)
    return KnownModel(
        id=row["id"],
        architecture=architecture_from_config(row["config"]),
        parameters=_billions(row["parameters_b"]),
        active_parameters=_billions(row["active_parameters_b"])
        if "active_parameters_b" in row
        else None,
        max_context_tokens=row["max_context_tokens"],
        license=row["license"],
        purposes=tuple(row["purposes"]),
        native_format=row.get("native_format", "bf16"),
        variants=tuple(_variant(variant) for variant in row.get("variants", ())),
        aliases=tuple(row.get("aliases", ())),
        quality=Quality(**row["quality"]) if "quality" in row else None,
        infill=InfillFact(**row["infill"]) if "infill" in row else None,
        sources=row.get("sources", {}),
        **{name: row[name] for name in _AS_WRITTEN if name in row},
    )


_AS_WRITTEN = (
    "weights_bytes",
    "released",
    "tool_call_parser",
    "reasoning_parser",
    "chat_template",
    "vllm_args",
    "speculative",
    "min_vllm",
    "min_llama_cpp",
    "fails_on",
    "note",
    "avoid",
    "confidence",
)


def _variant(row: Mapping[str, Any]) -> Variant:
    _one_of(row, "format", WeightFormat)
    return Variant(**row)


def _one_of(row: Mapping[str, Any], name: str, kind: Any) -> None:
    if name in row and row[name] not in get_args(kind):
        allowed = ", ".join(get_args(kind))
        raise ValueError(f"{row['id']}: {name} is {row[name]!r}, not one of {allowed}")


def _billions(value: float) -> int:
    return round(value * 1e9)
