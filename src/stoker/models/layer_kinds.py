"""What each layer of a model in ``config.json`` mixes tokens with: attention, a state, or both.

Families give it in many ways: a name for each layer, the numbers of the layers that attend, a
period and an offset, or nothing at all, where the family alone decides. The rules are those of the
configuration classes in ``transformers`` and of the models in vLLM
(``vllm/model_executor/models``); each is named where it is used. Where none applies and the file
has fields of recurrent layers, the model is refused: nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from stoker.errors import StokerError

Config = Mapping[str, Any]
FeedForward = Literal["", "mlp", "moe"]


@dataclass(frozen=True, slots=True)
class LayerKind:
    """One layer: its attention (empty where it has none), and whether it keeps a state."""

    attention: Literal["", "full", "sliding", "chunked"] = ""
    recurrent: bool = False
    #: The feed-forward part of a layer that has nothing else (Nemotron-H); empty for all others.
    feed_forward: FeedForward = ""


FULL = LayerKind("full")
SLIDING = LayerKind("sliding")
CHUNKED = LayerKind("chunked")
RECURRENT = LayerKind(recurrent=True)
#: Attention and a state, in parallel or one after the other.
HYBRID = LayerKind("full", recurrent=True)
NONE = LayerKind()
MLP = LayerKind(feed_forward="mlp")
MOE = LayerKind(feed_forward="moe")

#: Names of kinds in ``layer_types``, ``layers_block_type`` and ``block_types``.
_NAMES = {
    **dict.fromkeys(("full_attention", "attention", "global_attention", "full", "global"), FULL),
    **dict.fromkeys(("sliding_attention", "sliding", "local_attention", "local"), SLIDING),
    **dict.fromkeys(("chunked_attention", "chunked"), CHUNKED),
    **dict.fromkeys(
        ("linear_attention", "mamba", "mamba2", "recurrent", "conv", "short_conv", "kda"), RECURRENT
    ),
    "hybrid": HYBRID,
    "moe": MOE,
    "mlp": MLP,
}
#: Letters of Nemotron-H's ``hybrid_override_pattern`` (configuration_nemotron_h.py).
_NEMOTRON_LETTERS = {"M": "mamba", "*": "attention", "E": "moe", "-": "mlp"}
#: The numbers of the layers that attend: Bamba and LFM2; those of Zamba2 keep a state as well.
_ATTENDING_INDICES = {
    "attn_layer_indices": FULL,
    "full_attn_idxs": FULL,
    "hybrid_layer_ids": HYBRID,
}
#: Families in which each n-th layer sees the whole context, where config.json does not give n.
#: Source: the defaults of their configuration classes in transformers.
_FULL_EVERY = {
    "gemma2": 2,
    "gemma3": 6,
    "gemma3n": 5,
    "cohere2": 4,
    "gpt_oss": 2,
    "exaone4": 4,
    "olmo3": 4,
}
#: Where config.json gives n.
_EVERY_FIELDS = ("sliding_window_pattern", "_sliding_window_pattern", "global_attn_every_n_layers")
#: Fields that only layers with a state have, by their first letters.
_RECURRENT_FIELDS = (
    "mamba",
    "n_mamba",
    "ssm_",
    "linear_num_",
    "linear_conv_",
    "linear_attn_",
    "conv_L_cache",
    "conv1d_width",
    "lru_",
    "rwkv",
    "wkv",
    "kda_",
    "gdn_",
    "state_size",
    "time_step_",
)
#: Families without attention, whose configuration has none of these fields.
_ATTENTION_FREE = ("rwkv", "mamba", "falcon_mamba", "xlstm", "retnet")


def layer_kinds(text: Config, num_layers: int) -> tuple[LayerKind, ...]:
    """The kind of each of ``num_layers`` layers, from the text part of a config.json.

    Raises ``StokerError`` where the layers cannot be determined.
    """
    for rule in (_by_family, _by_name, _by_index, _by_period, _by_flags):
        if kinds := rule(text, num_layers):
            return _all(kinds, num_layers)
    if any(field.startswith(_RECURRENT_FIELDS) and text[field] for field in text):
        raise unknown_layers(text)
    return tuple(_attending(text, num_layers))


def attention_free(text: Config) -> bool:
    """Whether the family has no attention at all, and so no fields for it."""
    return family(text).startswith(_ATTENTION_FREE)


def family(text: Config) -> str:
    """The ``model_type`` of a text part, under the name of the whole model."""
    return str(text.get("model_type", "")).removesuffix("_text")


def unknown_layers(text: Config) -> StokerError:
    """The refusal of a model whose layers cannot be determined."""
    return StokerError(
        f"The layers of the family {family(text) or 'unknown'!r} cannot be determined.",
        "Its config.json does not name the layers that attend and those that keep a state, and "
        "the memory of the two differs.",
        "Use a model of another family, or a GGUF file, whose header has it.",
    )


def window_tokens(text: Config) -> int | None:
    """The sliding window in tokens; ``None`` where it is off or as long as the context."""
    named = ("sliding_window", "sliding_window_size", "attention_window_size")
    window = next((text[name] for name in named if text.get(name) is not None), None)
    if isinstance(window, list):
        window = max((value for value in window if isinstance(value, int)), default=None)
    # Qwen2Config and Qwen3Config: off unless it is switched on.
    default = not family(text).startswith(("qwen2", "qwen3"))
    if not isinstance(window, int) or window <= 0 or not text.get("use_sliding_window", default):
        return None
    longest = text.get("max_position_embeddings")
    return None if isinstance(longest, int) and window >= longest else window


# --- rules, the most certain first ---------------------------------------------------------------


def _by_family(text: Config, num_layers: int) -> list[LayerKind]:
    rules: dict[str, Callable[[Config, int], list[LayerKind]]] = {
        # FalconH1DecoderLayer: attention and Mamba-2 in parallel, in every layer.
        "falcon_h1": lambda _, number: [HYBRID] * number,
        "phi4flash": _phi4flash,
        "recurrent_gemma": _recurrent_gemma,
        "zamba": _zamba,
    }
    rule = rules.get(family(text))
    return rule(text, num_layers) if rule else []


def _by_name(text: Config, _: int) -> list[LayerKind]:
    listed = listed_values(text, "layers_block_type") or listed_values(text, "layer_types")
    if pattern := text.get("hybrid_override_pattern"):
        listed = [_NEMOTRON_LETTERS.get(letter, letter) for letter in str(pattern)]
    window = window_tokens(text)
    kinds = [_named(text, str(name)) for name in listed]
    return [FULL if kind is SLIDING and window is None else kind for kind in kinds]


def _by_index(text: Config, num_layers: int) -> list[LayerKind]:
    for field, attending in _ATTENDING_INDICES.items():
        if isinstance(listed := text.get(field), list):
            return [attending if i in listed else RECURRENT for i in range(num_layers)]
    # Kimi-Linear counts its layers from 1.
    linear = text.get("linear_attn_config")
    if isinstance(linear, Mapping) and isinstance(listed := linear.get("full_attn_layers"), list):
        return [FULL if i + 1 in listed else RECURRENT for i in range(num_layers)]
    return []


def _by_period(text: Config, num_layers: int) -> list[LayerKind]:
    layers = range(num_layers)
    if (period := _count(text, "attn_layer_period")) and "attn_layer_offset" in text:
        offset = text["attn_layer_offset"]  # JambaConfig.layers_block_type
        return [FULL if i % period == offset else RECURRENT for i in layers]
    if interval := _count(text, "full_attention_interval"):  # Qwen3NextConfig
        return [RECURRENT if (i + 1) % interval else FULL for i in layers]
    if (size := _count(text, "layer_group_size")) and family(text).startswith("bailing"):
        # bailing_moe_linear.py: the last layer of each group attends, and so does the rest.
        whole = num_layers // size * size
        return [FULL if not (i + 1) % size or i >= whole else RECURRENT for i in layers]
    return []


def _by_flags(text: Config, _: int) -> list[LayerKind]:
    if flags := listed_values(text, "hybrid_layer_pattern"):  # MiMo-V2
        return [SLIDING if flag else FULL for flag in flags]
    if flags := listed_values(text, "attn_type_list"):  # MiniMax-Text-01
        return [FULL if flag else RECURRENT for flag in flags]
    return []


# --- families ------------------------------------------------------------------------------------


def _phi4flash(text: Config, num_layers: int) -> list[LayerKind]:
    """Phi-4-mini-flash (SambaY): every second layer is Mamba; past the middle, layers read what
    the middle's Mamba and attention have kept, and keep nothing."""
    step, middle = _count(text, "mb_per_layer"), num_layers // 2
    if not step:
        raise unknown_layers(text)
    window = text.get("sliding_window")
    windows = window if isinstance(window, list) else [window] * middle + [None] * num_layers

    def kind(i: int) -> LayerKind:
        if i >= middle + 2:
            return NONE
        if i % step == 0:
            return RECURRENT
        return SLIDING if windows[i : i + 1] not in ([], [None], [0]) else FULL

    return [kind(i) for i in range(num_layers)]


