"""Speed follows from bytes and operations: finite, positive, and monotone where it must be."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.engines.vllm.vllm_speed import (
    Efficiency,
    Hardware,
    ServingLoad,
    calibrated,
    load_of,
    predict,
    step_s,
    step_times_of,
    times,
)
from stoker.host import find_gpu, known_gpus
from stoker.models import KnownModel, find_known_model, known_models
from stoker.planning import Traffic
from stoker.planning.quantization import precision_of

MODELS = known_models()
HARDWARE = [rates for spec in known_gpus() if (rates := Hardware.of(spec))]


def load(name: str, quantization: str, gpus: int = 1) -> ServingLoad:
    arch = find_known_model(name)[0].architecture
    return load_of(arch, precision_of(quantization, arch), gpus)


def hardware(name: str) -> Hardware:
    found = Hardware.of(find_gpu(name))
    assert found is not None
    return found


@given(
    model=st.sampled_from(MODELS),
    gpu=st.sampled_from(HARDWARE),
    kind=st.sampled_from(["bf16", "fp8", "awq", "nvfp4", "mxfp4", "int8"]),
    gpus=st.sampled_from([1, 2, 4, 8]),
    concurrency=st.integers(1, 1024),
    prompt=st.integers(1, 1_000_000),
    answer=st.integers(1, 100_000),
    hit=st.floats(0, 1),
)
def test_every_prediction_is_finite_positive_and_inside_its_interval(
    model: KnownModel,
    gpu: Hardware,
    kind: str,
    gpus: int,
    concurrency: int,
    prompt: int,
    answer: int,
    hit: float,
) -> None:
    arch = model.architecture
    speed, prefill = predict(
        load_of(arch, precision_of(kind, arch), gpus),
        gpu,
        Traffic(concurrency, prompt, answer, hit),
    )
    for interval in (speed.token_s, speed.first_token_s):
        assert 0 < interval.low < interval.expected < interval.high < math.inf
    assert 0 <= prefill < math.inf


@given(hit=st.floats(0, 1), more=st.floats(0, 1))
def test_a_fuller_prefix_cache_never_delays_the_first_token(hit: float, more: float) -> None:
    traffic = Traffic(4, 16_000, 500, min(hit, more))
    cost, h100 = load("qwen3-32b", "fp8"), hardware("H100")
    cold, _ = predict(cost, h100, traffic)
    warm, _ = predict(cost, h100, replace(traffic, prefix_hit=max(hit, more)))
    assert warm.first_token_s.expected <= cold.first_token_s.expected


@given(batch=st.integers(1, 255))
def test_another_request_never_speeds_up_the_others(batch: int) -> None:
    cost, h100 = load("qwen3-coder-30b-a3b", "fp8"), hardware("H100")
    few, _ = predict(cost, h100, Traffic(batch, 4000, 500))
    more, _ = predict(cost, h100, Traffic(batch + 1, 4000, 500))
    assert more.token_s.expected > few.token_s.expected


def test_a_mixture_of_experts_reads_only_the_experts_that_its_batch_touches() -> None:
    h100 = hardware("H100")
    dense, _ = predict(load("qwen3-32b", "bf16"), h100, Traffic(1, 1000, 500))
    routed, _ = predict(load("qwen3-30b-a3b", "bf16"), h100, Traffic(1, 1000, 500))
    assert routed.token_s.expected < dense.token_s.expected / 2


@pytest.mark.parametrize(
    ("model", "quantization", "gpu", "gpus", "traffic", "token_ms"),
    [
        ("llama-3.1-8b", "bf16", "B200", 1, Traffic(1, 1024, 128), 3.95),
        ("qwen2.5-coder-7b", "bf16", "A100 80GB", 1, Traffic(50, 1024, 1024), 18.46),
        ("qwen2.5-coder-7b", "bf16", "RTX A6000", 1, Traffic(1, 128, 51), 21.9),
        ("minimax-m2.5", "fp8", "H200", 8, Traffic(32, 8192, 1024), 17.41),
        ("qwen3-32b", "bf16", "H100", 8, Traffic(32, 4096, 1024), 13.16),
        ("llama-3.3-70b", "fp8", "H200", 8, Traffic(16, 1024, 1024), 9.71),
    ],
)
def test_published_measurements_lie_in_the_interval(
    model: str, quantization: str, gpu: str, gpus: int, traffic: Traffic, token_ms: float
) -> None:
    speed, _ = predict(load(model, quantization, gpus), hardware(gpu), traffic)
    assert speed.token_s.low <= token_ms / 1e3 <= speed.token_s.high


@pytest.mark.parametrize(
    ("model", "quantization", "gpu", "gpus"),
    [("qwen3-8b", "bf16", "L40S", 1), ("qwen3-coder-30b-a3b", "fp8", "H100", 2)],
)
def test_the_simulations_step_times_are_those_of_the_planner(
    model: str, quantization: str, gpu: str, gpus: int
) -> None:
    cost, rates, efficiency = load(model, quantization, gpus), hardware(gpu), calibrated()[0]
    times = step_times_of(cost, rates, efficiency)
    for batch, context in ((1, 1_000), (8, 20_000)):
        planned = step_s(cost, rates, batch, context, efficiency)
        simulated = times.batch_s(batch, 0) + batch * context * times.cache_token_s
        assert simulated == pytest.approx(planned, rel=0.03)


@pytest.mark.parametrize(
    ("model", "quantization", "gpu"),
    [("qwen3-8b", "bf16", "H200"), ("qwen3-coder-30b-a3b", "fp8", "H100")],
)
@pytest.mark.parametrize("prompt", [600, 3_000, 16_000])
def test_the_simulation_reads_a_prompt_as_fast_as_the_planner(
    model: str, quantization: str, gpu: str, prompt: int
) -> None:
    cost, rates, efficiency = load(model, quantization), hardware(gpu), calibrated()[0]
    step_times = step_times_of(cost, rates, efficiency)
    simulated = step_times.batch_s(0, prompt) + step_times.attention_s * prompt**2 / 2
    assert simulated == pytest.approx(times(cost, rates, Traffic(1, prompt, 1), efficiency)[2], 0.1)


def test_launches_outside_a_graph_hide_behind_the_work_of_a_long_prompt() -> None:
    """An H200 took 72 ms for any prompt of Qwen3-30B-A3B from 384 to 3,072 tokens."""
    cost, rates, efficiency = load("qwen3-30b-a3b", "bf16"), hardware("H200"), calibrated()[0]
    quick = replace(efficiency, prompt_layer_s=1e-9, routed_prompt_layer_s=1e-9)

    def alone_s(prompt: int, e: Efficiency) -> float:
        return times(cost, rates, Traffic(1, prompt, 1), e)[2]

    assert alone_s(513, efficiency) > 2 * alone_s(513, quick)
    assert alone_s(513, efficiency) > 2 * alone_s(512, efficiency)
    assert alone_s(1_000, efficiency) < 1.1 * alone_s(513, efficiency)
    assert alone_s(16_000, efficiency) == pytest.approx(alone_s(16_000, quick), rel=0.01)


def test_more_gpus_exchange_only_a_little_more_slowly() -> None:
    rates, efficiency = hardware("H100"), calibrated()[0]
    latency = [
        step_times_of(load("qwen3-32b", "bf16", gpus), rates, efficiency).step_s
        for gpus in (1, 2, 4, 8)
    ]
    steps = [more - fewer for fewer, more in pairwise(latency)]
    assert steps[1:] == pytest.approx([steps[0] / 2] * 2)


def test_a_block_that_is_a_mixer_or_a_feed_forward_part_is_half_a_layer() -> None:
    """Nemotron 3 Nano: 23 Mamba, 6 attention and 23 expert blocks are called 52 layers."""
    assert load("nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", "bf16").layers == 26
    assert load("qwen3.6-27b", "bf16").layers == 64


def test_three_guesses_bring_what_was_published_for_them() -> None:
    """Qwen3.8-27B in FP8 on an RTX PRO 6000: 53 tokens/s, 78 with MTP and three guesses."""
    cost, rates = load("qwen3.8-27b", "fp8"), hardware("RTX PRO 6000 Blackwell")
    one = Traffic(1, 2_000, 500)
    plain, guessing = (1 / predict(cost, rates, one, n)[0].token_s.expected for n in (0, 3))
    assert plain == pytest.approx(53, rel=0.07)
    assert guessing == pytest.approx(78, rel=0.05)
    assert guessing / plain == pytest.approx(78 / 53, rel=0.02)


def test_guesses_stop_to_pay_where_many_ask_at_once() -> None:
    cost, rates = load("qwen3.8-27b", "fp8"), hardware("H100")

    def gain(concurrency: int) -> float:
        traffic = Traffic(concurrency, 2_000, 500)
        plain, guessing = (predict(cost, rates, traffic, n)[0].token_s.expected for n in (0, 3))
        return plain / guessing

    assert gain(1) > gain(32) > gain(256)
