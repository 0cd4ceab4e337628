"""What the log of a start reports of the KV cache corrects later plans here, within bounds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stoker import paths
from stoker.application import LaunchRequest, choose, imagined_machine, measured_memory
from stoker.planning import Plan

pytestmark = pytest.mark.usefixtures("home")

GIB = 1024**3
#: A machine of this kind that is this one.
HERE = replace(imagined_machine("L40S", 2), here=True)
HOST = HERE.host


def of_vllm(*, model: Plan | None = None) -> Plan:
    found = choose(LaunchRequest(purpose="agent"), HERE).startable
    wanted = model.model.id if model else None
    return next(p for p in found if p.engine == "vllm" and wanted in (None, p.model.id))


def log(*cache_gib: float) -> list[str]:
    """As vLLM 0.26 prints it, one line for each GPU's process."""
    line = "(Worker_TP0 pid=7) INFO 11-23 14:21:10 [gpu_worker.py:560] Available KV cache memory: "
    return ["another line", *(f"{line}{gib:.2f} GiB" for gib in cache_gib)]


def left_gib(plan: Plan) -> float:
    return plan.memory.kv_cache_bytes / GIB


def test_a_smaller_cache_than_planned_is_counted_with_the_next_time_and_shown() -> None:
    first = of_vllm()
    measured_memory.remember(first, HOST, log(*[left_gib(first) - 1.5] * first.gpus))
    second = of_vllm(model=first)
    assert left_gib(second) == pytest.approx(left_gib(first) - 1.5, abs=0.02)
    assert any("Measured here (stoker up): vLLM takes 1.5 GiB more" in r for r in second.reasons)
    # A start as it is planned now teaches nothing new.
    measured_memory.remember(second, HOST, log(*[left_gib(second)] * second.gpus))
    assert left_gib(of_vllm(model=first)) == pytest.approx(left_gib(second), abs=0.02)


def test_the_gpu_with_the_least_room_decides_and_earlier_starts_do_not() -> None:
    first = of_vllm()
    now = [left_gib(first) + 1.0] * (first.gpus - 1) + [left_gib(first) + 0.5]
    measured_memory.remember(first, HOST, log(0.1, 0.1, *now))
    assert left_gib(of_vllm(model=first)) == pytest.approx(left_gib(first) + 0.5, abs=0.02)


def test_a_correction_is_bounded_and_rounding_is_none() -> None:
    first = of_vllm()
    measured_memory.remember(first, HOST, log(*[0.0] * first.gpus))
    assert first.memory.device_bytes is not None
    (more,) = measured_memory.of(HOST).values()
    assert more == int(0.1 * first.memory.device_bytes)
    measured_memory.remember(first, HOST, log(*[left_gib(first) - 0.01] * first.gpus))
    assert list(measured_memory.of(HOST).values()) == [0]


def test_other_machines_and_logs_without_it_change_nothing() -> None:
    first = of_vllm()
    measured_memory.remember(first, HOST, log())
    assert measured_memory.of(HOST) == {}
    measured_memory.remember(first, HOST, log(*[left_gib(first) - 1.5] * first.gpus))
    assert measured_memory.of(imagined_machine("H100").host) == {}
    elsewhere = choose(LaunchRequest(purpose="agent"), replace(HERE, here=False)).startable
    same = next(p for p in elsewhere if p.engine == "vllm" and p.model.id == first.model.id)
    assert left_gib(same) == left_gib(first)


def test_a_damaged_file_changes_nothing_and_is_written_again() -> None:
    first = of_vllm()
    measured_memory.remember(first, HOST, log(*[left_gib(first) - 1.5] * first.gpus))
    (paths.config_dir() / "measured-memory.json").write_text("{[")
    assert measured_memory.of(HOST) == {}
    measured_memory.remember(first, HOST, log(*[left_gib(first) - 1.5] * first.gpus))
    assert measured_memory.of(HOST)
    assert measured_memory.forget()
    assert not measured_memory.forget()
