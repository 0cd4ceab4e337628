"""The cache is counted as vLLM counts it: the same bytes give the tokens that its log printed."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.engines.vllm import vllm_launch
from stoker.engines.vllm.vllm_memory import (
    PLANNED_MINOR,
    VllmSettings,
    activation_bytes,
    graph_bytes,
    kv_bytes_per_token,
    longest_context,
    max_concurrency,
    ngram_host_bytes,
    state_bytes_per_sequence,
    visible_bytes,
    vllm_memory,
    weights_per_gpu,
)
from stoker.errors import UsageError
from stoker.models import (
    Architecture,
    KnownModel,
    architecture_from_config,
    find_known_model,
    known_models,
)
from stoker.planning.quantization import precision_of

GIB = 1024**3
MODELS = known_models()
#: What vLLM chose on an H200 for 128 sequences.
H200 = VllmSettings(32_768, max_num_seqs=128, max_num_batched_tokens=8_192)


def shape(name: str) -> Architecture:
    return find_known_model(name)[0].architecture


@pytest.mark.parametrize(
    ("model", "settings", "kv_gib", "tokens"),
    [
        ("qwen2.5-coder-7b", VllmSettings(16_384), 24.83, 464_848),
        ("qwen2.5-coder-7b", VllmSettings(16_384, tensor_parallel_size=2), 31.83, 1_192_160),
        (
            "qwen3.6-27b",
            VllmSettings(262_144, tensor_parallel_size=2, kv_cache_dtype="fp8"),
            9.84,
            619_202,
        ),
        (
            "qwen3.6-27b",
            VllmSettings(
                262_144, tensor_parallel_size=2, kv_cache_dtype="fp8", num_speculative_tokens=3
            ),
            11.05,
            623_873,
        ),
        (
            "qwen3.6-35b-a3b",
            VllmSettings(262_144, tensor_parallel_size=2, kv_cache_dtype="fp8"),
            16.58,
            3_292_687,
        ),
        ("llama-3.1-8b", VllmSettings(29_000), 2.89, 23_648),
        ("gpt-oss-20b", replace(H200, minor_version=26), 113.69, 3_301_899),
        ("glm-4.7-flash", replace(H200, minor_version=26), 70.28, 1_393_648),
        (
            "qwen3.5-35b-a3b",
            replace(H200, minor_version=26, enable_prefix_caching=False),
            62.09,
            2_885_456,
        ),
    ],
)
def test_measured_cache_bytes_hold_the_measured_tokens(
    model: str, settings: VllmSettings, kv_gib: float, tokens: int
) -> None:
    """Logs of benchmarks/data/measured_memory.csv, rounded there to 0.01 GiB."""
    concurrency = max_concurrency(shape(model), settings, kv_gib * GIB)
    assert concurrency * settings.max_model_len == pytest.approx(tokens, rel=0.011)


@pytest.mark.parametrize(
    ("model", "tensor_parallel", "bytes_"),
    [
        # vllm/models/deepseek_v41/attention.py: four layers keep entries of 584 bytes and an
        # indexer's key of 132, one for each token and three for each two.
        ("deepseek-v4.1-flash", 1, (1 + 3 / 2) * (584 + 132)),
        ("deepseek-v4.1-flash", 8, (1 + 3 / 2) * (584 + 132)),
        # vllm/models/qwen4_exp: 12 layers of 2 heads, and a key of 128 values for each four tokens
        # that every GPU has whole.
        ("qwen3.8-flash-next", 1, 12 * (2 * 2 * 256 * 2 + 128 * 2 / 4)),
        ("qwen3.8-flash-next", 4, 12 * (2 * 256 * 2 + 128 * 2 / 4)),
    ],
)
def test_a_token_takes_what_vllms_classes_of_the_model_reserve(
    model: str, tensor_parallel: int, bytes_: float
) -> None:
    settings = VllmSettings(131_072, tensor_parallel_size=tensor_parallel)
    assert kv_bytes_per_token(shape(model), settings) == pytest.approx(bytes_)


def test_deepseek_v4_is_planned_near_what_vllm_logged_with_its_compressors_states() -> None:
    """Issue 51041: 7.01 GiB on two H20, vLLM 0.26, at a length of 912,128."""
    settings = VllmSettings(
        912_128, max_num_batched_tokens=8_192, tensor_parallel_size=2, minor_version=26
    )
    held = max_concurrency(shape("deepseek-v4-flash"), settings, 7.01 * GIB)
    assert held * 912_128 == pytest.approx(1_009_661, rel=0.05)


def test_tables_of_ngrams_lie_in_main_memory_unless_they_are_put_on_the_gpus() -> None:
    """nvidia's NVFP4 form on two RTX PRO 6000, vLLM 0.30: 39.3 GiB a GPU, 65 GB of main memory."""
    known, form = find_known_model("nvidia/Qwen3.8-Flash-Next-NVFP4")
    arch, precision = known.architecture, precision_of(form.format, known.architecture)
    two = VllmSettings(262_144, tensor_parallel_size=2)
    held = weights_per_gpu(arch, precision, two, form.weights_bytes)
    assert held / GIB == pytest.approx(39.3, rel=0.04)
    assert ngram_host_bytes(arch, precision, 2) == pytest.approx(65e9, rel=0.06)
    on_gpus = weights_per_gpu(arch, precision, replace(two, ngram_on_gpus=True), form.weights_bytes)
    assert on_gpus - held == pytest.approx(51_200_245_760 / 2, rel=1e-5)


