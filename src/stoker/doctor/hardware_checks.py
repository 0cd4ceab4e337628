"""The links of the machine: driver, CUDA, containers, port, disk, memory."""

from __future__ import annotations

from collections.abc import Iterator

from stoker.doctor.finding import (
    Finding,
    Public,
    Value,
    found,
    gib,
    gpu,
    known,
    limit,
    numbers,
    version,
)
from stoker.doctor.snapshot import Readings
from stoker.engines import placement
from stoker.host import ContainerRuntime, Gpu

_MIB = 1024**2
_SHOWN_HOLDERS = 3


def driver(r: Readings) -> Iterator[Finding]:
    """Whether this machine's GPUs can be used."""
    problem = " ".join(p for p in r.host.problems if "NVIDIA" in p)
    planned = r.deployment.spec.plan.gpus if r.deployment else 0
    if planned and not r.host.gpus:
        yield found("driver.lost", gpus=planned, problem=problem)
    elif problem:
        yield found("driver.unusable", problem=problem)
    elif not r.host.gpus:
        yield found("driver.none")
    for group in _alike(r.host.gpus):
        first = group[0]
        values = {"count": len(group), "gpu": gpu(first.name)}
        if first.driver:
            yield found("driver.ok", **values, version=version(first.driver))
        else:
            yield found("driver.built-in", **values)


def cuda(r: Readings) -> Iterator[Finding]:
    """Whether the driver is new enough for vLLM's image."""
    supported = next((g.cuda for g in _nvidia(r) if g.cuda), None)
    needed = str(limit("vllm_image_cuda"))
    if not _nvidia(r):
        yield found("cuda.none")
    elif supported is None or numbers(supported) >= numbers(needed):
        yield found("cuda.ok", version=version(supported))
    else:
        yield found("cuda.old", version=version(supported), needed=version(needed))
    least = str(limit("vllm_image_capability"))
    for each in _nvidia(r):
        has = each.compute_capability
        if has is not None and has < numbers(least):
            capability = Public(f"{has[0]}.{has[1]}")
            name = gpu(each.name)
            yield found("cuda.gpu-old", gpu=name, capability=capability, needed=version(least))


def containers(r: Readings) -> Iterator[Finding]:
    """Whether Docker or Podman can be used, if either is needed."""
    usable = _usable(r)
    problem = " ".join(c.problem for c in r.host.runtimes if c.problem)
    installed = any(c.problem and "not installed" not in c.problem for c in r.host.runtimes)
    if usable:
        yield found("containers.ok", name=_title(usable), version=version(usable.version))
    elif r.deployment and r.deployment.state.container:
        yield found("containers.lost", problem=problem)
    elif installed and _nvidia(r) and r.deployment is None:
        # Without one, stoker up can't choose vLLM, the best engine for a GPU.
        yield found("containers.unusable", problem=problem)
    elif installed:
        yield found("containers.idle", problem=problem)
    else:
        yield found("containers.none")


def toolkit(r: Readings) -> Iterator[Finding]:
    """Whether a container can use an NVIDIA GPU."""
    usable = _usable(r)
    if usable is None or not _nvidia(r):
        yield found("toolkit.none")
        return
    name = _title(usable)
    if usable.nvidia:
        yield found("toolkit.ok", name=name)
        return
    # Public: the fix is a text of the code and contains no reading.
    how = Public(placement.no_gpus_in_containers(usable, r.host).fix)
    needed = (
        r.deployment is not None and r.deployment.state.container and r.deployment.spec.options.gpus
    )
    yield found("toolkit.lost" if needed else "toolkit.missing", name=name, how=how)


def port(r: Readings) -> Iterator[Finding]:
    """Which program uses the gateway's port."""
    here = r.port
    holder = here.holder or Public("another program")
    following = here.next_free or here.port + 1
    if r.running:
        yield found("port.ok", port=here.port)
    elif here.free:
        yield found("port.free", port=here.port)
    elif r.deployment is not None:
        yield found("port.stolen", port=here.port, holder=holder, next=following)
    else:
        yield found("port.taken", port=here.port, holder=holder, next=following)


