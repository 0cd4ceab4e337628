"""Which form of a model's weights one kind of GPU can serve, with how much context.

A first look at many models at once, for lists and pages: one request at a time, default settings.
``choose`` decides for a real host.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from stoker.host import GpuSpec
from stoker.models import Architecture, KnownModel, Variant
from stoker.planning.formats import why_not
from stoker.planning.llama_memory import LlamaCache, llama_memory
from stoker.planning.precision import precision_of
from stoker.planning.speed import Hardware, Traffic, load_of, predict
from stoker.planning.units import GIB
from stoker.planning.vllm_memory import (
    VllmMemory,
    VllmSettings,
    check_tensor_parallel,
    longest_context,
    visible_bytes,
    vllm_memory,
)
from stoker.planning.weights import count_weights

#: Bits a weight of Q4_K_M files, output head apart from the embedding: 4.87 to 5.03 in the files of
#: ``data/gguf_models.toml`` from 1.5 B parameters up.
_Q4_K_M_BITS = 4.95
#: What the driver's context and llama.cpp's own buffers take of a GPU before the model.
_LLAMA_CONTEXT_BYTES = int(0.5 * GIB)
_FOUR_BITS = ("awq", "gptq", "int4", "nvfp4", "mxfp4", "fp4-fp8", "gguf")


@dataclass(frozen=True, slots=True)
class Fit:
    """One form of a model on one kind of GPU."""

    variant: Variant
    engine: Literal["vllm", "llama.cpp"]
    gpus: int
    #: Weights of all GPUs together.
    weights_bytes: int
    #: The longest context of one request.
    longest_context_tokens: int
    #: Tokens a second of one answer, where the GPU's rates are known.
    decode_tokens_per_s: float | None = None


def best_fit(
    model: KnownModel, spec: GpuSpec, gpus: int = 1, context_tokens: int = 8192
) -> Fit | None:
    """The best weights that leave room for ``context_tokens``; ``None`` where none do.

    Eight bits answer as well as sixteen, and four a little worse: so the smallest of eight or more
    wins over any of four, even at the cost of context. vLLM wins over llama.cpp. Raises
    ``UsageError`` where the GPUs cannot divide the model.
    """
    fits = [fit for variant in model.weights if (fit := _room(model, variant, spec, gpus))]
    enough = [fit for fit in fits if fit.longest_context_tokens >= context_tokens]
    best = max(enough, key=_preference, default=None)
    return _with_speed(best, model, spec) if best else None


def _preference(fit: Fit) -> tuple[bool, bool, int]:
    return fit.engine == "vllm", fit.variant.format not in _FOUR_BITS, -fit.weights_bytes


def fit_of(model: KnownModel, variant: Variant, spec: GpuSpec, gpus: int = 1) -> Fit | None:
    """How one form of the weights fits; ``None`` where no engine runs it on this GPU."""
    fit = _room(model, variant, spec, gpus)
    return _with_speed(fit, model, spec) if fit else None


def _room(model: KnownModel, variant: Variant, spec: GpuSpec, gpus: int) -> Fit | None:
    """The fit without its speed, which is only worth predicting for what is shown."""
    if variant.format == "gguf":
        return _llama_fit(model, variant, spec) if gpus == 1 else None
    if not runs(variant, spec):
        return None
    check_tensor_parallel(model.architecture, gpus)
    memory = _vllm_memory(model, variant, spec, gpus)
    if memory is None:
        return None
    return Fit(
        variant=variant,
        engine="vllm",
        gpus=gpus,
        weights_bytes=memory.weights_bytes * gpus,
        longest_context_tokens=longest_context(
            model.architecture,
            _one_request(gpus),
            memory.kv_cache_bytes,
            model.max_context_tokens,
        ),
    )


def runs(variant: Variant, spec: GpuSpec) -> bool:
    """Whether vLLM serves this form on this GPU, in its own type or widened by Marlin."""
    return variant.made_for in (None, spec.vendor) and not why_not(variant.format, spec)


def _vllm_memory(
    model: KnownModel, variant: Variant, spec: GpuSpec, gpus: int
) -> VllmMemory | None:
    total = spec.usable_bytes
    if total is None:
        return None
    return vllm_memory(
        model.architecture,
        precision_of(variant.format, model.architecture),
        _one_request(gpus),
        visible_bytes(total),
        variant.weights_bytes,
    )


def _one_request(gpus: int) -> VllmSettings:
    return VllmSettings(max_model_len=2048, max_num_seqs=1, tensor_parallel_size=gpus)


def _with_speed(fit: Fit, model: KnownModel, spec: GpuSpec) -> Fit:
    hardware, architecture = Hardware.of(spec), model.architecture
    if hardware is None or fit.engine != "vllm":
        return fit
    load = load_of(architecture, precision_of(fit.variant.format, architecture), fit.gpus)
    speed, _ = predict(load, hardware, Traffic(1, prompt_tokens=4096, answer_tokens=256))
    return replace(fit, decode_tokens_per_s=1 / speed.token_s.expected)


def _llama_fit(model: KnownModel, variant: Variant, spec: GpuSpec) -> Fit | None:
    """All layers on the GPU, the cache in 16 bits."""
    total = spec.usable_bytes
    if total is None or (variant.file != "Q4_K_M" and variant.weights_bytes is None):
        return None
    weights = variant.weights_bytes or _q4_k_m_bytes(model.architecture)
    served = replace(model.model(variant), weights_bytes=weights)
    budget = total - _LLAMA_CONTEXT_BYTES

    def fits(tokens: int) -> bool:
        cache = LlamaCache(max_model_len=tokens, parallel=1, n_ubatch=512)
        return llama_memory(served, cache, budget).total_bytes <= budget

    return Fit(
        variant=variant,
        engine="llama.cpp",
        gpus=1,
        weights_bytes=weights,
        longest_context_tokens=_largest(fits, model.max_context_tokens),
    )


def _q4_k_m_bytes(architecture: Architecture) -> int:
    count = count_weights(architecture)
    stored = count.always_read + count.experts + 2 * count.embedding + count.per_layer_embedding
    return int(stored * _Q4_K_M_BITS / 8)


def _largest(fits: Callable[[int], bool], limit: int) -> int:
    """The largest number up to ``limit`` that fits, 0 where none does."""
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        if fits(middle):
            low = middle
        else:
            high = middle - 1
    return low