def test_a_version_that_kept_a_mamba_state_for_each_block_holds_so_many_fewer_tokens() -> None:
    """Nemotron 3 Nano on an H200, vLLM 0.26: 67.94 GiB held 2,234,777 tokens."""
    arch, cache_bytes = shape("nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16"), 67.94 * GIB
    tokens = max_concurrency(arch, replace(H200, minor_version=26), cache_bytes) * 32_768
    assert tokens == pytest.approx(2_234_777, rel=0.04)
    assert max_concurrency(arch, H200, cache_bytes) * 32_768 > 3 * tokens


def test_latent_attention_needs_room_to_unpack_what_it_read_before() -> None:
    """GLM-4.7-Flash on an H200, vLLM 0.26: a peak of 1.63 GiB, and 0.25 that torch does not see."""
    taken = activation_bytes(shape("glm-4.7-flash"), H200)
    assert taken / GIB == pytest.approx(1.88, rel=0.05)
    assert taken > activation_bytes(shape("glm-4.7-flash"), replace(H200, max_model_len=2048))


@pytest.mark.parametrize(("max_num_seqs", "graphs_gib"), [(128, 1.19), (3, 0.45)])
def test_the_graphs_of_gated_delta_layers_grow_with_the_captured_sizes(
    max_num_seqs: int, graphs_gib: float
) -> None:
    """Qwen3.5-27B on an H200 (vLLM 0.26), Qwen3.8-27B on an RTX 3090 (0.27.1)."""
    settings = VllmSettings(32_768, max_num_seqs=max_num_seqs)
    assert graph_bytes(shape("qwen3.5-27b"), settings) / GIB == pytest.approx(graphs_gib, abs=0.1)


def test_guesses_widen_the_batches_that_are_captured() -> None:
    """``_set_cudagraph_sizes`` of 0.32: a sequence has a token and its guesses in a step."""
    few = VllmSettings(32_768, max_num_seqs=4, num_speculative_tokens=3)
    as_many = VllmSettings(32_768, max_num_seqs=16)
    assert graph_bytes(shape("qwen3.5-27b"), few) == graph_bytes(shape("qwen3.5-27b"), as_many)


def test_the_version_that_is_counted_for_is_the_one_that_is_started() -> None:
    assert vllm_launch.VERSION.split(".")[:2] == ["0", str(PLANNED_MINOR)]


