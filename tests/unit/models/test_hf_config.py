"""The config.json of a published model says what its layers keep for each token."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stoker.errors import StokerError
from stoker.models import AttentionLayers, Experts, architecture_from_config
from stoker.planning.parameter_count import count_weights

CONFIGS = Path(__file__).parents[2] / "fixtures" / "hf_configs"
LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "num_hidden_layers": 32,
    "hidden_size": 4096,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "intermediate_size": 14336,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
}


def config(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((CONFIGS / f"{name}.json").read_text())
    return loaded


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.json")), ids=lambda path: path.stem)
def test_every_published_config_is_read_and_its_layers_add_up(path: Path) -> None:
    arch = architecture_from_config(json.loads(path.read_text()))
    mixing = sum(g.num_layers for g in arch.attention) + sum(g.num_layers for g in arch.recurrent)
    feed_forward = (arch.experts.num_layers if arch.experts else 0) + (arch.num_dense_layers or 0)
    assert arch.attention
    if arch.family == "nemotron_h":  # a block is a mixer or a feed-forward part, never both
        assert mixing + feed_forward == arch.num_layers
    elif arch.family == "nemotron-nas":  # the search left some blocks without attention
        assert mixing < arch.num_layers
    else:
        assert mixing == arch.num_layers
        assert feed_forward >= arch.num_layers
    assert all(group.kv_elements_per_token > 0 for group in arch.attention)


def test_grouped_query_attention_keeps_a_key_and_a_value_for_each_kv_head() -> None:
    arch = architecture_from_config(LLAMA)
    assert arch.attention == (AttentionLayers("full", 32, 8, 128, 128),)
    assert arch.attention[0].kv_elements_per_token == 2048


def test_gpt_oss_alternates_a_window_of_128_with_full_attention() -> None:
    arch = architecture_from_config(config("openai--gpt-oss-20b"))
    assert [(g.kind, g.num_layers, g.window_tokens) for g in arch.attention] == [
        ("full", 12, None),
        ("sliding", 12, 128),
    ]
    assert arch.experts == Experts(32, 4, 2880, 24)


def test_qwen3_5_keeps_a_cache_in_every_fourth_layer_and_a_state_in_the_others() -> None:
    arch = architecture_from_config(config("Qwen--Qwen3.5-27B"))
    (attention,) = arch.attention
    (linear,) = arch.recurrent
    assert (attention.num_layers, linear.num_layers) == (16, 48)
    # 48 value heads with a 128 x 128 state each, and a window of 3 over q, k and v.
    assert linear.state_elements == 48 * 128 * 128
    assert linear.conv_elements == (2 * 16 * 128 + 48 * 128) * 3
    assert linear.state_dtype == "float32"


def test_nemotron_3_nano_attends_in_six_of_its_52_blocks() -> None:
    arch = architecture_from_config(config("nvidia--NVIDIA-Nemotron-3-Nano-30B-A3B-BF16"))
    assert [g.num_layers for g in arch.attention] == [6]
    assert [g.num_layers for g in arch.recurrent] == [23]
    assert arch.experts == Experts(128, 6, 1856, 23, shared_intermediate_size=3712)
    assert arch.num_dense_layers == 0


def test_gemma_4_has_wider_heads_where_it_sees_everything() -> None:
    arch = architecture_from_config(config("google--gemma-4-26B-A4B"))
    full, sliding = arch.attention
    assert (full.num_layers, full.num_kv_heads, full.key_dim) == (5, 2, 512)
    assert (sliding.num_layers, sliding.num_kv_heads, sliding.key_dim) == (25, 8, 256)
    assert sliding.window_tokens == 1024
    assert arch.tie_word_embeddings is True


def test_gemma_layers_that_share_a_cache_keep_none() -> None:
    arch = architecture_from_config(LLAMA | {"num_kv_shared_layers": 12})
    assert [g.num_layers for g in arch.attention] == [20]


def test_latent_attention_keeps_one_vector_for_all_heads() -> None:
    mla = {"kv_lora_rank": 512, "qk_rope_head_dim": 64, "qk_nope_head_dim": 128}
    arch = architecture_from_config(LLAMA | mla)
    assert [(g.kind, g.kv_elements_per_token) for g in arch.attention] == [("latent", 576)]


def test_deepseek_v4_compresses_most_layers_by_4_or_128() -> None:
    arch = architecture_from_config(config("deepseek-ai--DeepSeek-V4-Flash"))
    assert [(g.kind, g.num_layers, g.compress_ratio, g.index_dim) for g in arch.attention] == [
        ("sliding", 2, 1, 0),
        ("compressed", 21, 4, 128),
        ("compressed", 20, 128, 0),
    ]


def test_layers_that_read_another_layers_entries_keep_a_window_only() -> None:
    """DeepSeek V4.1: 38 of 40 layers read compressed entries, and four keep them."""
    ratios = [0, 0] + [2] * 18 + [1] * 20 + [0] * 3
    v41 = {"num_hidden_layers": 40, "kv_source_layer_ids": [2, 8, 14, 20]}
    arch = architecture_from_config(
        config("deepseek-ai--DeepSeek-V4-Flash") | v41 | {"compress_ratios": ratios}
    )
    assert [(g.kind, g.num_layers, g.compress_ratio, g.index_dim) for g in arch.attention] == [
        ("sliding", 36, 1, 0),
        ("compressed", 1, 1, 128),
        ("compressed", 3, 2, 128),
    ]


def test_an_indexers_key_for_four_tokens_counts_a_quarter_for_each() -> None:
    arch = architecture_from_config(
        LLAMA | {"indexer_head_dim": 128, "indexer_compress_ratio": 4, "indexer_n_heads": 4}
    )
    assert [(g.kind, g.index_dim) for g in arch.attention] == [("full", 32)]


@pytest.mark.parametrize(
    ("fields", "tables"),
    [
        # DeepSeek-V4.1-Flash: 384,006,168 and 384,016,682 rows of 256.
        (
            {"engram_num_embeddings": [384_006_168, 384_016_682], "engram_head_dim": 256},
            (98_305_579_008, 98_308_270_592),
        ),
        # Qwen3.8-Flash-Next: 320,001,536 rows of 160.
        (
            {
                "ple_layer_ids": [2],
                "ple_embed_dim": 2560,
                "ngram_size": 3,
                "heads_per_ngram": 8,
                "ngram_vocab_size_base": 20_000_000,
            },
            (51_200_245_760,),
        ),
        ({}, ()),
    ],
)
def test_tables_of_ngrams_have_their_rows_times_their_width(
    fields: dict[str, Any], tables: tuple[int, ...]
) -> None:
    arch = architecture_from_config(LLAMA | fields)
    assert arch.ngram_tables == pytest.approx(tables, rel=1e-5)
    counted = count_weights(arch)
    assert counted.ngram_embedding == sum(arch.ngram_tables)
    plain = count_weights(architecture_from_config(LLAMA))
    assert counted.total - counted.ngram_embedding < 1.2 * plain.total
    # They are looked up, so that no token passes through them.
    assert counted.always_read - plain.always_read < 0.2 * plain.total


def test_a_window_as_long_as_the_context_is_no_window() -> None:
    arch = architecture_from_config(LLAMA | {"sliding_window": 131072})
    assert [g.kind for g in arch.attention] == ["full"]


def test_a_window_that_is_switched_off_is_no_window() -> None:
    off = {"sliding_window": 4096, "use_sliding_window": False}
    assert architecture_from_config(LLAMA | off).attention[0].kind == "full"


def test_a_window_without_a_pattern_holds_for_every_layer() -> None:
    arch = architecture_from_config(LLAMA | {"sliding_window": 4096})
    assert [(g.kind, g.num_layers) for g in arch.attention] == [("sliding", 32)]


@pytest.mark.parametrize(
    "field", ["num_hidden_layers", "hidden_size", "num_attention_heads", "vocab_size"]
)
def test_a_missing_field_is_named(field: str) -> None:
    broken = {name: value for name, value in LLAMA.items() if name != field}
    with pytest.raises(StokerError, match=f"lacks {field}"):
        architecture_from_config(broken)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"num_key_value_heads": 7}, "num_key_value_heads is 7"),
        ({"layer_types": ["full_attention"] * 31}, "layer_types is 31"),
        ({"hidden_size": 4095}, "hidden_size is 4095"),
        ({"hidden_size": "4096"}, "hidden_size as '4096'"),
        ({"num_hidden_layers": -32}, "num_hidden_layers as -32"),
        (
            {"num_experts": 8, "num_experts_per_tok": 9, "moe_intermediate_size": 64},
            "num_experts_per_tok is 9",
        ),
        ({"num_experts": 8}, "num_experts_per_tok"),
    ],
)
def test_a_contradiction_is_refused(change: dict[str, Any], expected: str) -> None:
    with pytest.raises(StokerError, match=expected):
        architecture_from_config(LLAMA | change)


@pytest.mark.parametrize(
    ("change", "field", "value"),
    [
        ({"intermediate_size": [14336] * 32}, "intermediate_size", 14336),
        ({"intermediate_size": [8192] * 16 + [14336] * 16}, "intermediate_size", 14336),
        ({"intermediate_size": [8192, None] * 16}, "intermediate_size", 8192),
        ({"num_attention_heads": [32] * 32}, "num_attention_heads", 32),
        ({"head_dim": [128] * 32}, "head_dim", 128),
    ],
)
def test_a_value_for_each_layer_is_that_value_or_the_largest(
    change: dict[str, Any], field: str, value: int
) -> None:
    assert getattr(architecture_from_config(LLAMA | change), field) == value


@pytest.mark.parametrize("name", ["num_key_value_heads", "num_key_value_heads_per_layer"])
def test_key_value_heads_for_each_layer_add_up(name: str) -> None:
    # DeciLM-7B: 4, 2 or 1 in each layer; a layer with none keeps nothing.
    base = {key: value for key, value in LLAMA.items() if key != "num_key_value_heads"}
    arch = architecture_from_config(base | {name: [4] * 8 + [2] * 12 + [1] * 8 + [0] * 4})
    assert [(g.num_layers, g.num_kv_heads) for g in arch.attention] == [(8, 1), (12, 2), (8, 4)]


def test_widths_that_differ_from_layer_to_layer_are_added_up() -> None:
    # A slice of Gemma 3n: half of the layers are narrower.
    mixed = architecture_from_config(LLAMA | {"intermediate_size": [8192] * 16 + [16384] * 16})
    assert count_weights(mixed).dense == 3 * 4096 * 16 * (8192 + 16384)


def test_hunyuan_gives_its_experts_for_each_layer() -> None:
    lists = {"moe_topk": [8] * 32, "num_shared_expert": [1] * 32}
    sizes = {"num_experts": 64, "moe_intermediate_size": [3072] * 32}
    arch = architecture_from_config(LLAMA | lists | sizes)
    assert arch.experts == Experts(64, 8, 3072, 32, shared_intermediate_size=3072)


def test_ernie_counts_the_experts_for_text_and_for_images() -> None:
    counts = {"moe_num_experts": [64, 64], "moe_k": 6, "moe_intermediate_size": [1536, 512]}
    starts = {"moe_layer_start_index": [1, 1], "moe_num_shared_experts": 2}
    experts = architecture_from_config(LLAMA | counts | starts).experts
    assert experts is not None
    assert experts.num_experts * experts.intermediate_size == 64 * 1536 + 64 * 512
    assert (experts.num_layers, experts.shared_intermediate_size) == (31, 2 * 1536)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda text: {"thinker_config": {"model_type": "thinker", "text_config": text}},
        lambda text: {"llm_config": text, "hidden_size": 1024},
        lambda text: {"language_config": text, "vision_config": {"num_hidden_layers": 24}},
        lambda text: {"text_model": text},
        lambda text: {"llm_cfg": text},
        lambda text: {"llm_config": {"text_config": text}, "talker_config": {"text_config": {}}},
        # A part that names only what differs from the defaults leaves the rest at the top.
        lambda text: {**text, "text_config": {"model_type": "llama"}},
    ],
)
def test_the_text_part_is_found_wherever_a_family_keeps_it(wrap: Any) -> None:
    arch = architecture_from_config({"model_type": "whole", **wrap(LLAMA)})
    assert arch.attention == (AttentionLayers("full", 32, 8, 128, 128),)


@pytest.mark.parametrize(
    "change",
    [
        {"hidden_size": [4096, 4096]},
        {"num_hidden_layers": [32]},
        {"intermediate_size": []},
        {"intermediate_size": [True, False]},
        {"intermediate_size": [14336, "14336"]},
        {"num_key_value_heads": [8] * 31},
        {"num_hidden_layers": 10**30},
        {"architectures": 5},
        {"layer_types": True},
        {"num_experts": 8, "num_experts_per_tok": 2, "mlp_only_layers": 3},
    ],
)
def test_a_list_that_is_no_value_for_each_layer_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(StokerError):
        architecture_from_config(LLAMA | change)


def test_falcon_40b_has_the_heads_that_it_names() -> None:
    falcon = {
        "model_type": "falcon",
        "num_hidden_layers": 60,
        "hidden_size": 8192,
        "num_attention_heads": 128,
        "num_kv_heads": 8,
        "multi_query": True,
        "vocab_size": 65024,
    }
    assert architecture_from_config({**falcon, "new_decoder_architecture": True}).num_kv_heads == 8
    assert architecture_from_config({**falcon, "new_decoder_architecture": False}).num_kv_heads == 1


def test_step_3_names_groups_of_attention_and_the_number_of_its_experts_in_its_own_way() -> None:
    step = {
        "model_type": "step3p5",
        "num_hidden_layers": 45,
        "hidden_size": 4096,
        "num_attention_heads": 64,
        "num_attention_groups": 8,
        "head_dim": 128,
        "vocab_size": 128896,
        "intermediate_size": 11264,
        "moe_num_experts": 288,
        "moe_top_k": 8,
        "moe_intermediate_size": 1280,
        "share_expert_dim": 1280,
        "moe_layers_enum": ",".join(map(str, range(3, 45))),
    }
    found = architecture_from_config(step)
    assert found.num_kv_heads == 8
    assert found.experts is not None
    assert (found.experts.experts_per_token, found.experts.num_layers) == (8, 42)
