"""Where a mixture does not fit on the GPU, its experts give way before anything else does."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.application import imagined_machine
from stoker.engines.llama_cpp.llama_experts import (
    ARGUMENT,
    experts_bytes,
    layers_in_main_memory,
    override,
)
from stoker.engines.llama_cpp.llama_plan import plan_llama
from stoker.engines.ollama.ollama_plan import plan_ollama
from stoker.models import Model, find_known_model
from stoker.planning import Candidate, MemoryPrediction, Plan, Requirements

GIB = 1024**3


def gguf(name: str) -> Candidate:
    known, _ = find_known_model(name)
    form = next(form for form in known.weights if form.format == "gguf")
    return Candidate(known.model(form), known)


def planned(name: str, gpu: str) -> Plan:
    machine = imagined_machine(gpu)
    return plan_llama(machine.host, gguf(name), Requirements(purpose="agent"), machine.gpu)


MOE: Model = replace(gguf("qwen3.6-35b-a3b").model, weights_bytes=20 * GIB)


def memory(total_bytes: int) -> MemoryPrediction:
    return MemoryPrediction(20 * GIB, 0, total_bytes - 20 * GIB, 100 * GIB)


@given(total=st.integers(20 * GIB, 40 * GIB), gpu=st.integers(0, 40 * GIB))
def test_what_stays_on_the_gpu_fits_there_and_one_layer_more_would_not(
    total: int, gpu: int
) -> None:
    layers = layers_in_main_memory(MOE, memory(total), gpu)
    routed = experts_bytes(MOE)
    if layers is None:
        assert total - routed > gpu
        return
    assert 0 <= layers <= 40
    assert total - layers * routed / 40 <= gpu + 1
    assert layers == 0 or total - (layers - 1) * routed / 40 > gpu - 1


def test_a_dense_model_has_nothing_to_place() -> None:
    dense = replace(gguf("qwen3.5-27b").model, weights_bytes=16 * GIB)
    assert layers_in_main_memory(dense, memory(20 * GIB), 12 * GIB) is None


def test_the_pattern_names_the_experts_of_the_first_layers_and_nothing_else() -> None:
    pattern, _, place = override(MOE, 3).rpartition("=")
    assert place == "CPU"
    names = [
        f"blk.{layer}.{part}.weight"
        for layer in (0, 2, 3, 12)
        for part in ("ffn_up_exps", "ffn_gate_up_exps", "ffn_up_shexp", "attn_q", "ffn_gate_inp")
    ]
    matched = [name for name in names if re.search(pattern, name)]
    assert matched == [
        f"blk.{layer}.{part}.weight"
        for layer in (0, 2)
        for part in ("ffn_up_exps", "ffn_gate_up_exps")
    ]


@pytest.mark.parametrize(("gpu", "published"), [("RTX 4060 Ti 8GB", 41), ("RTX 3060 12GB", 34.6)])
def test_a_mixture_on_a_small_card_is_about_as_fast_as_was_published(
    gpu: str, published: float
) -> None:
    """Qwen3.6-35B-A3B in 4 bits with its experts in main memory; plans promise a factor of 1.5."""
    plan = planned("qwen3.6-35b-a3b", gpu)
    assert plan.argument("n_gpu_layers") == -1
    assert plan.argument(ARGUMENT)
    assert plan.decode_tokens_per_s is not None
    assert published / 1.5 < plan.decode_tokens_per_s < published * 1.5


def test_a_card_that_holds_the_mixture_whole_places_nothing_apart() -> None:
    assert planned("qwen3.6-35b-a3b", "RTX 4090").argument(ARGUMENT) is None


def test_a_dense_model_that_is_too_large_is_divided_by_layers() -> None:
    plan = planned("qwen3.5-27b", "RTX 3060 12GB")
    assert plan.argument(ARGUMENT) is None
    layers = plan.argument("n_gpu_layers")
    assert isinstance(layers, int)
    assert 0 < layers < 64


def test_a_data_centres_gpu_does_not_wait_for_main_memory() -> None:
    plan = planned("minimax-m3", "MI300X")
    assert plan.argument(ARGUMENT) is None


def test_ollama_places_whole_layers() -> None:
    machine = imagined_machine("RTX 3060 12GB")
    wanted = Requirements(purpose="agent")
    plan = plan_ollama(machine.host, gguf("qwen3.6-35b-a3b"), wanted, machine.gpu)
    layers = plan.argument("num_gpu")
    assert isinstance(layers, int)
    assert 0 < layers < 40
