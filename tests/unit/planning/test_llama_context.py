"""How long a context llama.cpp gets where nobody names one."""

from __future__ import annotations

from pathlib import Path

import pytest

from stoker.host import Cpu, Host, Memory, find_gpu
from stoker.models import find_known_model
from stoker.planning import Plan, Wishes, candidates_of, rank

GIB = 1024**3


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STOKER_HOME", str(tmp_path))


def planned(name: str, gpu: str | None, context: int | None = None) -> Plan:
    spec = find_gpu(gpu) if gpu else None
    memory = Memory(64 * GIB, 55 * GIB)
    gpus = () if spec is None else (spec.gpu(),)
    host = Host("Linux", "x86_64", Cpu("any", 8, 8, avx2=True), memory, gpus=gpus)
    wishes = Wishes(purpose="agent", engine="llama.cpp", context=context, named=True)
    return rank(host, candidates_of([find_known_model(name)[0]]), wishes, spec)[0]


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
