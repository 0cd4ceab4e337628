"""What the layers of a GGUF model keep: the rules of llama.cpp's architectures."""

from __future__ import annotations

from typing import Any

import pytest

from stoker.engines.llama_cpp.llama_memory import LlamaCache, llama_kv_cache_bytes
from stoker.models import Architecture
from stoker.models.gguf_layers import GgufLayers

MIB = 1024**2
BASE: dict[str, Any] = {
    "block_count": 12,
    "embedding_length": 64,
    "attention.head_count": 4,
    "attention.head_count_kv": 2,
    "attention.key_length": 16,
    "attention.value_length": 16,
}
SSM = {
    "ssm.conv_kernel": 4,
    "ssm.inner_size": 128,
    "ssm.state_size": 16,
    "ssm.time_step_rank": 8,
    "ssm.group_count": 1,
}
WINDOW = {"attention.sliding_window": 512}


def read(architecture: str, **fields: Any) -> GgufLayers:
    return GgufLayers(architecture, BASE | fields)


def counted(layers: GgufLayers) -> dict[str, int]:
    groups = {(g.kind, g.num_kv_heads, g.key_dim): g.num_layers for g in layers.attention()}
    kinds: dict[str, int] = {}
    for (kind, _, _), number in groups.items():
        kinds[kind] = kinds.get(kind, 0) + number
    return kinds | {g.kind: g.num_layers for g in layers.recurrent()}


@pytest.mark.parametrize(
    ("architecture", "fields", "kinds"),
    [
        ("gemma2", WINDOW, {"full": 6, "sliding": 6}),
        ("gemma2", {}, {"full": 6, "sliding": 6}),  # 4,096 where the header has no window
        ("gemma3", WINDOW, {"full": 2, "sliding": 10}),
        ("gemma3", {"attention.sliding_window": 0}, {"full": 12}),
        ("gemma3n", {**WINDOW, "attention.shared_kv_layers": 2}, {"full": 2, "sliding": 8}),
        ("gpt-oss", WINDOW, {"full": 6, "sliding": 6}),
        ("cohere2", WINDOW, {"full": 3, "sliding": 9}),
        ("llama4", {}, {"full": 3, "chunked": 9}),
        # A flag for each layer, or a number.
        (
            "gemma4",
            {**WINDOW, "attention.sliding_window_pattern": [True, True, False] * 4},
            {"full": 4, "sliding": 8},
        ),
        (
            "gemma3",
            {**WINDOW, "attention.sliding_window_pattern": 4},
            {"full": 3, "sliding": 9},
        ),
        # llama.cpp keeps the whole context of these, window or not.
        ("phi3", WINDOW, {"full": 12}),
        ("llama", WINDOW, {"full": 12}),
        ("qwen2", WINDOW, {"full": 12}),
    ],
)
def test_a_window_holds_where_llama_cpp_applies_it(
    architecture: str, fields: dict[str, Any], kinds: dict[str, int]
) -> None:
    assert counted(read(architecture, **fields)) == kinds


@pytest.mark.parametrize(
    ("architecture", "fields", "kinds"),
    [
        ("falcon-h1", SSM, {"full": 12, "mamba2": 12}),
        (
            "jamba",
            {**SSM, "ssm.group_count": 0, "attention.head_count_kv": [0, 0, 2, 0] * 3},
            {"full": 3, "mamba1": 9},
        ),
        (
            "granitehybrid",
            {**SSM, "attention.head_count_kv": [0, 0, 0, 0, 0, 2] * 2},
            {"full": 2, "mamba2": 10},
        ),
        # A block of Nemotron-H is one thing: a state, attention or a feed-forward part.
        (
            "nemotron_h",
            {
                **SSM,
                "attention.head_count_kv": [0, 0, 2] * 4,
                "feed_forward_length": [0, 128, 0] * 4,
            },
            {"full": 4, "mamba2": 4},
        ),
        ("qwen3next", {**SSM, "ssm.group_count": 4}, {"full": 3, "gated_delta": 9}),
        (
            "qwen35",
            {**SSM, "ssm.group_count": 4, "full_attention_interval": 6},
            {"full": 2, "gated_delta": 10},
        ),
        (
            "lfm2",
            {"shortconv.l_cache": 3, "attention.head_count_kv": [0, 2, 0] * 4},
            {"full": 4, "short_conv": 8},
        ),
        (
            "mamba2",
            {**SSM, "attention.head_count": 0, "attention.head_count_kv": 0},
            {"mamba2": 12},
        ),
        ("rwkv7", {"wkv.head_size": 64, "attention.head_count_kv": 0}, {"wkv": 12}),
        ("rwkv6", {"wkv.head_size": 64, "attention.head_count_kv": 0}, {"wkv": 12}),
        (
            "kimi-linear",
            {
                "ssm.conv_kernel": 4,
                "kda.head_dim": 16,
                "attention.head_count_kv": [0, 0, 0, 1] * 3,
                "attention.key_length": 576,
                "attention.key_length_mla": 192,
                "attention.kv_lora_rank": 512,
                "rope.dimension_count": 64,
            },
            {"latent": 3, "kda": 9},
        ),
        # A new architecture with a state, and no rule: never too little.
        ("newhybrid", SSM, {"full": 12, "mamba2": 12}),
    ],
)
def test_a_hybrid_keeps_a_state_where_llama_cpp_does(
    architecture: str, fields: dict[str, Any], kinds: dict[str, int]
) -> None:
    assert counted(read(architecture, **fields)) == kinds


