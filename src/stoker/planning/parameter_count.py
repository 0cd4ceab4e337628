"""How many weights a model has, part by part, counted from its shape.

What a part weighs depends on where quantization stops: embeddings, the output head, routers and
norms stay wide in nearly every published checkpoint. What a token costs depends on which parts it
passes through. Both need the parts apart, which is why they are counted and not guessed from the
total.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stoker.errors import StokerError
from stoker.models import Architecture, AttentionLayers, Experts, Model

#: Families whose feed-forward part has two matrices (up, down) in place of three (gate, up, down).
_UNGATED_FAMILIES = frozenset(
    {"starcoder2", "gpt2", "gpt_bigcode", "gpt_neox", "phi", "mpt", "bloom", "nemotron_h"}
)
#: Families whose configuration class ties the output head to the embedding by default.
_TIED_FAMILIES = ("gemma", "cohere", "starcoder2", "gpt2", "gpt_bigcode")


@dataclass(frozen=True, slots=True)
class WeightCount:
    """Parameters by part. ``experts`` counts all routed experts of all layers."""

    #: The input embedding, and the output head of the same size.
    embedding: int
    #: With what mixes several residual streams and brings looked-up rows into them.
    attention: int
    recurrent: int
    dense: int
    shared_experts: int
    experts: int
    routers: int
    #: The output head is the embedding, stored once.
    tied: bool
    #: Embeddings that Gemma 3n and 4 look up again in every layer.
    per_layer_embedding: int = 0
    #: Embeddings that are looked up by the last tokens together.
    ngram_embedding: int = 0

    @property
    def total(self) -> int:
        """All parameters that are stored."""
        embeddings = self.embedding * (1 if self.tied else 2) + self.per_layer_embedding
        return embeddings + self.ngram_embedding + self.always_read + self.experts

    @property
    def always_read(self) -> int:
        """What of the blocks every token passes through, whatever it is routed to."""
        return self.attention + self.recurrent + self.dense + self.shared_experts + self.routers


#: Counts by the identity of the shape, which each entry keeps alive: a choice among all models asks
#: for each of 100 shapes a dozen times. Equal shapes may differ in ``raw``.
_counted: dict[int, tuple[Architecture, WeightCount]] = {}
_MOST_COUNTED = 512


def count_weights(architecture: Architecture) -> WeightCount:
    """The parameters of a model of this shape, by part. Norms and biases are left out (< 0.1 %)."""
    found = _counted.get(id(architecture))
    if found is None:
        if len(_counted) >= _MOST_COUNTED:
            _counted.clear()
        found = _counted[id(architecture)] = (architecture, _count(architecture))
    return found[1]


def _count(architecture: Architecture) -> WeightCount:
    raw, hidden = architecture.raw, architecture.hidden_size
    experts = architecture.experts
    matrices = _feed_forward_matrices(architecture)
    tied = architecture.tie_word_embeddings
    if tied is None:
        tied = architecture.family.startswith(_TIED_FAMILIES)
    return WeightCount(
        embedding=architecture.vocab_size * hidden,
        attention=sum(_attention(group, architecture) for group in architecture.attention)
        + _sharing_attention(architecture)
        + _residual_streams(architecture),
        recurrent=sum(group.num_layers * group.weights for group in architecture.recurrent),
        dense=_dense(architecture, matrices),
        shared_experts=matrices * hidden * experts.shared_intermediate_size * experts.num_layers
        if experts
        else 0,
        experts=_routed(experts, hidden, matrices) if experts else 0,
        routers=experts.num_layers * experts.num_experts * hidden if experts else 0,
        tied=tied,
        per_layer_embedding=architecture.num_layers
        * _int(raw, "vocab_size_per_layer_input")
        * _int(raw, "hidden_size_per_layer_input"),
        ngram_embedding=sum(architecture.ngram_tables),
    )


def check_complete(model: Model) -> None:
    """Raise ``StokerError`` where the files hold less than the shape can mean: 1 bit a weight."""
    if model.architecture is None or model.weights_bytes is None:
        return
    total = count_weights(model.architecture).total
    if 8 * model.weights_bytes < total:
        raise StokerError(
            f"The files of {model.id} do not hold the model that its configuration describes.",
            f"{total:,} weights cannot be stored in {model.weights_bytes:,} bytes.",
            "Download the files again, or use the configuration that belongs to them.",
        )


def _feed_forward_matrices(architecture: Architecture) -> int:
    return 2 if architecture.family in _UNGATED_FAMILIES else 3


def _attention(group: AttentionLayers, architecture: Architecture) -> int:
    raw, hidden = architecture.raw, architecture.hidden_size
    if group.kind == "latent":
        one = _latent(raw, hidden, architecture.num_attention_heads)
    elif raw.get("compress_ratios"):
        one = _compressed(raw, architecture, group)
    else:
        heads = _query_heads(group, architecture)
        output = group.value_dim or group.key_dim
        gated = raw.get("attn_output_gate") or raw.get("output_gate_type")
        query = heads * group.key_dim * (2 if gated else 1)
        keys_values = group.num_kv_heads * (group.key_dim + group.value_dim)
        one = hidden * (query + keys_values + heads * output)
    return group.num_layers * one


def _sharing_attention(architecture: Architecture) -> int:
    """Queries and outputs of layers that read the keys and values of earlier ones (Gemma 4)."""
    sharing = _int(architecture.raw, "num_kv_shared_layers")
    width = architecture.num_attention_heads * architecture.head_dim
    return sharing * 2 * architecture.hidden_size * width


def _residual_streams(architecture: Architecture) -> int:
    """Qwen4's low-rank mixers before attention and experts, and a key for each stream and a value
    of the rows looked up (vLLM's ``qwen4_exp`` and ``deepseek_v41``)."""
    raw, hidden = architecture.raw, architecture.hidden_size
    streams = _int(raw, "hc_count", "hc_mult")
    mixers = 2 * architecture.num_layers * 2 * streams * hidden * _int(raw, "hc_lowrank")
    heads = (_int(raw, "engram_max_ngram_size") - 1) * _int(raw, "engram_n_heads")
    width = _int(raw, "ple_embed_dim") or heads * _int(raw, "engram_head_dim")
    return mixers + len(architecture.ngram_tables) * width * (streams + 1) * hidden


def _query_heads(group: AttentionLayers, architecture: Architecture) -> int:
    sliding = _int(architecture.raw, "swa_num_attention_heads")
    if group.kind == "sliding" and sliding:
        return sliding
    return architecture.num_attention_heads


def _latent(raw: Mapping[str, Any], hidden: int, heads: int) -> int:
    """One layer of multi-head latent attention (DeepSeek V2: arXiv:2405.04434, section 2.1)."""
    nope, rope = _int(raw, "qk_nope_head_dim"), _int(raw, "qk_rope_head_dim")
    value = _int(raw, "v_head_dim") or nope
    rank = _int(raw, "kv_lora_rank")
    query_rank = _int(raw, "q_lora_rank")
    per_query = heads * (nope + rope)
    query = (hidden + per_query) * query_rank if query_rank else hidden * per_query
    down = hidden * (rank + rope)
    up = rank * heads * (nope + value)
    indexer = query_rank * _int(raw, "index_n_heads") * _int(raw, "index_head_dim")
    return query + down + up + heads * value * hidden + indexer


def _compressed(raw: Mapping[str, Any], architecture: Architecture, group: AttentionLayers) -> int:
    """One layer of DeepSeek V4's attention: low-rank queries and outputs, one wide key."""
    hidden, heads = architecture.hidden_size, architecture.num_attention_heads
    query_rank = _int(raw, "q_lora_rank")
    query = query_rank * (hidden + heads * group.key_dim)
    output_rank, groups = _int(raw, "o_lora_rank"), _int(raw, "o_groups") or 1
    wide = heads * group.key_dim
    output = wide * output_rank + groups * output_rank * hidden if output_rank else wide * hidden
    compressor = 2 * hidden * group.key_dim if group.compress_ratio > 1 else 0
    indexer = query_rank * _int(raw, "index_n_heads") * group.index_dim
    return query + hidden * group.key_dim + output + compressor + indexer


def _dense(architecture: Architecture, matrices: int) -> int:
    blocks = architecture.raw.get("block_configs")
    if isinstance(blocks, list):
        return sum(_searched_width(architecture, block["ffn"]) for block in blocks)
    layers = architecture.num_dense_layers
    widths = architecture.raw.get("intermediate_size")
    if isinstance(widths, list) and layers == len(widths) == architecture.num_layers:
        return matrices * architecture.hidden_size * sum(widths)  # Gemma 3n: one for each layer
    if layers is None:
        layers = 0 if architecture.experts else architecture.num_layers
    return layers * matrices * architecture.hidden_size * (architecture.intermediate_size or 0)


def _searched_width(architecture: Architecture, ffn: Mapping[str, Any]) -> int:
    """Nemotron-NAS gives each block its own width, as a multiple of the hidden size."""
    hidden = architecture.hidden_size
    if ffn.get("no_op"):
        return 0
    if ffn.get("replace_with_linear"):
        return hidden * hidden
    width = int(2 * float(ffn["ffn_mult"]) * hidden / 3)
    return 3 * hidden * (width + -width % 256)


def _routed(experts: Experts, hidden: int, matrices: int) -> int:
    width = experts.latent_size or hidden
    one = matrices * width * experts.intermediate_size
    adapters = 2 * hidden * experts.latent_size if experts.latent_size else 0
    return experts.num_layers * (experts.num_experts * one + adapters)


def _int(raw: Mapping[str, Any], *names: str) -> int:
    return next((int(raw[name]) for name in names if raw.get(name) is not None), 0)
