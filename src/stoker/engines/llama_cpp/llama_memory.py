"""Where llama.cpp's memory goes: weights, one cache for all slots, and the compute buffers.

The sizes are those that llama.cpp b11549 prints while it loads (``llama_kv_cache``,
``sched_reserve``), checked against it in the engine tests.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from stoker.models import Architecture, AttentionLayers, Model
from stoker.planning.formatting import MIB
from stoker.planning.parameter_count import count_weights
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
    #: Tokens that the model's own head drafts before each step; 0 leaves the head out.
    drafts: int = 0


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
    # A state can't be taken back: one more is kept for each draft that may turn out wrong.
    kept = cache.parallel * (1 + cache.drafts)
    return int(kv + states * kept + _head_cache_bytes(architecture, cache))


def _head_cache_bytes(architecture: Architecture, cache: LlamaCache) -> float:
    """The cache of the head that drafts: its blocks attend to all, in 16 bits whatever the other
    cache has (``common_base_params_to_speculative``)."""
    if not cache.drafts:
        return 0
    whole = [g for g in architecture.attention if g.kind in ("full", "latent")]
    group = whole[0] if whole else architecture.attention[0]
    elements = architecture.num_mtp_layers * group.kv_elements_per_token
    return elements * CACHE_TYPE_BYTES["f16"] * _cells(replace(group, kind="full"), cache)


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


def loaded_bytes(model: Model) -> int:
    """The weights that are loaded where nothing is drafted. The model's size must be known."""
    if model.weights_bytes is None:
        raise ValueError(f"{model.id}: its size is not known")
    return model.weights_bytes - (model.mtp_head_bytes or 0)


def head_bytes(model: Model) -> int:
    """The weights of the head that drafts: measured, or else those of one block and the projection
    in front of it, as narrow as the rest."""
    if model.mtp_head_bytes is not None:
        return model.mtp_head_bytes
    architecture = model.architecture
    if architecture is None:
        return 0
    count = count_weights(architecture)
    block = (count.always_read + count.experts) / architecture.num_layers
    weights = architecture.num_mtp_layers * (block + 2 * architecture.hidden_size**2)
    return int(loaded_bytes(model) * weights / count.total)


def llama_memory(model: Model, cache: LlamaCache, budget_bytes: int) -> MemoryPrediction:
    """The memory of ``model`` in llama.cpp on a CPU. Its size and architecture must be known."""
    architecture = model.architecture
    if architecture is None:
        raise ValueError(f"{model.id}: its architecture is not known")
    weights = loaded_bytes(model) + (head_bytes(model) if cache.drafts else 0)
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
    # The head that drafts has a context of its own. Its buffers take three quarters of the others'
    # (b11549, one block in both).
    contexts = 2 if cache.drafts else 1
    return contexts * (activations + mask)
