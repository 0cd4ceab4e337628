"""Which layers attend and which keep a state, in the spellings of published families."""

from __future__ import annotations

from typing import Any

import pytest

from stoker.errors import StokerError
from stoker.models import Architecture, architecture_from_config

BASE: dict[str, Any] = {
    "model_type": "llama",
    "num_hidden_layers": 12,
    "hidden_size": 1024,
    "num_attention_heads": 16,
    "num_key_value_heads": 4,
    "intermediate_size": 2048,
    "vocab_size": 32000,
    "max_position_embeddings": 131072,
}
MAMBA2 = {
    "mamba_n_heads": 32,
    "mamba_d_head": 64,
    "mamba_d_state": 128,
    "mamba_d_conv": 4,
    "mamba_n_groups": 1,
    "mamba_expand": 2,
}
MAMBA1 = {"mamba_d_state": 16, "mamba_d_conv": 4, "mamba_expand": 2, "mamba_dt_rank": "auto"}
GATED = {
    "linear_num_key_heads": 8,
    "linear_num_value_heads": 16,
    "linear_key_head_dim": 64,
    "linear_value_head_dim": 64,
    "linear_conv_kernel_dim": 4,
}


def read(**fields: Any) -> Architecture:
    return architecture_from_config(BASE | fields)


def mixing(arch: Architecture) -> dict[str, int]:
    groups = [(g.kind, g.num_layers) for g in arch.attention]
    return dict(groups) | {g.kind: g.num_layers for g in arch.recurrent}


@pytest.mark.parametrize(
    ("fields", "kinds"),
    [
        # FalconH1DecoderLayer: both in parallel, in every layer.
        ({"model_type": "falcon_h1", **MAMBA2}, {"full": 12, "mamba2": 12}),
        # JambaConfig: layers 4 and 12 of 0 to 11 attend, so one.
        (
            {"model_type": "jamba", "attn_layer_period": 8, "attn_layer_offset": 4, **MAMBA1},
            {"full": 1, "mamba1": 11},
        ),
        (
            {"model_type": "bamba", "attn_layer_indices": [3, 9], **MAMBA2},
            {"full": 2, "mamba2": 10},
        ),
        (
            {
                "model_type": "granitemoehybrid",
                "layer_types": (["mamba"] * 5 + ["attention"]) * 2,
                **MAMBA2,
                "mamba_d_head": "auto",
            },
            {"full": 2, "mamba2": 10},
        ),
        # Zamba2: a layer of the shared attention keeps a state as well.
        (
            {
                "model_type": "zamba2",
                "hybrid_layer_ids": [6, 11],
                "n_mamba_heads": 32,
                "mamba_ngroups": 1,
                "mamba_d_state": 64,
                "mamba_d_conv": 4,
                "mamba_expand": 2,
            },
            {"full": 2, "mamba2": 12},
        ),
        (
            {
                "model_type": "zamba",
                "attn_layer_period": 6,
                "attn_layer_offset": 4,
                "n_mamba_heads": 2,
                **MAMBA1,
            },
            {"full": 2, "mamba1": 12},
        ),
        (
            {
                "model_type": "nemotron_h",
                "hybrid_override_pattern": "M-M*-M-M*-M-",
                "mamba_num_heads": 32,
                "mamba_head_dim": 64,
                "ssm_state_size": 128,
                "n_groups": 8,
                "conv_kernel": 4,
            },
            {"full": 2, "mamba2": 5},
        ),
        (
            {"model_type": "qwen3_next", "full_attention_interval": 4, **GATED},
            {"full": 3, "gated_delta": 9},
        ),
        (
            {"model_type": "lfm2", "full_attn_idxs": [2, 5, 8], "conv_L_cache": 3},
            {"full": 3, "short_conv": 9},
        ),
        (
            {
                "model_type": "recurrent_gemma",
                "block_types": ["recurrent", "recurrent", "attention"],
                "attention_window_size": 2048,
                "lru_width": 1024,
                "conv1d_width": 4,
            },
            {"sliding": 4, "rg_lru": 8},
        ),
        (
            {"model_type": "minimax_text_01", "attn_type_list": [0, 0, 0, 0, 0, 1] * 2},
            {"full": 2, "lightning": 10},
        ),
        (
            {"model_type": "bailing_moe_linear", "layer_group_size": 5},
            {"full": 4, "lightning": 8},
        ),
        (
            {
                "model_type": "bailing_hybrid",
                "layer_group_size": 6,
                "short_conv_kernel_size": 4,
                "kv_lora_rank": 512,
                "qk_rope_head_dim": 64,
                "qk_nope_head_dim": 128,
            },
            {"latent": 2, "kda": 10},
        ),
        # Kimi-Linear counts its layers from 1.
        (
            {
                "model_type": "kimi_linear",
                "kv_lora_rank": 512,
                "qk_rope_head_dim": 64,
                "qk_nope_head_dim": 128,
                "linear_attn_config": {
                    "full_attn_layers": [4, 8, 12],
                    "kda_layers": [1, 2, 3, 5, 6, 7, 9, 10, 11],
                    "num_heads": 16,
                    "head_dim": 64,
                    "short_conv_kernel_size": 4,
                },
            },
            {"latent": 3, "kda": 9},
        ),
        # SambaY: layers past the middle read what the middle has kept.
        (
            {
                "model_type": "phi4flash",
                "mb_per_layer": 2,
                "sliding_window": [None, 512] * 3 + [None] * 6,
                **MAMBA1,
            },
            {"full": 1, "sliding": 3, "mamba1": 4},
        ),
    ],
)
def test_a_hybrid_counts_each_layer_for_what_it_keeps(
    fields: dict[str, Any], kinds: dict[str, int]
) -> None:
    assert mixing(read(**fields)) == kinds