def test_latent_attention_keeps_one_vector_and_old_files_all_heads() -> None:
    deepseek = {
        "attention.head_count_kv": 1,
        "attention.key_length": 576,
        "attention.value_length": 512,
        "attention.kv_lora_rank": 512,
        "rope.dimension_count": 64,
    }
    (latent,) = read("deepseek2", **deepseek, **{"attention.key_length_mla": 192}).attention()
    assert (latent.kind, latent.kv_elements_per_token) == ("latent", 576)
    old = {"attention.head_count_kv": 4, "attention.key_length": 192, "attention.value_length": 128}
    (full,) = read("deepseek2", **{**deepseek, **old}).attention()
    assert (full.kind, full.kv_elements_per_token) == ("full", 4 * (192 + 128))


def test_sliding_layers_may_have_heads_of_their_own() -> None:
    gemma4 = {
        **WINDOW,
        "attention.sliding_window_pattern": [True, False] * 6,
        "attention.head_count_kv": [8, 2] * 6,
        "attention.key_length": 512,
        "attention.key_length_swa": 256,
        "attention.value_length_swa": 256,
    }
    groups = {g.kind: (g.num_kv_heads, g.key_dim) for g in read("gemma4", **gemma4).attention()}
    assert groups == {"full": (2, 512), "sliding": (8, 256)}


def shape(layers: GgufLayers) -> Architecture:
    return Architecture(
        family=layers.architecture,
        num_layers=12,
        hidden_size=64,
        num_attention_heads=4,
        num_kv_heads=2,
        head_dim=16,
        vocab_size=100,
        attention=layers.attention(),
        recurrent=layers.recurrent(),
    )


@pytest.mark.parametrize(
    ("layers", "context", "printed_mib"),
    [
        # b11549, two slots: 1,024 cells each in 6 layers of 7, 2,048 in the seventh.
        (read("gemma3", block_count=7, **WINDOW), 2048, 0.5 + 1.5),
        # 640 cells are rounded up to 768.
        (read("gpt-oss", block_count=4, **{"attention.sliding_window": 128}), 2048, 1.0 + 0.375),
        (read("gemma2", block_count=4, **WINDOW), 2048, 1.0 + 0.5),
        # A context shorter than window and batch: 512 cells each, 1,024 over both.
        (read("gemma3", **WINDOW), 512, 12 * 2 * 512 * 2 * 64 / MIB),
    ],
)
def test_the_cache_of_sliding_layers_is_what_llama_cpp_prints(
    layers: GgufLayers, context: int, printed_mib: float
) -> None:
    planned = llama_kv_cache_bytes(shape(layers), LlamaCache(context, 2, 512))
    assert planned / MIB == printed_mib


def test_a_state_is_kept_once_for_each_slot_whatever_the_context() -> None:
    mamba = shape(read("mamba2", **SSM, **{"attention.head_count_kv": 0}))
    one = 12 * 4 * (16 * 128 + 3 * (128 + 2 * 16))
    assert llama_kv_cache_bytes(mamba, LlamaCache(4096, 1, 512)) == one
    assert llama_kv_cache_bytes(mamba, LlamaCache(32_768, 2, 512)) == 2 * one
