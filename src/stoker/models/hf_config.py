"""Read the shape of a model from its ``config.json``, as published on the model hub.

One reader serves a folder, the hub and the offline catalogue, so that all three agree. Model
families spell the same thing in many ways; the spellings are those of the configuration classes
in ``transformers`` and of the models in vLLM (``vllm/model_executor/models``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stoker.errors import StokerError
from stoker.models.model import Architecture, AttentionLayers, Experts, RecurrentLayers

Config = Mapping[str, Any]

#: Where multimodal models keep the language model's part.
_TEXT_PARTS = ("text_config", "llm_config", "language_config")
_MOE_COUNT = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
_MOE_TOP_K = (
    "num_experts_per_tok",
    "num_experts_per_token",
    "top_k_experts",
    "experts_per_token",
    "moe_k",
    "moe_topk",
)
#: Families in which each n-th layer sees the whole context, where config.json does not give n.
#: Source: the defaults of Gemma2Config, Gemma3TextConfig and Cohere2Config in transformers.
_FULL_EVERY = {"gemma2": 2, "gemma3_text": 6, "gemma3": 6, "cohere2": 4}
#: Letters of Nemotron-H's ``hybrid_override_pattern`` (configuration_nemotron_h.py).
_NEMOTRON_LETTERS = {"M": "mamba", "*": "attention", "E": "moe", "-": "mlp"}
_FULL_NAMES = {"full_attention", "attention", "global_attention", "full", "global"}
_SLIDING_NAMES = {"sliding_attention", "sliding", "local_attention"}


def architecture_from_config(config: Config) -> Architecture:
    """The architecture that a parsed config.json describes.

    Raises ``StokerError`` naming the field where one that is needed is missing or contradicts
    another. Nothing is guessed: what is not in config.json stays ``None`` or empty.
    """
    text = _text_part(config)
    num_layers = _num_layers(text)
    hidden_size = _positive(text, "hidden_size", "n_embd", "d_model")
    heads = _positive(text, "num_attention_heads", "n_head")
    kv_heads = _kv_heads(text, heads)
    head_dim = _head_dim(text, hidden_size, heads)
    blocks = _Blocks(text, num_layers, kv_heads, head_dim)
    experts = _experts(text, blocks)
    attention = _attention(text, blocks)
    main = max(attention, key=lambda group: group.num_layers, default=None)
    return Architecture(
        family=str(config.get("model_type") or text.get("model_type") or "unknown"),
        class_name=next(iter(config.get("architectures") or text.get("architectures") or ()), None),
        num_layers=num_layers,
        hidden_size=hidden_size,
        num_attention_heads=heads,
        num_kv_heads=main.num_kv_heads if main else kv_heads,
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
        raw=dict(text),
    )


@dataclass(frozen=True, slots=True)
class _Blocks:
    """The text part of config.json, and the numbers that most readers need."""

    text: Config
    num_layers: int
    num_kv_heads: int
    head_dim: int

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kind of each block where config.json lists them, else empty."""
        listed = self.text.get("layers_block_type") or self.text.get("layer_types")
        if pattern := self.text.get("hybrid_override_pattern"):
            listed = [_NEMOTRON_LETTERS.get(letter, letter) for letter in pattern]
        if not listed:
            return ()
        if len(listed) < self.num_layers:
            raise _contradiction("layer_types", len(listed), "num_hidden_layers", self.num_layers)
        return tuple(listed[: self.num_layers])


# --- attention ---------------------------------------------------------------------------------


def _attention(text: Config, blocks: _Blocks) -> tuple[AttentionLayers, ...]:
    if text.get("compress_ratios"):
        return _compressed(text, blocks)
    if text.get("block_configs"):
        return _searched(text, blocks)
    if text.get("kv_lora_rank"):
        return (_latent(text, _attending_layers(text, blocks)),)
    counts = _window_counts(text, blocks)
    groups = [_group(text, blocks, kind, number) for kind, number in counts.items() if number]
    return tuple(sorted(groups, key=lambda group: group.kind))


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
    """DeepSeek V4: each layer keeps a short window, and most also one entry for n tokens."""
    ratios = Counter(text["compress_ratios"][: blocks.num_layers])
    window = _first(text, "sliding_window")
    groups = []
    for ratio, number in sorted(ratios.items()):
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
                index_dim=(_first(text, "index_head_dim") or 0) if ratio == 4 else 0,
            )
        )
    return tuple(groups)


