"""Read the shape of a model from its ``config.json``, as published on the model hub.

One reader serves a folder, the hub and the offline catalogue, so that all three agree. Model
families spell the same thing in many ways; the spellings are those of the configuration classes
in ``transformers`` and of the models in vLLM (``vllm/model_executor/models``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stoker.errors import StokerError
from stoker.models import recurrent_layers
from stoker.models.layer_kinds import (
    FeedForward,
    LayerKind,
    attention_free,
    family,
    layer_kinds,
    listed_values,
    unknown_layers,
    window_tokens,
    without_attention,
)
from stoker.models.model import Architecture, AttentionLayers, Experts, RecurrentLayers

Config = Mapping[str, Any]

#: Where multimodal models keep the language model's part, or the part that holds it.
_TEXT_PARTS = (
    "text_config",
    "llm_config",
    "llm_cfg",
    "language_config",
    "language_model",
    "text_model",
    "thinker_config",
)
_LAYER_COUNTS = ("num_hidden_layers", "n_layer", "num_layers", "num_transformer_layers")
_MOE_COUNT = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
_MOE_TOP_K = (
    "num_experts_per_tok",
    "num_experts_per_token",
    "top_k_experts",
    "experts_per_token",
    "moe_k",
    "moe_topk",
    "moe_top_k",
)
#: Facts of the whole model: a list of them is not a value for each layer.
_ONE_FOR_ALL = frozenset({*_LAYER_COUNTS, "hidden_size", "vocab_size", "kv_lora_rank"})
#: Models have at most a few hundred; a list of each is made.
_MOST_LAYERS = 10_000
_MOE_STEP = ("interleave_moe_layer_step", "decoder_sparse_step", "moe_layer_interval")
#: The first layers that do not route.
_MOE_START = (
    "first_k_dense_replace",
    "num_dense_layers",
    "moe_layer_start_index",
    "moe_layer_num_skipped",
)
_MAMBA_HEADS = ("mamba_num_heads", "mamba_n_heads", "n_mamba_heads")
_MAMBA_STATE = ("ssm_state_size", "mamba_d_state")
_MAMBA_KERNEL = ("conv_kernel", "mamba_d_conv")


def architecture_from_config(config: Config) -> Architecture:
    """The architecture that a parsed config.json describes.

    Raises ``StokerError`` naming the field where one that is needed is missing or contradicts
    another. Nothing is guessed: what is not in config.json stays ``None`` or empty.
    """
    text = text_part(config)
    if attention_free(text):
        raise unknown_layers(text)
    num_layers = _num_layers(text)
    hidden_size = _positive(text, "hidden_size", "n_embd", "d_model", "model_dim")
    heads = _positive(text, "num_attention_heads", "n_head", "num_query_heads")
    kv_heads = _kv_heads(text, heads, num_layers)
    head_dim = _head_dim(text, hidden_size, heads)
    blocks = _Blocks(text, num_layers, kv_heads, head_dim, layer_kinds(text, num_layers))
    experts = _experts(text, blocks)
    attention = _attention(text, blocks)
    main = max(attention, key=lambda group: group.num_layers, default=None)
    return Architecture(
        family=str(config.get("model_type") or text.get("model_type") or "unknown"),
        class_name=_class_name(config, text),
        num_layers=num_layers,
        hidden_size=hidden_size,
        num_attention_heads=heads,
        num_kv_heads=main.num_kv_heads if main else max(kv_heads),
        head_dim=head_dim,
        vocab_size=_positive(text, "vocab_size", "padded_vocab_size"),
        intermediate_size=_dense_intermediate(text),
        max_position_embeddings=_first(
            text, "max_position_embeddings", "n_positions", "seq_length", "max_seq_len"
        ),
        tie_word_embeddings=_tied(config, text),
        attention=attention,
        recurrent=_recurrent(text, blocks, hidden_size),
        experts=experts,
        num_dense_layers=_num_dense_layers(text, blocks, experts),
        num_mtp_layers=_mtp_layers(text),
        ngram_tables=_ngram_tables(text, hidden_size),
        raw=dict(text),
    )


@dataclass(frozen=True, slots=True)
class _Blocks:
    """The text part of config.json, and the numbers that most readers need."""

    text: Config
    num_layers: int
    #: Of each block.
    num_kv_heads: tuple[int, ...]
    head_dim: int
    kinds: tuple[LayerKind, ...]

    @property
    def attending(self) -> Counter[tuple[str, int]]:
        """How many blocks keep keys and values in each way: the kind and the number of heads."""
        # Gemma 3n and 4: the last layers read the cache of earlier ones and keep none.
        own = self.num_layers - (_first(self.text, "num_kv_shared_layers") or 0)
        kinds = [k if i < own else without_attention(k) for i, k in enumerate(self.kinds)]
        pairs = zip(kinds, self.num_kv_heads, strict=True)
        return Counter((kind.attention, heads) for kind, heads in pairs if kind.attention and heads)

    @property
    def num_recurrent(self) -> int:
        """How many blocks keep a state."""
        return sum(kind.recurrent for kind in self.kinds)

    def of(self, feed_forward: FeedForward) -> int:
        """How many blocks are a feed-forward part of this kind and nothing else."""
        return [kind.feed_forward for kind in self.kinds].count(feed_forward)


# --- attention ---------------------------------------------------------------------------------


def _attention(text: Config, blocks: _Blocks) -> tuple[AttentionLayers, ...]:
    if text.get("compress_ratios"):
        return _compressed(text, blocks)
    if text.get("block_configs"):
        return _searched(text, blocks)
    if text.get("kv_lora_rank"):
        return (_latent(text, blocks.attending.total()),)
    groups = [
        _group(text, blocks, kind, heads, number)
        for (kind, heads), number in blocks.attending.items()
    ]
    return tuple(sorted(groups, key=lambda group: (group.kind, group.num_kv_heads)))


def _latent(text: Config, num_layers: int) -> AttentionLayers:
    """Multi-head latent attention (DeepSeek V2 and later), with the V3.2 indexer where it is."""
    rope_dim = _first(text, "qk_rope_head_dim")
    if rope_dim is None:
        raise _missing("qk_rope_head_dim")
    return AttentionLayers(
        kind="latent",
        num_layers=num_layers,
        num_kv_heads=1,
        key_dim=int(text["kv_lora_rank"]) + rope_dim,
        value_dim=0,
        index_dim=_first(text, "index_head_dim") or 0,
    )


def _compressed(text: Config, blocks: _Blocks) -> tuple[AttentionLayers, ...]:
    """DeepSeek V4: each layer keeps a short window, and most also one entry for n tokens.

    V4.1 names the layers that keep entries; the others read those of the last one before them.
    """
    ratios = listed_values(text, "compress_ratios")[: blocks.num_layers]
    sources = listed_values(text, "kv_source_layer_ids")
    kept = Counter(r if not sources or i in sources else 0 for i, r in enumerate(ratios))
    window = _first(text, "sliding_window")
    groups = []
    for ratio, number in sorted(kept.items()):
        groups.append(
            AttentionLayers(
                kind="compressed" if ratio else "sliding",
                num_layers=number,
                num_kv_heads=1,
                key_dim=blocks.head_dim,
                value_dim=0,
                window_tokens=window,
                compress_ratio=ratio or 1,
                # Layers that compress by 4 choose entries with an indexer, which keeps keys of
                # its own; layers that compress by 128 read every entry (DeepSeek V4's CSA, HCA).
                # V4.1 chooses everywhere, by keys of the layers that keep entries.
                index_dim=(_first(text, "index_head_dim") or 0)
                if ratio == 4 or (ratio and sources)
                else 0,
            )
        )
    return tuple(groups)


def _searched(text: Config, blocks: _Blocks) -> tuple[AttentionLayers, ...]:
    """Nemotron-NAS: architecture search chose each block's attention, or none."""
    per_group = Counter(
        block["attention"]["n_heads_in_group"]
        for block in listed_values(text, "block_configs")
        if block["attention"].get("n_heads_in_group")
    )
    heads = _positive(text, "num_attention_heads")
    return tuple(
        AttentionLayers("full", number, heads // size, blocks.head_dim, blocks.head_dim)
        for size, number in sorted(per_group.items())
    )


def _group(text: Config, blocks: _Blocks, kind: str, kv_heads: int, number: int) -> AttentionLayers:
    if kind == "sliding":
        return AttentionLayers(
            kind="sliding",
            num_layers=number,
            num_kv_heads=_first(text, "swa_num_key_value_heads") or kv_heads,
            key_dim=(key := _first(text, "swa_head_dim") or blocks.head_dim),
            value_dim=_first(text, "swa_v_head_dim") or key,
            window_tokens=window_tokens(text),
        )
    if kind == "chunked":
        return AttentionLayers(
            "chunked",
            number,
            kv_heads,
            blocks.head_dim,
            blocks.head_dim,
            window_tokens=_first(text, "attention_chunk_size"),
        )
    # Gemma 4's global layers have heads of their own width and number.
    key = _first(text, "global_head_dim") or blocks.head_dim
    return AttentionLayers(
        kind="full",
        num_layers=number,
        num_kv_heads=_first(text, "num_global_key_value_heads") or kv_heads,
        key_dim=key,
        value_dim=_first(text, "v_head_dim") or key,
        # Qwen4 keeps one key of the indexer for some tokens: its share of each.
        index_dim=(_first(text, "indexer_head_dim") or 0)
        // (_first(text, "indexer_compress_ratio") or 1),
    )


# --- recurrent layers ----------------------------------------------------------------------------


def _recurrent(text: Config, blocks: _Blocks, hidden: int) -> tuple[RecurrentLayers, ...]:
    """The layers that keep a state. Which kind they are shows in the fields that give its shape."""
    number = blocks.num_recurrent
    if not number:
        return ()
    found = _linear(text, blocks, hidden) or _mamba(text, number, hidden)
    if found is None:
        raise unknown_layers(text)
    return (found,)


def _linear(text: Config, blocks: _Blocks, hidden: int) -> RecurrentLayers | None:
    """Linear attention: what takes the place of attention is as wide as it."""
    number = blocks.num_recurrent
    if linear := text.get("linear_attn_config"):
        return _kda(linear, number, hidden)
    if text.get("linear_num_value_heads"):
        return _gated_delta(text, number, hidden)
    if family(text).startswith("bailing") and text.get("short_conv_kernel_size"):
        return _ling3(text, number, hidden, head_dim=blocks.head_dim)
    if text.get("attn_type_list") or family(text).startswith(("minimax", "bailing")):
        heads, dim = _positive(text, "num_attention_heads"), blocks.head_dim
        return recurrent_layers.lightning(number, hidden, heads=heads, head_dim=dim)
    return None


def _mamba(text: Config, number: int, hidden: int) -> RecurrentLayers | None:
    """State spaces, and the convolutions and recurrences that are built like them."""
    if kernel := _first(text, "conv_L_cache"):
        return recurrent_layers.short_conv(number, hidden, kernel=kernel)
    if family(text) == "recurrent_gemma":
        width, kernel = _first(text, "lru_width") or hidden, _positive(text, "conv1d_width")
        return recurrent_layers.rg_lru(number, hidden, width=width, kernel=kernel)
    # Zamba's first generation has heads of Mamba-1, whose state is the same in all.
    if _first(text, *_MAMBA_HEADS) and family(text) != "zamba":
        return _mamba2(text, number, hidden)
    return _mamba1(text, number, hidden) if text.get("mamba_d_state") else None


def _kda(linear: Config, number: int, hidden: int) -> RecurrentLayers:
    return recurrent_layers.kda(
        number,
        hidden,
        heads=_positive(linear, "num_heads"),
        head_dim=_positive(linear, "head_dim"),
        kernel=_positive(linear, "short_conv_kernel_size"),
        full_gates=1 if linear.get("use_full_rank_gate") else 0,
    )


def _ling3(text: Config, number: int, hidden: int, *, head_dim: int) -> RecurrentLayers:
    """Ling 3.0: delta attention with the heads of the layers that attend, and wide gates."""
    return recurrent_layers.kda(
        number,
        hidden,
        heads=_positive(text, "num_attention_heads"),
        head_dim=head_dim,
        kernel=_positive(text, "short_conv_kernel_size"),
        full_gates=2,
    )


def _gated_delta(text: Config, number: int, hidden: int) -> RecurrentLayers:
    heads, key_dim = (
        _positive(text, "linear_num_value_heads"),
        _positive(text, "linear_key_head_dim"),
    )
    return recurrent_layers.gated_delta(
        number,
        hidden,
        key=_positive(text, "linear_num_key_heads") * key_dim,
        value=heads * _positive(text, "linear_value_head_dim"),
        heads=heads,
        key_dim=key_dim,
        kernel=_positive(text, "linear_conv_kernel_dim"),
        state_dtype=text.get("mamba_ssm_dtype"),
    )


def _mamba2(text: Config, number: int, hidden: int) -> RecurrentLayers:
    heads = _positive(text, *_MAMBA_HEADS)
    return recurrent_layers.mamba2(
        number,
        hidden,
        inner=_mamba2_width(text, heads, hidden),
        heads=heads,
        state=_positive(text, *_MAMBA_STATE),
        groups=_positive(text, "n_groups", "mamba_n_groups", "mamba_ngroups"),
        kernel=_positive(text, *_MAMBA_KERNEL),
        state_dtype=text.get("mamba_ssm_cache_dtype"),
    )


def _mamba2_width(text: Config, heads: int, hidden: int) -> int:
    """The width of all heads: their own times their number, or the expanded hidden size where
    the first is "auto" (BambaConfig, GraniteMoeHybridConfig) or absent (Zamba2Config)."""
    fields = {name: value for name, value in text.items() if value != "auto"}
    dim = _first(fields, "mamba_head_dim", "mamba_d_head", "mamba_headdim")
    return heads * dim if dim else _positive(text, "mamba_expand") * hidden


def _mamba1(text: Config, number: int, hidden: int) -> RecurrentLayers:
    rank = text.get("mamba_dt_rank")
    return recurrent_layers.mamba1(
        number,
        hidden,
        inner=_positive(text, "mamba_expand") * hidden,
        state=_positive(text, *_MAMBA_STATE),
        kernel=_positive(text, *_MAMBA_KERNEL),
        dt_rank=rank if isinstance(rank, int) else -(-hidden // 16),
    )


# --- feed-forward parts --------------------------------------------------------------------------


def _experts(text: Config, blocks: _Blocks) -> Experts | None:
    number = _first(text, *_MOE_COUNT)
    if not number or number == 1:
        return None
    top_k = _first(text, *_MOE_TOP_K)
    if top_k is None:
        raise _missing("num_experts_per_tok")
    if top_k > number:
        raise _contradiction("num_experts_per_tok", top_k, "num_experts", number)
    width = _expert_width(text, number)
    return Experts(
        num_experts=number,
        experts_per_token=top_k,
        intermediate_size=width,
        num_layers=_routed_layers(text, blocks),
        shared_intermediate_size=_shared_width(
            text, _first(text, "moe_intermediate_size") or width
        ),
        latent_size=_first(text, "moe_latent_size", "routed_expert_hidden_size"),
    )


def _expert_width(text: Config, number: int) -> int:
    """The width of one of ``number`` experts, so that they hold what all experts hold."""
    numbers, widths = text.get("moe_num_experts"), text.get("moe_intermediate_size")
    if isinstance(numbers, list) and isinstance(widths, list) and len(numbers) == len(widths):
        # ERNIE 4.5 VL has experts for text and others for images.
        held = sum(n * w for n, w in zip(_whole(numbers), _whole(widths), strict=True))
        return -(-held // number)
    width = _first(text, "moe_intermediate_size", "expert_ffn_hidden_size", "intermediate_size")
    if width is None:
        raise _missing("moe_intermediate_size")
    return width


def _shared_width(text: Config, expert_width: int) -> int:
    named = _first(
        text,
        "shared_expert_intermediate_size",
        "moe_shared_expert_intermediate_size",
        "share_expert_dim",
        "shared_intermediate_size",
    )
    if named is not None:
        return named
    names = ("n_shared_experts", "num_shared_experts", "num_shared_expert")
    number = _first(text, *names, "moe_num_shared_experts") or 0
    if family(text).startswith("llama4"):
        number = 1  # Llama4TextMoe always has one shared expert of the same width.
    return number * expert_width


def _routed_layers(text: Config, blocks: _Blocks) -> int:
    total = blocks.num_layers
    if number := blocks.of("moe"):
        return number
    if listed := text.get("mlp_layer_types"):
        return sum(kind == "sparse" for kind in listed[:total])
    frequency = text.get("moe_layer_freq")
    if isinstance(frequency, list):
        return sum(bool(flag) for flag in frequency[:total])
    if listed := text.get("moe_layers_enum"):
        return len(str(listed).split(",") if isinstance(listed, str) else listed)
    if period := _first(text, "expert_layer_period"):  # JambaConfig
        return sum(i % period == (_first(text, "expert_layer_offset") or 0) for i in range(total))
    step = _first(text, *_MOE_STEP) or 1
    dense = _first(text, *_MOE_START, most=min) or 0
    skipped = listed_values(text, "mlp_only_layers")
    return sum((i + 1) % step == 0 and i >= dense and i not in skipped for i in range(total))


def _num_dense_layers(text: Config, blocks: _Blocks, experts: Experts | None) -> int:
    if blocks.of("moe") or blocks.of("mlp"):
        return blocks.of("mlp")
    if experts is None or text.get("enable_moe_block"):
        # Gemma 4 puts the experts beside a dense part in every layer.
        return blocks.num_layers
    return blocks.num_layers - experts.num_layers


def _dense_intermediate(text: Config) -> int | None:
    return _first(
        text, "dense_intermediate_size", "intermediate_size_mlp", "intermediate_size", "n_inner"
    )


# --- the rest ------------------------------------------------------------------------------------


def text_part(config: Config, depth: int = 3) -> Config:
    """The part of a config.json that is about the language model.

    Multimodal models keep it in a part of its own, some one level deeper (Qwen3-Omni has
    ``thinker_config.text_config``).
    """
    named = [part for name in _TEXT_PARTS if isinstance(part := config.get(name), Mapping)]
    found = [text_part(part, depth - 1) for part in named if depth]
    whole = (part for part in (*found, config) if any(part.get(name) for name in _LAYER_COUNTS))
    return next(whole, found[0] if found else config)


def _num_layers(text: Config) -> int:
    if blocks := listed_values(text, "layers_block_type"):
        return len(blocks)
    number = _positive(text, *_LAYER_COUNTS)
    if number > _MOST_LAYERS:
        raise StokerError(
            f"config.json gives {number:,} layers.",
            f"No model has more than {_MOST_LAYERS:,}.",
            "Use the config.json of the original model.",
        )
    return number


def _class_name(config: Config, text: Config) -> str | None:
    names = listed_values(config, "architectures") or listed_values(text, "architectures")
    return str(names[0]) if names else None


def _kv_heads(text: Config, heads: int, num_layers: int) -> tuple[int, ...]:
    """The key-value heads of each layer; 0 where a layer has none."""
    # FalconConfig's new architecture names the heads and leaves the older flag set.
    if text.get("multi_query") is True and not text.get("new_decoder_architecture"):
        return (1,) * num_layers
    names = ("num_key_value_heads", "num_key_value_heads_per_layer", "num_kv_heads")
    # DeciLM and OpenELM give them for each layer.
    listed = next((text[name] for name in names if isinstance(text.get(name), list)), None)
    if listed is not None and len(listed) < num_layers:
        raise _contradiction(names[0], len(listed), "num_hidden_layers", num_layers)
    if listed is not None:
        return tuple(_whole(listed)[:num_layers])
    kv_heads = _first(text, *names, "multi_query_group_num", "num_attention_groups") or heads
    if heads % kv_heads:
        raise _contradiction("num_attention_heads", heads, "num_key_value_heads", kv_heads)
    return (kv_heads,) * num_layers


def _head_dim(text: Config, hidden_size: int, heads: int) -> int:
    head_dim = _first(text, "head_dim", "attention_head_dim", "kv_channels")
    if head_dim is not None:
        return head_dim
    if text.get("qk_nope_head_dim") and text.get("qk_rope_head_dim"):
        return int(text["qk_nope_head_dim"]) + int(text["qk_rope_head_dim"])
    if family(text).startswith("zamba"):
        # Its shared attention reads the layer's input beside the embedding (Zamba2Config).
        hidden_size *= 2
    if hidden_size % heads:
        raise _contradiction("hidden_size", hidden_size, "num_attention_heads", heads)
    return hidden_size // heads


def _tied(config: Config, text: Config) -> bool | None:
    # transformers writes it at the top for multimodal models.
    tied = config.get("tie_word_embeddings", text.get("tie_word_embeddings"))
    return None if tied is None else bool(tied)


def _mtp_layers(text: Config) -> int:
    names = ("num_nextn_predict_layers", "mtp_num_hidden_layers", "num_mtp_modules")
    if text.get("use_mtp") is False:
        return 0
    return _first(text, *names) or 0


def _ngram_tables(text: Config, hidden: int) -> tuple[int, ...]:
    """DeepSeek V4.1 gives the rows of each table. Qwen4 gives the least rows of a head, and all
    heads together are ``ple_embed_dim`` wide; primes and padding add five rows to a million."""
    rows = [number for number in _whole(listed_values(text, "engram_num_embeddings")) if number]
    if rows:
        width = _positive(text, "engram_head_dim")
        return tuple(number * width for number in rows)
    layers = listed_values(text, "ple_layer_ids")
    if not layers:
        return ()
    width = _first(text, "ple_embed_dim") or hidden
    return (_positive(text, "ngram_vocab_size_base") * width,) * len(layers)


def _first(text: Config, *names: str, most: Callable[[list[int]], int] = max) -> int | None:
    """The first of ``names`` that has a number, which must be a whole one.

    Some families give a number for each layer. Where those differ it is the largest, so that
    nothing is planned too small, or what ``most`` chooses.
    """
    for name in names:
        value = text.get(name)
        numbers: list[Any] = [value]
        if isinstance(value, list) and name not in _ONE_FOR_ALL:
            numbers = [number for number in value if number is not None]
        if value is None or (value and not numbers):
            continue
        if not numbers or not all(_is_whole(number) for number in numbers):
            raise StokerError(
                f"config.json gives {name} as {repr(value)[:60]}.",
                "It must be a whole number.",
                "Check the file against the model's page, or download it again.",
            )
        return most(numbers)
    return None


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _whole(values: list[Any]) -> list[int]:
    """The whole numbers of a list, 0 in place of what is none."""
    return [value if _is_whole(value) else 0 for value in values]


def _positive(text: Config, *names: str) -> int:
    value = _first(text, *names)
    if not value:
        raise _missing(names[0])
    return value


def _missing(name: str) -> StokerError:
    return StokerError(
        f"config.json lacks {name}.",
        "Memory and speed cannot be predicted without it.",
        "Use the config.json of the original model, or add the field.",
    )


def _contradiction(
    name: str, value: int, other: str, other_value: int | Sequence[int]
) -> StokerError:
    return StokerError(
        f"config.json contradicts itself: {name} is {value} and {other} is {other_value}.",
        "A model of that shape cannot exist.",
        "Use the config.json of the original model.",
    )
