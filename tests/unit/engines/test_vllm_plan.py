"""A plan for vLLM promises nothing that is known to fail, and says what it only estimates."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stoker.application import imagined_machine
from stoker.engines.vllm.vllm_plan import plan_vllm
from stoker.errors import StokerError, UsageError
from stoker.host import Memory
from stoker.models import find_known_model
from stoker.planning import Candidate, Plan, Requirements

GIB = 1024**3
ESTIMATED = "The size of its files is not known"


def planned(name: str, gpu: str, count: int = 1, main_gib: int | None = None) -> Plan:
    machine = imagined_machine(gpu, count)
    assert machine.gpu is not None
    host = machine.host
    if main_gib is not None:
        host = replace(host, memory=Memory(main_gib * GIB, main_gib * GIB))
    known, variant = find_known_model(name)
    candidate = Candidate(known.model(variant), known)
    return plan_vllm(host, machine.gpu, candidate, Requirements(purpose="agent"))


def test_files_that_are_known_to_fail_on_a_gpu_are_not_planned_for_it() -> None:
    """The recipe: Qwen3.8-27B's other NVFP4 files start on that card, these never do."""
    with pytest.raises(UsageError) as caught:
        planned("Inferact/Qwen3.8-27B-NVFP4", "RTX 5090")
    assert "RTX 5090" in caught.value.what
    assert "CUDA graphs" in caught.value.why
    assert planned("unsloth/Qwen3.8-27B-NVFP4", "RTX 5090").usable


def test_files_of_unknown_size_are_planned_larger_than_estimated_and_the_plan_states_it() -> None:
    guessed = planned("Qwen/Qwen2.5-Coder-14B-Instruct-AWQ", "RTX 4090")
    assert guessed.memory.weights_bytes == pytest.approx(1.05 * 9.29 * 1024**3, rel=0.005)
    assert any(ESTIMATED in line for line in guessed.reasons)


@pytest.mark.parametrize("name", ["unsloth/Qwen3.8-27B-NVFP4", "Qwen/Qwen3.6-27B-FP8"])
def test_files_of_known_size_or_shape_are_planned_as_they_are(name: str) -> None:
    assert not any(ESTIMATED in line for line in planned(name, "H100").reasons)


def test_tables_of_ngrams_go_to_main_memory_where_it_has_room_for_every_copy() -> None:
    roomy = planned("Qwen/Qwen3.8-Flash-Next-FP8", "H100", 4, main_gib=512)
    assert roomy.gpus == 2
    assert roomy.argument("engram_config") is None
    assert any("locks 64.0 GiB" in line for line in roomy.reasons)
    tight = planned("Qwen/Qwen3.8-Flash-Next-FP8", "H100", 4, main_gib=96)
    assert tight.gpus == 4
    assert tight.argument("engram_config") == '{"cpu_offload": false}'
    assert not any("main memory" in line for line in tight.reasons)


def test_memory_that_is_the_gpus_own_holds_tables_of_ngrams_only_once() -> None:
    """One DGX Spark has 121.6 GiB for files of 123.6 (vllm-project/vllm pull request 56757)."""
    with pytest.raises(StokerError, match="does not fit"):
        planned("nvidia/Qwen3.8-Flash-Next-NVFP4", "GB10", main_gib=128)


def test_a_model_with_tables_of_ngrams_is_not_divided_into_stages() -> None:
    """``qwen4_exp/model_state.py`` refuses it: 24 heads do not divide among 16 GPUs."""
    with pytest.raises(StokerError, match="does not fit"):
        planned("Qwen/Qwen3.8-Flash-Next", "RTX 3090", 16, main_gib=1024)