def _searched(text: Config, blocks: _Blocks) -> tuple[AttentionLayers, ...]:
    """Nemotron-NAS: architecture search chose each block's attention, or none."""
    per_group = Counter(
        block["attention"]["n_heads_in_group"]
        for block in text["block_configs"]
        if block["attention"].get("n_heads_in_group")
    )
    heads = _positive(text, "num_attention_heads")
    return tuple(
        AttentionLayers("full", number, heads // size, blocks.head_dim, blocks.head_dim)
        for size, number in sorted(per_group.items())
    )


def _group(text: Config, blocks: _Blocks, kind: str, number: int) -> AttentionLayers:
    if kind == "sliding":
        return AttentionLayers(
            kind="sliding",
            num_layers=number,
            num_kv_heads=_first(text, "swa_num_key_value_heads") or blocks.num_kv_heads,
            key_dim=(key := _first(text, "swa_head_dim") or blocks.head_dim),
            value_dim=_first(text, "swa_v_head_dim") or key,
            window_tokens=_window(text),
        )
    if kind == "chunked":
        return AttentionLayers(
            "chunked",
            number,
            blocks.num_kv_heads,
            blocks.head_dim,
            blocks.head_dim,
            window_tokens=_first(text, "attention_chunk_size"),
        )
    # Gemma 4's global layers have heads of their own width and number.
    key = _first(text, "global_head_dim") or blocks.head_dim
    return AttentionLayers(
        kind="full",
        num_layers=number,
        num_kv_heads=_first(text, "num_global_key_value_heads") or blocks.num_kv_heads,
        key_dim=key,
        value_dim=_first(text, "v_head_dim") or key,
    )


def _window_counts(text: Config, blocks: _Blocks) -> dict[str, int]:
    """How many blocks attend to everything, to a sliding window and to a chunk."""
    kinds = _attention_kinds(text, blocks)
    # Gemma 3n and 4: the last layers read the cache of earlier ones and keep none.
    kinds = kinds[: len(kinds) - (_first(text, "num_kv_shared_layers") or 0)]
    return dict(Counter(kind for kind in kinds if kind))


def _attention_kinds(text: Config, blocks: _Blocks) -> list[str]:
    """The kind of attention in each block, empty for a block that has none."""
    if blocks.kinds:
        return [_attention_kind(kind, text) for kind in blocks.kinds]
    if pattern := text.get("hybrid_layer_pattern"):
        return ["sliding" if flag else "full" for flag in pattern[: blocks.num_layers]]
    if flags := text.get("attn_type_list"):
        return ["full" if flag else "" for flag in flags[: blocks.num_layers]]
    others, every = _interleaving(text)
    return ["full" if every and not (i + 1) % every else others for i in range(blocks.num_layers)]


def _interleaving(text: Config) -> tuple[str, int | None]:
    """The kind of most blocks, and n where each n-th sees the whole context (``None``: none)."""
    family = str(text.get("model_type", ""))
    if interval := _first(text, "full_attention_interval"):
        return "", interval
    if text.get("attention_chunk_size") and family.startswith("llama4"):
        # Every fourth layer has no positions and sees everything (Llama4TextConfig's default).
        return "chunked", 4
    if _window(text) is None:
        return "full", 1
    return "sliding", _first(text, "sliding_window_pattern") or _FULL_EVERY.get(family)


def _attention_kind(name: str, text: Config) -> str:
    if name in _FULL_NAMES:
        return "full"
    if name in _SLIDING_NAMES:
        return "sliding" if _window(text) else "full"
    return "chunked" if name == "chunked_attention" else ""


def _window(text: Config) -> int | None:
    """The window in tokens, ``None`` where it is off or as long as the context."""
    window = _first(text, "sliding_window", "sliding_window_size")
    if window is None or text.get("use_sliding_window") is False:
        return None
    longest = _first(text, "max_position_embeddings")
    return None if longest is not None and window >= longest else window


def _attending_layers(text: Config, blocks: _Blocks) -> int:
    listed = (text.get("linear_attn_config") or {}).get("full_attn_layers")
    return len(listed) if listed else blocks.num_layers


# --- recurrent layers ----------------------------------------------------------------------------


def _recurrent(text: Config, blocks: _Blocks, hidden_size: int) -> tuple[RecurrentLayers, ...]:
    """Shapes as in vllm/model_executor/layers/mamba/mamba_utils.py (MambaStateShapeCalculator)."""
    if linear := text.get("linear_attn_config"):
        return (_kda(linear),) if linear.get("kda_layers") else ()
    if text.get("linear_num_value_heads"):
        return (_gated_delta(text, blocks),)
    if text.get("mamba_num_heads") or text.get("mamba_n_heads"):
        return (_mamba2(text, blocks),)
    if text.get("conv_L_cache"):
        number = sum(kind == "conv" for kind in blocks.kinds)
        return (RecurrentLayers("short_conv", number, 0, hidden_size * (text["conv_L_cache"] - 1)),)
    return ()


def _kda(linear: Config) -> RecurrentLayers:
    heads, dim = linear["num_heads"], linear["head_dim"]
    return RecurrentLayers(
        kind="kda",
        num_layers=len(linear["kda_layers"]),
        state_elements=heads * dim * dim,
        conv_elements=3 * heads * dim * (linear["short_conv_kernel_size"] - 1),
    )


def _gated_delta(text: Config, blocks: _Blocks) -> RecurrentLayers:
    key = text["linear_num_key_heads"] * text["linear_key_head_dim"]
    value = text["linear_num_value_heads"] * text["linear_value_head_dim"]
    attending = sum(kind == "full" for kind in _attention_kinds(text, blocks))
    return RecurrentLayers(
        kind="gated_delta",
        num_layers=blocks.num_layers - attending,
        state_elements=value * text["linear_key_head_dim"],
        conv_elements=(2 * key + value) * (text["linear_conv_kernel_dim"] - 1),
        state_dtype=text.get("mamba_ssm_dtype"),
    )


def _mamba2(text: Config, blocks: _Blocks) -> RecurrentLayers:
    inner = _positive(text, "mamba_num_heads", "mamba_n_heads") * _positive(
        text, "mamba_head_dim", "mamba_d_head"
    )
    state = _positive(text, "ssm_state_size", "mamba_d_state")
    groups = _positive(text, "n_groups", "mamba_n_groups")
    return RecurrentLayers(
        kind="mamba2",
        num_layers=sum(kind == "mamba" for kind in blocks.kinds),
        state_elements=inner * state,
        conv_elements=(inner + 2 * groups * state)
        * (_positive(text, "conv_kernel", "mamba_d_conv") - 1),
        state_dtype=text.get("mamba_ssm_cache_dtype"),
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
    width = _first(text, "moe_intermediate_size", "expert_ffn_hidden_size", "intermediate_size")
    if width is None:
        raise _missing("moe_intermediate_size")
    return Experts(
        num_experts=number,
        experts_per_token=top_k,
        intermediate_size=width,
        num_layers=_routed_layers(text, blocks),
        shared_intermediate_size=_shared_width(text, width),
        latent_size=_first(text, "moe_latent_size", "routed_expert_hidden_size"),
    )


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
    number = _first(text, "n_shared_experts", "num_shared_experts") or 0
    if str(text.get("model_type", "")).startswith("llama4"):
        number = 1  # Llama4TextMoe always has one shared expert of the same width.
    return number * expert_width


def _routed_layers(text: Config, blocks: _Blocks) -> int:
    total = blocks.num_layers
    if "moe" in blocks.kinds:
        return sum(kind == "moe" for kind in blocks.kinds)
    if listed := text.get("mlp_layer_types"):
        return sum(kind == "sparse" for kind in listed[:total])
    frequency = text.get("moe_layer_freq")
    if isinstance(frequency, list):
        return sum(bool(flag) for flag in frequency[:total])
    if listed := text.get("moe_layers_enum"):
        return len(str(listed).split(",") if isinstance(listed, str) else listed)
    step = _first(text, "interleave_moe_layer_step", "decoder_sparse_step") or 1
    dense = _first(text, "first_k_dense_replace", "num_dense_layers") or 0
    skipped = set(text.get("mlp_only_layers") or ())
    return sum((i + 1) % step == 0 and i >= dense and i not in skipped for i in range(total))


def _num_dense_layers(text: Config, blocks: _Blocks, experts: Experts | None) -> int:
    if "moe" in blocks.kinds or "mlp" in blocks.kinds:
        return sum(kind == "mlp" for kind in blocks.kinds)
    if experts is None or text.get("enable_moe_block"):
        # Gemma 4 puts the experts beside a dense part in every layer.
        return blocks.num_layers
    return blocks.num_layers - experts.num_layers


def _dense_intermediate(text: Config) -> int | None:
    return _first(
        text, "dense_intermediate_size", "intermediate_size_mlp", "intermediate_size", "n_inner"
    )


# --- the rest ------------------------------------------------------------------------------------


def _text_part(config: Config) -> Config:
    for name in _TEXT_PARTS:
        if isinstance(part := config.get(name), Mapping):
            return part
    return config


def _num_layers(text: Config) -> int:
    if blocks := text.get("layers_block_type"):
        return len(blocks)
    return _positive(text, "num_hidden_layers", "n_layer", "num_layers")


def _kv_heads(text: Config, heads: int) -> int:
    if text.get("multi_query") is True:
        return 1
    kv_heads = _first(text, "num_key_value_heads", "multi_query_group_num") or heads
    if heads % kv_heads:
        raise _contradiction("num_attention_heads", heads, "num_key_value_heads", kv_heads)
    return kv_heads


def _head_dim(text: Config, hidden_size: int, heads: int) -> int:
    head_dim = _first(text, "head_dim", "attention_head_dim", "kv_channels")
    if head_dim is not None:
        return head_dim
    if text.get("qk_nope_head_dim") and text.get("qk_rope_head_dim"):
        return int(text["qk_nope_head_dim"]) + int(text["qk_rope_head_dim"])
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


def _first(text: Config, *names: str) -> int | None:
    """The first of ``names`` that has a number, which must be a whole one."""
    for name in names:
        value = text.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise StokerError(
                f"config.json gives {name} as {value!r}.",
                "It must be a whole number.",
                "Check the file against the model's page, or download it again.",
            )
        return value
    return None


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