def test_the_cache_that_vllm_logged_is_predicted() -> None:
    """Qwen2-7B on an A100 at 0.5 of its memory, vLLM 0.10.1.1: 24.83 GiB of cache."""
    arch = shape("qwen2.5-coder-7b")
    settings = VllmSettings(16_384, gpu_memory_utilization=0.5, minor_version=10)
    memory = vllm_memory(arch, precision_of("bf16", arch), settings, visible_bytes(81_920 << 20))
    assert memory.kv_cache_bytes / GIB == pytest.approx(24.83, rel=0.01)


def test_the_budget_is_a_share_of_the_total_rounded_up() -> None:
    arch = shape("qwen2.5-coder-7b")
    settings = VllmSettings(4096, gpu_memory_utilization=0.9)
    memory = vllm_memory(arch, precision_of("bf16", arch), settings, 24 * GIB + 1)
    assert memory.budget_bytes == math.ceil((24 * GIB + 1) * 0.9)


def test_latent_attention_is_not_divided_among_gpus() -> None:
    arch = shape("deepseek-v3.1")
    one = max_concurrency(arch, VllmSettings(8192), 8 * GIB)
    eight = max_concurrency(arch, VllmSettings(8192, tensor_parallel_size=8), 8 * GIB)
    assert one == eight


def test_fewer_cache_heads_than_gpus_are_copied() -> None:
    arch = shape("qwen2.5-coder-7b")  # 4 heads
    four = max_concurrency(arch, VllmSettings(8192, tensor_parallel_size=4), 8 * GIB)
    assert four == max_concurrency(arch, VllmSettings(8192, tensor_parallel_size=7), 8 * GIB)


def test_heads_that_cannot_be_divided_are_refused_with_what_can() -> None:
    arch = shape("qwen2.5-coder-7b")  # 28 heads
    with pytest.raises(UsageError, match="28 attention heads") as caught:
        vllm_memory(
            arch, precision_of("bf16", arch), VllmSettings(4096, tensor_parallel_size=8), GIB
        )
    assert "1, 2, 4 GPUs" in caught.value.fix


def test_an_unknown_quantization_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(UsageError, match="q9000") as caught:
        precision_of("q9000", shape("qwen2.5-coder-7b"))
    assert "nvfp4" in caught.value.why


@pytest.mark.parametrize(
    ("model", "quantization", "gpus", "loaded_gib"),
    [
        ("qwen2.5-coder-7b", "bf16", 1, 14.2488),
        ("qwen2.5-coder-7b", "bf16", 2, 7.1217),
        ("gpt-oss-20b", "mxfp4", 1, 13.72),
        ("gemma-4-26b-a4b", "bf16", 1, 48.5),
        ("llama-3.1-8b", "bf16", 1, 14.9888),
        ("llama-3.3-70b", "w8a8", 1, 67.7229),
        ("qwen3.8-27b", "fp8", 2, 14.28),
        ("qwen3.8-27b", "nvfp4", 2, 10.64),
    ],
)
def test_weights_are_as_large_as_vllm_loaded_them(
    model: str, quantization: str, gpus: int, loaded_gib: float
) -> None:
    arch = shape(model)
    settings = VllmSettings(4096, tensor_parallel_size=gpus, vision=True)
    memory = vllm_memory(arch, precision_of(quantization, arch), settings, 100 * GIB)
    assert memory.weights_bytes / GIB == pytest.approx(loaded_gib, rel=0.04)


@given(
    model=st.sampled_from(MODELS),
    cache_gib=st.floats(0.1, 500),
    more=st.floats(1.0, 4.0),
    kv=st.sampled_from(["auto", "fp8"]),
)
def test_more_memory_never_shortens_the_longest_context(
    model: KnownModel, cache_gib: float, more: float, kv: str
) -> None:
    settings = VllmSettings(1, kv_cache_dtype=kv)
    limit = model.max_context_tokens
    short = longest_context(model.architecture, settings, cache_gib * GIB, limit)
    assert short <= longest_context(model.architecture, settings, cache_gib * more * GIB, limit)


