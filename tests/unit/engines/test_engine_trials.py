"""What is worth a measurement: values that fit in the plan's memory and are not there already."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from stoker import engines
from stoker.application import imagined_machine
from stoker.engines.llama_cpp.llama_experts import ARGUMENT, routed_layers
from stoker.engines.llama_cpp.llama_plan import plan_llama
from stoker.engines.llama_cpp.llama_trials import llama_trials
from stoker.engines.vllm.vllm_plan import plan_vllm
from stoker.engines.vllm.vllm_trials import vllm_trials
from stoker.host import Host
from stoker.models import find_known_model
from stoker.planning import Candidate, Plan, Requirements, Trial


def llama(name: str, gpu: str) -> tuple[Plan, Host]:
    machine = imagined_machine(gpu)
    known, _ = find_known_model(name)
    form = next(form for form in known.weights if form.format == "gguf")
    candidate = Candidate(known.model(form), known)
    return plan_llama(machine.host, candidate, Requirements(), machine.gpu), machine.host


def vllm(name: str, gpu: str) -> tuple[Plan, Host]:
    machine = imagined_machine(gpu)
    assert machine.gpu is not None
    known, variant = find_known_model(name)
    candidate = Candidate(known.model(variant), known)
    return plan_vllm(machine.host, machine.gpu, candidate, Requirements()), machine.host


def values(trials: tuple[Trial, ...], name: str) -> list[object]:
    return [a.value for trial in trials for a in trial.arguments if a.name == name]


@pytest.mark.parametrize(
    "make",
    [
        lambda: llama("qwen3.6-35b-a3b", "RTX 3060 12GB"),
        lambda: vllm("Qwen/Qwen3.8-27B-FP8", "H100"),
    ],
)
def test_no_trial_is_what_is_planned_already_and_none_is_there_twice(make) -> None:  # type: ignore[no-untyped-def]
    plan, host = make()
    planner = engines.lookup(plan.engine).planner
    assert planner is not None
    trials = planner.trials(plan, host)
    assert trials
    assert len({trial.name for trial in trials}) == len(trials)
    for trial in trials:
        assert plan.with_arguments(trial.arguments).fingerprint != plan.fingerprint


def test_llama_cpp_tries_threads_batches_and_more_experts_in_main_memory() -> None:
    plan, host = llama("qwen3.6-35b-a3b", "RTX 3060 12GB")
    trials = llama_trials(plan, host)
    assert values(trials, "cpuparams.n_threads")
    assert max(values(trials, "n_ubatch"), default=0) <= plan.argument("n_batch")  # type: ignore[operator, type-var]
    (pattern,) = values(trials, ARGUMENT)
    assert routed_layers(str(pattern)) == routed_layers(str(plan.argument(ARGUMENT))) + 2


def test_llama_cpp_tries_other_numbers_of_drafts_that_have_room_and_none() -> None:
    plan, host = llama("qwen3.8-27b", "RTX 5090")
    planned = plan.argument("speculative.draft.n_max")
    trials = llama_trials(plan, host)
    assert set(values(trials, "speculative.draft.n_max")) == {1, 2, 3} - {planned}
    assert "none" in values(trials, "speculative.types")
    full = plan.memory.total_bytes - plan.memory.kv_cache_bytes
    without_room = replace(plan, memory=replace(plan.memory, budget_bytes=full))
    assert values(llama_trials(without_room, host), "speculative.types") == ["none"]


def test_llama_cpp_drafts_nothing_where_the_file_has_no_head() -> None:
    plan, host = llama("qwen3.6-35b-a3b", "RTX 5090")
    assert plan.argument("speculative.types") is None
    assert values(llama_trials(plan, host), "speculative.types") == []


def test_vllm_tries_the_next_batches_and_other_numbers_of_guesses() -> None:
    plan, host = vllm("Qwen/Qwen3.8-27B-FP8", "H100")
    trials = vllm_trials(plan, host)
    assert values(trials, "max_num_batched_tokens") == [4096, 16_384]
    guesses = [json.loads(str(v)) for v in values(trials, "speculative_config")]
    assert [g["num_speculative_tokens"] for g in guesses] == [1, 2]
    assert {g["method"] for g in guesses} == {"mtp"}
