"""What the layers of a GGUF model keep, as llama.cpp reads it from the header.

A header names few kinds of layers: which layers slide, and which keep a state, is for the most part
a rule of the architecture (``load_hparams`` of llama.cpp's models). The rules here were compared
with what llama.cpp b11549 prints for small files of these architectures
(``tests/integration/test_llama_layers.py``). Where a header has a state and no rule is known, each
layer counts as keeping both, which is never too little.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stoker.models import recurrent_layers
from stoker.models.model import AttentionKind, AttentionLayers, Experts, RecurrentLayers

Facts = Mapping[str, Any]

#: Each n-th layer sees the whole context; the others slide. Other architectures with a window
#: (``llama``, ``qwen2``, ``phi3``) keep the whole context in every layer.
_FULL_EVERY = {
    "gemma2": 2,
    "gemma3": 6,
    "gemma3n": 5,
    "gpt-oss": 2,
    "cohere2": 4,
    "exaone4": 4,
    "olmo2": 4,
    "llama4": 4,
}
#: The window where the header has none. Llama 4's is the length of its chunks.
_WINDOWS = {"gemma2": 4096, "llama4": 8192}
#: Qwen3-Next and its successors: each fourth layer attends, the others keep a state.
_FULL_INTERVAL = 4
_INTERLEAVED = ("qwen3next", "qwen35", "qwen35moe")
#: Attention and a state in every layer.
_PARALLEL = ("falcon-h1",)
#: A block without attention is a feed-forward part where it has a width, else it keeps a state.
_ONE_PART_PER_BLOCK = ("nemotron_h", "nemotron_h_moe")
#: Fields that give the shape of a state.
STATES = ("ssm.state_size", "wkv.head_size", "shortconv.l_cache", "kda.head_dim")


@dataclass(frozen=True, slots=True)
class GgufLayers:
    """The layers of a model. ``facts`` are the header's values, by names without the family's."""

    architecture: str
    facts: Facts
    #: The blocks that hold experts; ``None`` where the header does not list all tensors.
    routed: frozenset[int] | None = None

    @property
    def num_mtp_layers(self) -> int:
        """Blocks behind the others that predict further tokens; ``block_count`` has them too."""
        most = max(0, self.number("block_count") - 1)
        return min(max(0, self.number("nextn_predict_layers")), most)

    @property
    def num_layers(self) -> int:
        """The blocks that every token passes through."""
        return self.number("block_count") - self.num_mtp_layers

    def experts(self) -> Experts | None:
        """The mixture of experts; ``None`` for a dense model."""
        number, used = self.number("expert_count"), self.number("expert_used_count")
        width = self.number("expert_feed_forward_length") or self.number("feed_forward_length")
        layers = self._num_routed()
        if not number or not used or not width or not layers:
            return None
        shared = self.number("expert_shared_feed_forward_length")
        return Experts(
            num_experts=number,
            experts_per_token=used,
            intermediate_size=width,
            num_layers=layers,
            shared_intermediate_size=shared or self.number("expert_shared_count") * width,
            latent_size=self.number("moe_latent_size") or None,
        )

    def num_dense_layers(self) -> int:
        """Blocks with a feed-forward part of their own and no experts."""
        widths = self.facts.get("feed_forward_length")
        listed = isinstance(widths, list)
        fed = [i for i in range(self.num_layers) if not listed or self._width(i)]
        return max(0, len(fed) - (self._num_routed() if self.number("expert_count") else 0))

    def _width(self, layer: int) -> int:
        return self.number("feed_forward_length", layer)

    def _num_routed(self) -> int:
        """Where the tensors are not known: all blocks behind the leading dense ones, or each of a
        given step (Llama 4)."""
        if self.routed is not None:
            return sum(block < self.num_layers for block in self.routed)
        behind = self.num_layers - self.number("leading_dense_block_count")
        return behind // (self.number("interleave_moe_layer_step") or 1)

    def attention(self) -> tuple[AttentionLayers, ...]:
        """The layers that keep something for each token, those of one kind together."""
        kinds = Counter(self._kept(i) for i in range(self.num_layers))
        return tuple(
            AttentionLayers(
                kind=kind,
                num_layers=number,
                num_kv_heads=heads,
                key_dim=key,
                value_dim=value,
                window_tokens=self._window() if kind in ("sliding", "chunked") else None,
            )
            for (kind, heads, key, value), number in sorted(kinds.items())
            if heads
        )

    def recurrent(self) -> tuple[RecurrentLayers, ...]:
        """The layers that keep a state."""
        number = sum(self._keeps_state(i) for i in range(self.num_layers))
        return (self._state(number),) if number else ()

    # --- one layer ---------------------------------------------------------------------------

    def _kept(self, layer: int) -> tuple[AttentionKind, int, int, int]:
        """Kind, heads, and the widths of keys and values; no heads where it keeps none."""
        heads = self._kv_heads(layer)
        sharing = self.number("attention.shared_kv_layers")
        alone = self.architecture in _INTERLEAVED and self._keeps_state(layer)
        if not heads or alone or layer >= self.num_layers - sharing:
            return "full", 0, 0, 0
        if self.facts.get("attention.key_length_mla") and self.facts.get("attention.kv_lora_rank"):
            return "latent", 1, self._latent_dim(), 0
        kind = self._kind(layer)
        suffix = "_swa" if kind == "sliding" else ""
        usual = self.number("embedding_length") // max(1, self._heads(layer))
        key = self.number(f"attention.key_length{suffix}") or self.number("attention.key_length")
        value = self.number(f"attention.value_length{suffix}")
        value = value or self.number("attention.value_length")
        return kind, heads, key or usual, value or usual

    def _kind(self, layer: int) -> AttentionKind:
        if not self._window():
            return "full"
        pattern = self.facts.get("attention.sliding_window_pattern")
        if isinstance(pattern, list):
            return "sliding" if layer < len(pattern) and pattern[layer] else "full"
        every = pattern if isinstance(pattern, int) else _FULL_EVERY.get(self.architecture)
        if every is None or (every and not (layer + 1) % every):
            return "full"
        return "chunked" if self.architecture == "llama4" else "sliding"

    def _keeps_state(self, layer: int) -> bool:
        if not any(self.number(name) for name in STATES):
            return False
        if self.architecture in _INTERLEAVED:
            interval = self.number("full_attention_interval") or _FULL_INTERVAL
            return bool((layer + 1) % interval)
        if not isinstance(self.facts.get("attention.head_count_kv"), list):
            return True
        alone = not self._kv_heads(layer)
        if self.architecture in _ONE_PART_PER_BLOCK:
            return alone and not self.number("feed_forward_length", layer)
        return alone or self.architecture in _PARALLEL

    def _heads(self, layer: int) -> int:
        return self.number("attention.head_count", layer)

    def _kv_heads(self, layer: int) -> int:
        heads = self.facts.get("attention.head_count_kv")
        return (
            self._heads(layer) if heads is None else self.number("attention.head_count_kv", layer)
        )

    # --- shapes ------------------------------------------------------------------------------

    def _window(self) -> int:
        if "attention.sliding_window" in self.facts:
            return self.number("attention.sliding_window")
        return _WINDOWS.get(self.architecture, 0)

    def _latent_dim(self) -> int:
        """One vector for all heads (``key_length`` of the files that have ``key_length_mla``)."""
        rank, rope = self.number("attention.kv_lora_rank"), self.number("rope.dimension_count")
        return max(rank + rope, self.number("attention.key_length"))

    def _state(self, number: int) -> RecurrentLayers:
        hidden = self.number("embedding_length")
        if head_dim := self.number("wkv.head_size"):
            shifts = self.number("token_shift_count") or 2
            return recurrent_layers.wkv(number, hidden, head_dim=head_dim, token_shifts=shifts)
        if kernel := self.number("shortconv.l_cache"):
            return recurrent_layers.short_conv(number, hidden, kernel=kernel)
        kernel = self.number("ssm.conv_kernel")
        if head_dim := self.number("kda.head_dim"):
            return recurrent_layers.kda(
                number,
                hidden,
                heads=self._heads(0),
                head_dim=head_dim,
                kernel=kernel,
                full_gates=2 if self.architecture == "bailingmoe3" else 0,
            )
        inner, state = self.number("ssm.inner_size"), self.number("ssm.state_size")
        heads, groups = self.number("ssm.time_step_rank"), self.number("ssm.group_count")
        if self.architecture in _INTERLEAVED:
            return recurrent_layers.gated_delta(
                number,
                hidden,
                key=groups * state,
                value=inner,
                heads=heads,
                key_dim=state,
                kernel=kernel,
            )
        if not groups:
            return recurrent_layers.mamba1(
                number, hidden, inner=inner, state=state, kernel=kernel, dt_rank=heads
            )
        return recurrent_layers.mamba2(
            number, hidden, inner=inner, heads=heads, state=state, groups=groups, kernel=kernel
        )

    def number(self, name: str, layer: int | None = None) -> int:
        """A whole number of the header, 0 where there is none: the layer's own, or the largest."""
        value = self.facts.get(name)
        if isinstance(value, list):
            numbers = [v for v in value if isinstance(v, int)]
            if layer is not None:
                return numbers[layer] if layer < len(numbers) else 0
            return max(numbers, default=0)
        return value if isinstance(value, int) else 0
