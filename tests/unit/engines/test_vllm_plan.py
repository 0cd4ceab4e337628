"""A plan for vLLM promises nothing that is known to fail, and says what it only estimates."""

from __future__ import annotations

import pytest

from stoker.application import imagined_machine
from stoker.engines.vllm.vllm_plan import plan_vllm
from stoker.errors import UsageError
from stoker.models import find_known_model
from stoker.planning import Candidate, Plan, Requirements

ESTIMATED = "The size of its files is not known"


def planned(name: str, gpu: str) -> Plan:
    machine = imagined_machine(gpu)
    assert machine.gpu is not None
    known, variant = find_known_model(name)
    candidate = Candidate(known.model(variant), known)
    return plan_vllm(machine.host, machine.gpu, candidate, Requirements(purpose="agent"))


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