def disk(r: Readings) -> Iterator[Finding]:
    """Whether there is space for models, and permission to write."""
    for folder in r.unwritable:
        yield found("disk.unwritable", folder=str(folder))
    room = r.host.disk
    if room is None:
        yield found("disk.unknown")
    elif room.free_bytes < limit("disk_full_bytes"):
        yield found("disk.full", free_mib=room.free_bytes // _MIB)
    elif room.free_bytes < limit("disk_low_bytes"):
        needed = gib(limit("disk_low_bytes"))
        yield found("disk.low", free_gib=gib(room.free_bytes), needed_gib=needed)
    else:
        yield found("disk.ok", free_gib=gib(room.free_bytes))


def memory(r: Readings) -> Iterator[Finding]:
    """Whether other programs use the memory that a model needs."""
    main = r.host.memory
    for each in r.host.gpus:
        yield from _gpu_memory(r, each)
    if not main.total_bytes:
        yield found("memory.unknown")
    elif main.available_bytes < limit("low_memory_share") * main.total_bytes:
        free, total = gib(main.available_bytes), gib(main.total_bytes)
        others = [h for h in r.memory_holders if h.pid not in r.engine_pids][:_SHOWN_HOLDERS]
        holders = ", ".join(f"{h.name} (pid {h.pid}, {gib(h.memory_bytes)} GiB)" for h in others)
        yield found("memory.low", free_gib=free, total_gib=total, holders=holders or "unknown")
    elif not r.host.gpus:
        free, total = gib(main.available_bytes), gib(main.total_bytes)
        yield found("memory.ok", free_gib=free, total_gib=total, where=Public(""))


def _gpu_memory(r: Readings, each: Gpu) -> Iterator[Finding]:
    total, free = each.memory_total_bytes, each.memory_free_bytes
    if total is None or free is None:
        return
    others = [p for p in each.processes if p.pid not in r.engine_pids]
    held = _held_by_others(r, each, total - free)
    if held > limit("held_share") * total:
        named = ", ".join(f"{p.name} (pid {p.pid})" for p in others[:_SHOWN_HOLDERS])
        yield found(
            "memory.gpu-held",
            held_gib=gib(held),
            total_gib=gib(total),
            index=each.index,
            holders=named or Public("the driver does not name them"),
        )
    else:
        where = Public(f" on GPU {each.index}")
        yield found("memory.ok", free_gib=gib(free), total_gib=gib(total), where=where)


def _held_by_others(r: Readings, each: Gpu, used_bytes: int) -> int:
    """What other programs use for certain, in bytes.

    Drivers rarely list programs under WSL, and never for AMD GPUs.
    """
    if r.container_status is not None:
        return 0  # the container's engine can't be recognised by its pid
    ours = [p.memory_bytes or 0 for p in each.processes if p.pid in r.engine_pids]
    named = sum(p.memory_bytes or 0 for p in each.processes) - sum(ours)
    may_be_ours = r.running and not ours
    return named if may_be_ours else max(named, used_bytes - sum(ours))


def looking(r: Readings) -> Iterator[Finding]:
    """Whether everything was read, with nothing assumed."""
    others = [problem for problem in r.host.problems if "NVIDIA" not in problem]
    if r.unseen:
        yield found("looking.missed", names=Public(", ".join(r.unseen)))
    for problem in others:
        yield found("looking.unread", problem=problem)
    if not r.unseen and not others:
        yield found("looking.ok", seconds=r.took_s)


def _nvidia(r: Readings) -> list[Gpu]:
    return [each for each in r.host.gpus if each.vendor == "nvidia"]


def _usable(r: Readings) -> ContainerRuntime | None:
    return next((c for c in r.host.runtimes if c.reachable), None)


def _title(runtime: ContainerRuntime) -> Value:
    return known(runtime.name.title(), ("Docker", "Podman"))


def _alike(gpus: tuple[Gpu, ...]) -> list[list[Gpu]]:
    groups: dict[tuple[str, str | None], list[Gpu]] = {}
    for each in gpus:
        groups.setdefault((each.name, each.driver), []).append(each)
    return list(groups.values())
