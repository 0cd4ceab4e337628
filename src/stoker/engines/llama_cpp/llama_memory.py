"""Where llama.cpp's memory goes: weights, one cache for all slots, and the compute buffers.

The sizes are those that llama.cpp b11549 prints while it loads (``llama_kv_cache``,
``sched_reserve``), checked against it in the engine tests.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from stoker.models import Architecture, AttentionLayers, Model
from stoker.planning.formatting import MIB
from stoker.planning.serving_plan import MemoryPrediction

#: The cells of a slot are a multiple of this (``llama_context``, ``llama_kv_cache_iswa``).
_CELLS = 256
#: Bytes for one element of the cache: ``ggml_type_size / ggml_blck_size`` (ggml.c).
CACHE_TYPE_BYTES = {"f16": 2.0, "q8_0": 34 / 32, "q4_0": 18 / 32}
#: The Python process around the engine, its tokenizer and its HTTP server. Measured: 150 MiB for
#: Qwen2.5's 152,000 tokens.
_PROCESS_BYTES = 150 * MIB
#: Tensors that llama.cpp repacks for the CPU's vector units are held twice. Measured: 28 of 463 MiB
#: for a Q4_K_M file, of which few tensors qualify; Q4_0 files are repacked whole.
_REPACKED = {"Q4_0": 1.0, "IQ4_NL": 1.0}
_REPACKED_OTHERS = 0.07


@dataclass(frozen=True, slots=True)
class LlamaCache:
    """What the cache is asked to hold. ``cache_type`` is llama.cpp's name for the element type."""

    max_model_len: int
    parallel: int
    n_ubatch: int
    cache_type: str = "f16"


def llama_kv_cache_bytes(architecture: Architecture, cache: LlamaCache) -> int:
    """The cache of all slots, in bytes.

    Sliding and chunked layers keep their window and one batch for each slot
    (``llama_kv_cache_iswa``, without ``swa_full``); every other layer keeps the whole context.
    Recurrent layers keep one state of 32-bit numbers for each slot.
    """
    element = CACHE_TYPE_BYTES[cache.cache_type]
    kv = sum(
        group.num_layers * group.kv_elements_per_token * element * _cells(group, cache)
        for group in architecture.attention
    )
    states = sum(
        group.num_layers * 4 * (group.state_elements + group.conv_elements)
        for group in architecture.recurrent
    )
    return int(kv + states * cache.parallel)


def slot_bytes_per_token(architecture: Architecture, cache_type: str) -> float | None:
    """Bytes of a token in a file that a slot is saved to.

    ``None`` where some layer does not keep the whole context. A file then holds only the end of it
    for this layer, and a prompt that shares less than the file holds is read from its beginning.
    """
    if architecture.recurrent or any(group.kind != "full" for group in architecture.attention):
        return None
    elements = sum(
        group.num_layers * group.kv_elements_per_token for group in architecture.attention
    )
    return elements * CACHE_TYPE_BYTES[cache_type] or None


def _cells(group: AttentionLayers, cache: LlamaCache) -> int:
    kept = cache.max_model_len
    if group.kind in ("sliding", "chunked") and group.window_tokens:
        kept = min(kept, group.window_tokens + cache.n_ubatch)
    return _CELLS * math.ceil(kept / _CELLS) * cache.parallel


def llama_memory(model: Model, cache: LlamaCache, budget_bytes: int) -> MemoryPrediction:
    """The memory of ``model`` in llama.cpp on a CPU. Its size and architecture must be known."""
    architecture, weights = model.architecture, model.weights_bytes
    if architecture is None or weights is None:
        raise ValueError(f"{model.id}: size or architecture is not known")
    repacked = _REPACKED.get((model.quantization or "").upper(), _REPACKED_OTHERS)
    return MemoryPrediction(
        weights_bytes=weights,
        kv_cache_bytes=llama_kv_cache_bytes(architecture, cache),
        overhead_bytes=int(weights * repacked + _compute(architecture, cache) + _PROCESS_BYTES),
        budget_bytes=budget_bytes,
    )


def _compute(architecture: Architecture, cache: LlamaCache) -> float:
    """Activations of one batch, and the attention mask, as ``sched_reserve`` lays them out.

    A batch holds its hidden states, queries and the widest feed-forward output at once, in 32 bits;
    the mask is 16 bits wide. Measured with Qwen2.5-Coder-0.5B: 69 MiB at a context of 32,768.
    """
    widest = architecture.intermediate_size or 4 * architecture.hidden_size
    query = architecture.num_attention_heads * architecture.head_dim
    activations = 4 * cache.n_ubatch * (2 * widest + 4 * architecture.hidden_size + 2 * query)
    mask = 2 * cache.n_ubatch * cache.max_model_len
    return activations + mask
