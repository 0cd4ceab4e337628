"""Which of vLLM's two plans a host gets: on its GPUs, or on the CPU for users who ask for that.

The planners are imported with the first plan: most hosts have no GPU, and no plan for vLLM.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stoker.errors import StokerError, UsageError
from stoker.host import GpuSpec, Host
from stoker.planning import Candidate, Plan, Requirements, Speed, Traffic

if TYPE_CHECKING:
    from stoker.sizing import VllmReplica

NAME = "vllm"

#: Where vLLM runs: https://docs.vllm.ai/en/latest/getting_started/installation/
_SYSTEMS = ("Linux",)
_GPU_VENDORS = ("nvidia", "amd")


def plan(
    host: Host, candidate: Candidate, requirements: Requirements, gpu: GpuSpec | None
) -> Plan | None:
    """The plan on the host's GPUs; on its CPU where vLLM was asked for by name.

    Raises as ``plan_vllm`` and ``plan_vllm_cpu`` do.
    """
    if gpu is not None and _runs_on_gpus(host, gpu):
        from stoker.engines.vllm.vllm_plan import plan_vllm  # noqa: PLC0415

        return plan_vllm(host, gpu, candidate, requirements)
    if requirements.engine == NAME and not host.gpus:
        from stoker.engines.vllm.vllm_cpu_plan import plan_vllm_cpu  # noqa: PLC0415

        return plan_vllm_cpu(host, candidate, requirements)
    return None


def speed_under(plan: Plan, spec: GpuSpec, traffic: Traffic) -> Speed | None:
    """The speed of a plan under other traffic: ``vllm_speed.speed_under``."""
    from stoker.engines.vllm import vllm_speed  # noqa: PLC0415

    return vllm_speed.speed_under(plan, spec, traffic)


def replica(plan: Plan, spec: GpuSpec) -> VllmReplica | None:
    """A plan as the simulation knows it: ``vllm_speed.replica_of``."""
    from stoker.engines.vllm import vllm_speed  # noqa: PLC0415

    return vllm_speed.replica_of(plan, spec)


def why_not(host: Host, gpu: GpuSpec | None) -> StokerError | None:
    """Why vLLM can't run on ``host``, whose GPUs are ``gpu``."""
    on_cpu = not host.gpus and host.system in _SYSTEMS
    if on_cpu or _runs_on_gpus(host, gpu):
        return None
    return UsageError(
        "vllm cannot be planned here.",
        "It needs Linux and an NVIDIA or AMD GPU that Stoker knows, and there is none.",
        "Leave --engine out, or use --engine llama.cpp.",
    )


def _runs_on_gpus(host: Host, gpu: GpuSpec | None) -> bool:
    vendor = gpu.vendor if gpu is not None else None
    return bool(host.gpus) and vendor in _GPU_VENDORS and host.system in _SYSTEMS
