"""How long a context llama.cpp gets where nobody names one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.application import rank
from stoker.engines.llama_cpp.llama_speed import llama_speed
from stoker.errors import StokerError
from stoker.host import Cpu, Host, Memory, find_gpu
from stoker.models import find_known_model, known_models
from stoker.planning import Candidate, Plan, Requirements, candidates_of

GIB = 1024**3


pytestmark = pytest.mark.usefixtures("home")


def planned(name: str, gpu: str | None, context: int | None = None) -> Plan:
    spec = find_gpu(gpu) if gpu else None
    memory = Memory(64 * GIB, 55 * GIB)
    gpus = () if spec is None else (spec.gpu(),)
    host = Host("Linux", "x86_64", Cpu("any", 8, 8, avx2=True), memory, gpus=gpus)
    requirements = Requirements(purpose="agent", engine="llama.cpp", context=context, named=True)
    return rank(host, candidates_of([find_known_model(name)[0]]), requirements, spec)[0]


def test_a_card_with_room_to_spare_gives_an_agent_all_that_it_is_good_with() -> None:
    plan = planned("qwen3.6-35b-a3b", "RTX 5090")
    assert (plan.max_model_len, plan.parallel) == (131_072, 2)
    assert plan.memory.total_bytes <= 31 * GIB


def test_a_full_card_and_a_processor_give_the_default() -> None:
    assert planned("qwen3.6-35b-a3b", "RTX 4080").max_model_len == 32_768
    assert planned("qwen3.6-35b-a3b", None).max_model_len == 32_768


def test_memory_that_is_shared_is_not_filled_for_a_longer_context() -> None:
    plan = planned("qwen3.6-35b-a3b", "Apple M4 Max 48GB")
    assert plan.max_model_len == 32_768
    roomy = planned("qwen3.6-35b-a3b", "Apple M4 Max 64GB")
    assert roomy.max_model_len == 131_072
    assert roomy.memory.total_bytes <= 0.6 * roomy.memory.budget_bytes


def test_a_context_that_was_asked_for_is_what_is_planned() -> None:
    assert planned("qwen3.6-35b-a3b", "RTX 5090", context=16_384).max_model_len == 16_384


SMALL = [
    form
    for form in candidates_of(known_models())
    if form.model.format == "gguf" and (form.model.parameters or 0) < 40e9
]


def on_processor(form: Candidate, gib: int) -> Plan | None:
    memory = Memory(gib * GIB, gib * GIB)
    host = Host("Linux", "x86_64", Cpu("any", 8, 8, avx2=True), memory)
    try:
        return rank(host, [form], Requirements(purpose="chat", named=True))[0]
    except StokerError:
        return None


@given(st.sampled_from(SMALL), st.integers(1, 64), st.integers(0, 32))
def test_more_memory_never_shortens_the_context(form: Candidate, gib: int, more: int) -> None:
    less, greater = on_processor(form, gib), on_processor(form, gib + more)
    if less is not None:
        assert greater is not None
        assert greater.max_model_len >= less.max_model_len
        assert less.memory.total_bytes <= less.memory.budget_bytes


@given(
    st.sampled_from(SMALL),
    st.sampled_from(["RTX 4060 8GB", "RTX 4090", "H100", "Apple M4 Max 64GB", "RX 7900 XTX"]),
    st.floats(0, 1),
    st.integers(1, 256),
)
def test_speeds_are_finite_and_positive_however_the_layers_are_divided(
    form: Candidate, gpu: str, share: float, requests: int
) -> None:
    model = replace(form.model, weights_bytes=form.model.weights_bytes or 5 * 10**9)
    speed = llama_speed(Cpu("any", 8, 8, avx2=True), find_gpu(gpu), model, share)
    for seconds in (speed.token_s(requests), speed.first_token_s(5000)):
        assert 0 < seconds < float("inf")
    assert speed.token_s(requests + 1) >= speed.token_s(requests)
