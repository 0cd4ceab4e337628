"""KV offloading of vLLM: planned from memory that is known to be free, and off where it is not."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from stoker import engines
from stoker.application import imagined_machine
from stoker.engines import ContainerLaunch, Options, ProcessLaunch
from stoker.engines.container_spec import SHM_BYTES
from stoker.engines.vllm.vllm_kv_offloading import kv_offloading
from stoker.engines.vllm.vllm_launch import own_python
from stoker.engines.vllm.vllm_plan import plan_vllm
from stoker.engines.vllm.vllm_replica import replica
from stoker.host import Host, Memory
from stoker.models import find_known_model
from stoker.planning import Argument, Candidate, Plan, Requirements
from stoker.server.argument_overrides import corrected
from stoker.server.diagnosis import diagnose

GIB = 1024**3
UNIFORM, MIXED = "Qwen/Qwen2.5-Coder-14B-Instruct-AWQ", "openai/gpt-oss-20b"
ROOM = Memory(128 * GIB, 100 * GIB, shared_free_bytes=64 * GIB)


def planned(
    name: str = UNIFORM, gpu: str = "RTX 4090", memory: Memory = ROOM, count: int = 1
) -> Plan:
    return planned_on(name, gpu, lambda host: replace(host, memory=memory), count)


def planned_on(name: str, gpu: str, change: Callable[[Host], Host], count: int = 1) -> Plan:
    machine = imagined_machine(gpu, count)
    assert machine.gpu is not None
    known, variant = find_known_model(name)
    candidate = Candidate(known.model(variant), known)
    return plan_vllm(change(machine.host), machine.gpu, candidate, Requirements(purpose="agent"))


def offloaded(plan: Plan) -> int:
    gib = plan.argument("kv_offloading_size")
    assert gib is None or isinstance(gib, int)
    assert (gib is None) == (plan.argument("kv_offloading_backend") is None)
    return gib or 0


def test_region_is_several_times_the_cache_of_the_gpu_and_the_plan_names_its_source() -> None:
    plan = planned()
    assert 1.5 <= offloaded(plan) * GIB / plan.memory.kv_cache_bytes <= 4
    (reason,) = (a.reason for a in plan.arguments if a.name == "kv_offloading_size")
    assert "91.0 GiB are free" in reason
    assert "64.0 GiB in /dev/shm" in reason


def test_plan_names_the_seconds_by_which_a_start_takes_longer() -> None:
    plan = planned()
    (reason,) = (a.reason for a in plan.arguments if a.name == "kv_offloading_size")
    found = re.search(r"A start takes about (\d+) s longer", reason)
    assert found is not None
    # On a machine with an H200, 10 GiB took 5.5 s and 80 GiB 39 s.
    assert 0.49 <= int(found[1]) / offloaded(plan) <= 0.6


def test_half_of_what_vllm_leaves_stays_free() -> None:
    plan = planned(memory=Memory(64 * GIB, 50 * GIB, shared_free_bytes=48 * GIB))
    assert 0 < offloaded(plan) <= (50 - 9) / 2


def test_dev_shm_bounds_it() -> None:
    plan = planned(memory=replace(ROOM, shared_free_bytes=24 * GIB))
    assert 0 < offloaded(plan) <= 24 - SHM_BYTES / GIB


@pytest.mark.parametrize(
    "memory",
    [
        replace(ROOM, shared_free_bytes=None),
        replace(ROOM, shared_free_bytes=8 * GIB),
        replace(ROOM, available_bytes=14 * GIB),
        replace(ROOM, available_bytes=0),
    ],
    ids=["unknown", "small /dev/shm", "less than the GPU's cache", "none"],
)
def test_off_without_room_that_is_known(memory: Memory) -> None:
    assert offloaded(planned(memory=memory)) == 0


def test_off_for_layers_of_several_kinds_and_where_no_memory_can_be_locked() -> None:
    assert offloaded(planned(MIXED)) == 0
    wsl = planned_on(UNIFORM, "RTX 4090", lambda host: replace(host, memory=ROOM, wsl2=True))
    assert offloaded(wsl) == 0


def test_off_where_the_gpu_shares_main_memory() -> None:
    assert offloaded(planned("Qwen/Qwen3-Coder-30B-A3B-Instruct", "GB10")) == 0


def test_copies_on_the_other_gpus_get_as_much() -> None:
    machine = imagined_machine("RTX 4090", 4)
    assert machine.gpu is not None
    known, variant = find_known_model(UNIFORM)
    architecture = known.model(variant).architecture
    assert architecture is not None
    host = replace(machine.host, memory=ROOM)
    size, _ = kv_offloading(host, machine.gpu, architecture, 1, 4 * GIB)
    assert size.value == (100 // 4 - 9) // 2  # of which all four take less than half
    size, _ = kv_offloading(host, machine.gpu, architecture, 2, 2 * GIB)
    assert size.value == (100 // 2 - 2 * 9) // 2


def test_container_gets_the_flags_and_a_dev_shm_that_holds_the_region() -> None:
    plan = planned()
    launch = engines.get("vllm").launch(
        plan, port=1, key="k", options=Options(gpus=True, private_ipc=True)
    )
    assert isinstance(launch, ContainerLaunch)
    at = launch.command.index("--kv-offloading-size")
    assert launch.command[at + 1] == str(offloaded(plan))
    sizes = [flag.value for flag in launch.flags if flag.name == "--shm-size"]
    assert sizes == [f"{offloaded(plan) + SHM_BYTES // GIB}g"]


@pytest.mark.parametrize("options", [Options(gpus=True, image="own"), Options(python="/own")])
def test_vllm_of_the_users_gets_none_for_its_version_is_not_known(options: Options) -> None:
    launch = engines.get("vllm").launch(planned(), port=1, key="k", options=options)
    assert "kv-offloading-size" not in [one.name for one in launch.arguments]


def test_what_the_user_sets_is_kept_with_any_vllm() -> None:
    asked = planned().with_arguments([Argument("kv_offloading_size", 3, "Set by the user.")])
    launch = engines.get("vllm").launch(asked, port=1, key="k", options=Options(python="/own"))
    assert ("kv-offloading-size", 3) in [(one.name, one.value) for one in launch.arguments]


def test_process_of_stokers_own_environment_has_it() -> None:
    options = Options(python=own_python(), gpus=True)
    launch = engines.get("vllm").launch(planned(), port=1, key="k", options=options)
    assert isinstance(launch, ProcessLaunch)
    assert "--kv-offloading-size" in launch.argv


def test_replica_of_a_site_has_it_and_the_shared_memory_for_it() -> None:
    plan = planned()
    site = replica(plan)
    assert "--kv-offloading-size" in site.command
    assert site.shm_bytes == SHM_BYTES + offloaded(plan) * GIB
    other = replica(plan, image="registry.example.com/vllm:1")
    assert "--kv-offloading-size" not in other.command
    assert other.shm_bytes == SHM_BYTES


def test_start_that_finds_no_room_for_it_is_repeated_without_it() -> None:
    line = "RuntimeError: Insufficient space in /dev/shm for CPU KV offload shared region"
    verdict = diagnose([f"{line} in /dev/shm: 40960 MiB required, 31744 MiB free."])
    again = corrected(planned(), verdict, ())
    assert again is not None
    launch = engines.get("vllm").launch(again, port=1, key="k", options=Options(gpus=True))
    assert isinstance(launch, ContainerLaunch)
    assert "--kv-offloading-size" not in launch.command
