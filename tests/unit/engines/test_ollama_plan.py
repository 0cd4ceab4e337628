"""What a plan says to set for Ollama, which Stoker does not start."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from stoker.application import rank
from stoker.engines.ollama.ollama_plan import commands
from stoker.errors import StokerError
from stoker.host import Cpu, GpuSpec, Host, Memory, find_gpu
from stoker.models import find_known_model
from stoker.planning import Candidate, Plan, Requirements, candidates_of

GIB = 1024**3


pytestmark = pytest.mark.usefixtures("home")


def machine(spec: GpuSpec | None) -> Host:
    memory = Memory(total_bytes=64 * GIB, available_bytes=48 * GIB)
    gpus = () if spec is None else (spec.gpu(),)
    return Host("Linux", "x86_64", Cpu("any", 8, 8, avx2=True), memory, gpus=gpus)


def planned(name: str, gpu: str | None = None, engine: str = "ollama") -> Plan:
    spec = find_gpu(gpu) if gpu else None
    forms = candidates_of([find_known_model(name)[0]])
    asked = Requirements(purpose="agent", engine=engine, named=True)
    return rank(machine(spec), forms, asked, spec)[0]


@pytest.mark.parametrize("gpu", [None, "RTX 4060 8GB", "RTX 3060 12GB"])
def test_memory_and_speed_are_those_of_llama_cpp(gpu: str | None) -> None:
    ollama, llama = planned("qwen3.5-9b", gpu), planned("qwen3.5-9b", gpu, "llama.cpp")
    assert (ollama.memory, ollama.speed) == (llama.memory, llama.speed)
    assert (ollama.max_model_len, ollama.parallel) == (llama.max_model_len, llama.parallel)


def test_the_context_is_that_of_one_request_and_not_of_all_slots() -> None:
    plan = planned("qwen2.5-coder-1.5b")
    assert plan.argument("OLLAMA_CONTEXT_LENGTH") == plan.max_model_len == 32_768
    assert plan.argument("OLLAMA_NUM_PARALLEL") == plan.parallel == 2


def test_a_cache_of_8_bits_comes_with_the_flash_attention_that_it_needs() -> None:
    plan = planned("qwen3.5-9b", "RTX 4060 8GB")
    assert plan.argument("OLLAMA_KV_CACHE_TYPE") == "q8_0"
    assert plan.argument("OLLAMA_FLASH_ATTENTION") == 1


@pytest.mark.parametrize(
    ("gpu", "least", "most"),
    [(None, 0, 0), ("RTX 3060 12GB", 1, 47), ("RTX 4090", 49, 49)],
)
def test_layers_on_the_gpu_count_the_output_where_all_fit(
    gpu: str | None, least: int, most: int
) -> None:
    # 48 blocks: qwen3-coder-30b-a3b has 17.4 GiB of weights.
    layers = planned("qwen3-coder-30b-a3b", gpu).argument("num_gpu")
    assert isinstance(layers, int)
    assert least <= layers <= most


@pytest.mark.parametrize(
    ("gpu", "expected"),
    [("RTX 4060 8GB", "4,096"), ("RTX 4090", "as many by itself"), ("H100", "262,144")],
)
def test_the_reason_names_the_context_that_ollama_would_take(gpu: str, expected: str) -> None:
    plan = planned("qwen2.5-coder-7b", gpu)
    reasons = {argument.name: argument.reason for argument in plan.arguments}
    assert expected in reasons["OLLAMA_CONTEXT_LENGTH"]


def test_a_model_of_the_hub_is_pulled_by_its_repository_and_quantization() -> None:
    pull, adopt = commands(planned("qwen2.5-coder-7b"))
    assert pull == "ollama pull hf.co/Qwen/Qwen2.5-Coder-7B-Instruct-GGUF:Q4_K_M"
    assert adopt == "stoker adopt http://127.0.0.1:11434"


def test_a_file_that_is_here_goes_into_a_modelfile() -> None:
    model = replace(planned("qwen2.5-coder-7b").model, path=Path("/models/coder.gguf"))
    requirements = Requirements(purpose="agent", engine="ollama", named=True)
    plan = rank(machine(None), [Candidate(model)], requirements)[0]
    assert plan.argument("FROM") == "/models/coder.gguf"
    assert commands(plan)[0].startswith("ollama create")


def test_a_file_so_large_that_publishers_split_it_is_refused() -> None:
    spec = find_gpu("H200")
    forms = candidates_of([find_known_model("gpt-oss-120b")[0]])
    requirements = Requirements(purpose="agent", engine="ollama", named=True)
    with pytest.raises(StokerError, match="can't pull") as caught:
        rank(machine(spec), forms, requirements, spec)
    assert "several files" in caught.value.why


def test_ollama_is_planned_only_where_it_is_asked_for() -> None:
    spec = find_gpu("RTX 4060 8GB")
    forms = candidates_of([find_known_model("qwen2.5-coder-7b")[0]])
    plans = rank(machine(spec), forms, Requirements(purpose="agent", named=True), spec)
    assert {plan.engine for plan in plans} <= {"vllm", "llama.cpp"}