@pytest.mark.parametrize(
    "fields",
    [
        {"model_type": "plamo2", "mamba_step": 2, "mamba_num_heads": 32},
        {"model_type": "hymba", **MAMBA1},
        {"model_type": "bamba", **MAMBA2},
        {"model_type": "zamba", "n_mamba_heads": 2, **MAMBA1},
        {"model_type": "new", "layer_types": ["wavelet_attention"] * 12},
        {"model_type": "new", "layer_types": ["linear_attention"] * 12},
        {"model_type": "rwkv7", "head_dim": 64},
        {"model_type": "falcon_mamba", "state_size": 16},
        {"model_type": "new", "lru_width": 2048},
    ],
)
def test_layers_that_cannot_be_determined_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(StokerError, match=r"layers of the family '\w+' cannot be determined"):
        read(**fields)


@pytest.mark.parametrize(
    ("fields", "kinds"),
    [
        ({"model_type": "gemma2"}, {"full": 6, "sliding": 6}),
        ({"model_type": "gemma3_text"}, {"full": 2, "sliding": 10}),
        ({"model_type": "gemma3n_text", "num_kv_shared_layers": 2}, {"full": 2, "sliding": 8}),
        ({"model_type": "cohere2"}, {"full": 3, "sliding": 9}),
        ({"model_type": "gpt_oss"}, {"full": 6, "sliding": 6}),
        ({"model_type": "gemma3_text", "_sliding_window_pattern": 3}, {"full": 4, "sliding": 8}),
        ({"model_type": "exaone4", "sliding_window_pattern": "LLLG"}, {"full": 3, "sliding": 9}),
        ({"sliding_window_pattern": [True, False] * 6}, {"full": 6, "sliding": 6}),
        ({"sliding_window": [None, 512, 512] * 4}, {"full": 4, "sliding": 8}),
        ({"model_type": "afmoe", "global_attn_every_n_layers": 4}, {"full": 3, "sliding": 9}),
        # Qwen2Config: off by default, and the first max_window_layers never slide.
        ({"model_type": "qwen2"}, {"full": 12}),
        (
            {"model_type": "qwen2", "use_sliding_window": True, "max_window_layers": 9},
            {"full": 9, "sliding": 3},
        ),
        ({"model_type": "mistral"}, {"sliding": 12}),
        (
            {"model_type": "llama4_text", "attention_chunk_size": 8192, "sliding_window": None},
            {"full": 3, "chunked": 9},
        ),
        (
            {
                "model_type": "llama4_text",
                "attention_chunk_size": 8192,
                "no_rope_layers": [1, 1, 0] * 4,
            },
            {"full": 4, "chunked": 8},
        ),
    ],
)
def test_a_window_holds_for_the_layers_that_the_family_gives_it(
    fields: dict[str, Any], kinds: dict[str, int]
) -> None:
    arch = read(**{"sliding_window": 512, **fields})
    assert mixing(arch) == kinds
    assert {g.window_tokens for g in arch.attention if g.kind == "sliding"} <= {512}


def test_experts_follow_their_own_period() -> None:
    # JambaConfig: i % 2 == 1 of 12 layers.
    jamba = {"attn_layer_period": 8, "attn_layer_offset": 4, **MAMBA1}
    moe = {"num_experts": 16, "num_experts_per_tok": 2}
    arch = read(expert_layer_period=2, expert_layer_offset=1, **jamba, **moe)
    assert arch.experts is not None
    assert (arch.experts.num_layers, arch.num_dense_layers) == (6, 6)


def test_the_state_of_falcon_h1_is_that_of_its_heads() -> None:
    (state,) = read(model_type="falcon_h1", **MAMBA2).recurrent
    assert state.state_elements == 32 * 64 * 128
    assert state.conv_elements == (32 * 64 + 2 * 128) * 3