def _recurrent_gemma(text: Config, num_layers: int) -> list[LayerKind]:
    """``block_types`` repeats over the layers, and attention is always local."""
    types = listed_values(text, "block_types") or ("recurrent", "recurrent", "attention")
    local = FULL if window_tokens(text) is None else SLIDING
    kinds = [local if name == "attention" else _named(text, str(name)) for name in types]
    return [kinds[i % len(kinds)] for i in range(num_layers)]


def _zamba(text: Config, num_layers: int) -> list[LayerKind]:
    """ZambaConfig: three layers of their own, and a period for the rest."""
    if listed := _by_name(text, num_layers):
        return listed
    period, offset = _count(text, "attn_layer_period"), text.get("attn_layer_offset")
    if not period or offset is None:
        raise unknown_layers(text)
    rest = [HYBRID if i % period == offset else RECURRENT for i in range(num_layers - 3)]
    return [RECURRENT, RECURRENT, HYBRID, *rest]


# --- attention alone -----------------------------------------------------------------------------


def _attending(text: Config, num_layers: int) -> list[LayerKind]:
    layers = range(num_layers)
    if text.get("attention_chunk_size") and family(text).startswith("llama4"):
        # Llama4TextConfig: a layer without positions (0) sees everything, by default each fourth.
        flags = listed_values(text, "no_rope_layers") or [(i + 1) % 4 for i in layers]
        return [CHUNKED if flag else FULL for flag in flags]
    if window_tokens(text) is None:
        return [FULL] * num_layers
    if isinstance(listed := text.get("sliding_window"), list):
        return [SLIDING if window else FULL for window in listed]
    named = (text[field] for field in _EVERY_FIELDS if text.get(field))
    return _windowed(text, next(named, _FULL_EVERY.get(family(text))), num_layers)