@given(
    model=st.sampled_from(MODELS),
    kind=st.sampled_from(["bf16", "fp8", "awq", "nvfp4", "int8"]),
    length=st.integers(256, 262_144),
)
def test_more_gpus_never_hold_more_on_each(model: KnownModel, kind: str, length: int) -> None:
    arch = model.architecture
    sizes = [n for n in (1, 2, 4, 8) if arch.num_attention_heads % n == 0]
    weights = [
        vllm_memory(
            arch,
            precision_of(kind, arch),
            VllmSettings(length, tensor_parallel_size=n),
            80 * GIB,
        ).weights_bytes
        for n in sizes
    ]
    assert weights == sorted(weights, reverse=True)


@given(model=st.sampled_from(MODELS), length=st.integers(256, 131_072), gib=st.floats(0.5, 300))
def test_what_fits_the_longest_context_is_marked(
    model: KnownModel, length: int, gib: float
) -> None:
    settings = VllmSettings(length)
    longest = longest_context(model.architecture, settings, gib * GIB, length)
    concurrency = max_concurrency(model.architecture, settings, gib * GIB)
    assert (longest == length) == (concurrency >= 1)


def test_stages_divide_weights_and_cache_by_layers() -> None:
    arch = shape("qwen2.5-coder-7b")
    precision = precision_of("bf16", arch)
    one = vllm_memory(arch, precision, VllmSettings(4096), 40 * GIB)
    two = vllm_memory(arch, precision, VllmSettings(4096, pipeline_parallel_size=2), 40 * GIB)
    assert two.weights_bytes == one.weights_bytes // 2
    same_cache = max_concurrency(arch, VllmSettings(4096, pipeline_parallel_size=2), 8 * GIB)
    assert same_cache == pytest.approx(
        2 * max_concurrency(arch, VllmSettings(4096), 8 * GIB), rel=1e-3
    )


def test_gpt_oss_120b_is_as_large_as_logged_and_does_not_start_on_an_h100_by_default() -> None:
    """vllm-project/vllm issue 23278: 65.97 GiB of weights, then -2.14 GiB for the cache."""
    arch = shape("gpt-oss-120b")
    settings = VllmSettings(
        131_072,
        gpu_memory_utilization=0.9,
        max_num_seqs=1024,
        max_num_batched_tokens=8192,
        minor_version=10,
    )
    memory = vllm_memory(arch, precision_of("mxfp4", arch), settings, visible_bytes(81_559 << 20))
    assert memory.weights_bytes / GIB == pytest.approx(65.97, rel=0.005)
    assert not memory.fits


def test_layers_that_attend_and_keep_a_state_take_memory_for_both() -> None:
    # Falcon-H1-7B: 44 layers of 2 heads of 128, and of 24 Mamba heads of 128 with 256 numbers.
    falcon = architecture_from_config(
        {
            "model_type": "falcon_h1",
            "num_hidden_layers": 44,
            "hidden_size": 3072,
            "num_attention_heads": 12,
            "num_key_value_heads": 2,
            "head_dim": 128,
            "intermediate_size": 12288,
            "vocab_size": 130048,
            "mamba_n_heads": 24,
            "mamba_d_head": 128,
            "mamba_d_state": 256,
            "mamba_n_groups": 1,
            "mamba_d_conv": 4,
        }
    )
    settings = VllmSettings(max_model_len=32_768)
    assert kv_bytes_per_token(falcon, settings) == 44 * 2 * 2 * 128 * 2
    state = 24 * 128 * 256 + 3 * (24 * 128 + 2 * 256)
    assert state_bytes_per_sequence(falcon, settings) == 44 * 2 * state
