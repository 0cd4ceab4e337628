"""Whether vLLM keeps what it has read in main memory as well, and how much: known cases only.

The native backend of vLLM 0.32 takes one region of ``--kv-offloading-size`` GiB for all GPUs
together (``vllm/config/cache.py``), a file in ``/dev/shm`` whose pages are locked, and does not
start where that is too small (``v1/kv_offload/cpu/shared_offload_region.py``). Prefix caching looks
there for what the GPUs no longer hold. Every block is copied when it is full
(``kv_connector/v1/offloading/scheduler.py``), so that a region no larger than the GPUs' own cache
holds hardly more than that. What ran on H200s, and of which version:
``docs/contributing/vllm-main-memory.md``.

0.26 works too, but locks a tensor for each layer, which PyTorch rounds up to a power of two: 18 GiB
for 10, none of it in ``/dev/shm``. The plan's numbers do not hold there.
"""

from __future__ import annotations

import math

from stoker.engines.container_spec import SHM_BYTES
from stoker.host import GpuSpec, Host
from stoker.models import Architecture
from stoker.planning.formatting import GIB, size
from stoker.planning.serving_plan import Argument, Plan

#: The argument with the region's size, in GiB.
SIZE = "kv_offloading_size"
_BACKEND = "kv_offloading_backend"
#: What vLLM's process of one GPU holds beside the region: 35 GiB for four
#: (https://github.com/vllm-project/vllm/issues/53042). Less on H200s, with weights that were not
#: read from files: 3.4 GiB for one, 6.6 for two.
PROCESS_BYTES = 9 * GIB
#: Locked pages come back to nothing else while vLLM runs: half of what is left stays free.
_SHARE = 0.5
#: To fill and lock one GiB: 5.5 s for 10 GiB and 39 s for 80, by 0.32's own code on a machine with
#: an H200.
_FILL_S_PER_GIB = 0.5
#: How the reasons of planned arguments end: what the user sets has another.
_PLANNED = "Planned for the version that Stoker starts."
#: Times the cache of the GPUs: less adds little, and more takes longer to lock than it is used.
_LEAST_TIMES, _MOST_TIMES = 1.5, 4


def kv_offloading(
    host: Host, spec: GpuSpec, architecture: Architecture, gpus: int, kv_cache_bytes: int
) -> tuple[Argument, ...]:
    """The arguments for a model on ``gpus`` of the host's GPUs; none where it is not known to help.

    ``kv_cache_bytes`` is what the cache of each GPU takes. A host whose other GPUs may run copies
    of the model has a share of its memory for each.
    """
    shared = host.memory.shared_free_bytes
    if shared is None or not _is_known(host, spec, architecture):
        return ()
    copies = len(host.gpus) // gpus
    spare = host.memory.available_bytes / copies - gpus * PROCESS_BYTES
    cache = gpus * kv_cache_bytes
    room = min(_SHARE * spare, shared / copies - SHM_BYTES, _MOST_TIMES * cache)
    gib = int(room // GIB)
    if gib < 1 or gib * GIB < _LEAST_TIMES * cache:
        return ()
    reason = (
        f"{gib} GiB of main memory keep what the GPU's cache of {size(cache)} has no room for: a "
        f"conversation that comes back is copied, not read again. {size(int(spare))} are free "
        f"beside vLLM itself, and {size(shared)} in /dev/shm, where it lies locked. A start takes "
        f"about {math.ceil(gib * _FILL_S_PER_GIB)} s longer. {_PLANNED}"
    )
    return (
        Argument(SIZE, gib, reason),
        Argument(_BACKEND, "native", f"vLLM's own, which needs no other server. {_PLANNED}"),
    )


def _is_known(host: Host, spec: GpuSpec, architecture: Architecture) -> bool:
    """Whether it was seen to work on such a GPU, with such a model.

    Only CUDA takes one region of the size that is asked for. Unified memory is the GPU's own, and
    WSL locks less memory than there is. Models with layers of several kinds took 1.9 times the
    size (issue 53042).
    """
    uniform = not architecture.recurrent and [a.kind for a in architecture.attention] == ["full"]
    return spec.vendor == "nvidia" and not spec.unified and not host.wsl2 and uniform


def region_bytes(plan: Plan) -> int:
    """What the plan's region takes of ``/dev/shm``."""
    gib = plan.argument(SIZE)
    return gib * GIB if isinstance(gib, int) else 0


def without_offloading(arguments: tuple[Argument, ...]) -> tuple[Argument, ...]:
    """Without what was planned, for another version of vLLM, which may not know it."""
    return tuple(one for one in arguments if not one.reason.endswith(_PLANNED))