def _windowed(text: Config, pattern: Any, num_layers: int) -> list[LayerKind]:
    """``pattern``: a flag for each layer, letters (EXAONE 4: ``LLLG``), n for "each n-th layer
    sees everything", or ``None`` for "none does"."""
    layers = range(num_layers)
    if isinstance(pattern, list):
        return [SLIDING if flag else FULL for flag in pattern]
    if isinstance(pattern, str):
        local = [pattern[i % len(pattern)] == "L" and i < num_layers - 1 for i in layers]
        return [SLIDING if flag else FULL for flag in local]
    # Qwen2Config: the first layers see everything.
    whole = _count(text, "max_window_layers") if family(text).startswith("qwen") else 0
    every = pattern if isinstance(pattern, int) and pattern > 0 else num_layers + 1
    return [FULL if i < whole or not (i + 1) % every else SLIDING for i in layers]


# --- helpers -------------------------------------------------------------------------------------


def _named(text: Config, name: str) -> LayerKind:
    if name in _NAMES:
        return _NAMES[name]
    refusal = unknown_layers(text)
    raise StokerError(refusal.what, f"Its config.json names a kind {name!r}.", refusal.fix)


def _all(kinds: Iterable[LayerKind], num_layers: int) -> tuple[LayerKind, ...]:
    """One kind for each layer. What is listed beyond them belongs to blocks that predict ahead."""
    listed = tuple(kinds)
    if len(listed) < num_layers:
        raise StokerError(
            f"config.json contradicts itself: layer_types is {len(listed)} and num_hidden_layers "
            f"is {num_layers}.",
            "A model of that shape cannot exist.",
            "Use the config.json of the original model.",
        )
    return listed[:num_layers]


def without_attention(kind: LayerKind) -> LayerKind:
    """The layer where it reads the keys and values of an earlier one."""
    return replace(kind, attention="")


def listed_values(text: Config, name: str) -> list[Any]:
    """The list in a field, empty where there is none. Raises for what is no list."""
    value = text.get(name) or []
    if not isinstance(value, list | tuple):
        raise StokerError(
            f"config.json gives {name} as {repr(value)[:60]}.",
            "It must be a list.",
            "Check the file against the model's page, or download it again.",
        )
    return list(value)


def _count(text: Config, name: str) -> int:
    value = text.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
