"""A machine divided between two models: a part for the small one, and what that leaves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from stoker.application.launch_request import HostFacts
from stoker.host import Gpu
from stoker.planning import Plan
from stoker.planning.formatting import GIB, MIB

#: The parts of the GPUs' memory that completion is planned in: of all of it, an engine that pages
#: its cache would take all. A small model never needs the larger parts; one that is named may.
_GPU_PARTS = (0.15, 0.3, 0.5)
_LEAST_GPU_PART_BYTES = 2 * GIB
#: What a further process takes of a GPU beside its plan: its context and compute buffers.
_GPU_PROCESS_BYTES = 400 * MIB


def parts_of(here: HostFacts, *, all_sizes: bool) -> Iterator[HostFacts]:
    """Parts of a machine to plan a small model in, the smallest first, and at last its CPU.

    Without ``all_sizes`` only the smallest part of its GPUs.
    """
    if not here.host.gpus:
        yield here
        return
    for part in _GPU_PARTS if all_sizes else _GPU_PARTS[:1]:
        gpus = tuple(_part(gpu, part, unified=_is_unified(here)) for gpu in here.host.gpus)
        yield replace(here, host=replace(here.host, gpus=gpus))
    yield replace(here, host=replace(here.host, gpus=()), gpu=None)


def rest_of(machine: HostFacts, plan: Plan) -> HostFacts:
    """The machine without the memory that ``plan`` takes."""
    taken = plan.memory.total_bytes
    if not plan.gpus:
        memory = machine.host.memory
        left = max(0, memory.available_bytes - taken)
        return replace(
            machine, host=replace(machine.host, memory=replace(memory, available_bytes=left))
        )
    each = (taken + _GPU_PROCESS_BYTES) // len(machine.host.gpus)
    unified = _is_unified(machine)
    gpus = tuple(
        replace(
            gpu,
            memory_free_bytes=_less(gpu.memory_free_bytes or gpu.memory_total_bytes, each),
            # Of memory that it shares with the CPU, a plan reads the whole.
            memory_total_bytes=_less(gpu.memory_total_bytes, each if unified else 0),
        )
        for gpu in machine.host.gpus
    )
    return replace(machine, host=replace(machine.host, gpus=gpus))


def _part(gpu: Gpu, part: float, *, unified: bool) -> Gpu:
    """The GPU with no more free memory than this part of it."""
    total = gpu.memory_total_bytes
    if total is None:
        return gpu
    most = max(int(part * total), _LEAST_GPU_PART_BYTES)
    free = min(gpu.memory_free_bytes or total, most)
    # Of memory that it shares with the CPU, a plan reads the whole.
    return replace(
        gpu, memory_free_bytes=free, memory_total_bytes=min(total, most) if unified else total
    )


def _is_unified(machine: HostFacts) -> bool:
    return machine.gpu is not None and machine.gpu.unified


def _less(known: int | None, taken: int) -> int | None:
    return None if known is None else max(0, known - taken)
