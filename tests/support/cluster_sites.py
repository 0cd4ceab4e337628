"""Sites for Kubernetes, of plans that are really made: for golden files and for the real tools."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from stoker import engines
from stoker.application import rank
from stoker.deploy import Cluster, Site
from stoker.host import Cpu, GpuSpec, Host, Memory, find_gpu
from stoker.models import find_known_model
from stoker.planning import Plan, Requirements, candidates_of

_GIB = 1024**3


def _machine(spec: GpuSpec | None, gpus: int) -> Host:
    memory = Memory(total_bytes=256 * _GIB, available_bytes=240 * _GIB)
    found = tuple(spec.gpu() for _ in range(gpus)) if spec else ()
    return Host("Linux", "x86_64", Cpu("any", 32, 32, avx2=True), memory, gpus=found)


@functools.cache
def planned(model: str, gpu: str | None, gpus: int = 1) -> Plan:
    """vLLM's plan for a model of the catalogue on these GPUs, or on the CPU."""
    spec = find_gpu(gpu) if gpu else None
    asked = Requirements(purpose="chat", engine="vllm", named=True)
    forms = candidates_of([find_known_model(model)[0]])
    return rank(_machine(spec, gpus), forms, asked, spec)[0]


def site(plan: Plan, **changes: Any) -> Site:
    """A site with this plan."""
    replica = engines.get(plan.engine).replica
    assert replica is not None
    return Site(plan, replica(plan, image="", more_names=()), stoker_version="1.2.3", **changes)


def with_folder(plan: Plan, folder: str) -> Plan:
    """The plan for a model that is a folder of this machine."""
    return replace(plan, model=replace(plan.model, path=Path(folder)))


def _small(**changes: Any) -> Site:
    return site(planned("qwen2.5-coder-7b", "L40S"), **changes)


def _large() -> Site:
    return site(
        planned("qwen3-coder-30b-a3b", "H200"),
        replicas=8,
        gateways=3,
        name="models",
        tls_host="models.example.com",
        port=443,
        cluster=Cluster(issuer="internal-ca", storage_class="cephfs", namespace="llm"),
    )


def _hpa() -> Site:
    cluster = Cluster(max_replicas=4, autoscaler="hpa", gateway_class="agentgateway")
    return _small(cluster=cluster)


def _own_folder() -> Site:
    plan = with_folder(planned("qwen2.5-coder-7b", "L40S"), "/srv/models/coder")
    return site(plan, tls_host="llm.example.org", monitoring=False)


#: The sites of the golden files, each with something that the others lack.
SITES: dict[str, Callable[[], Site]] = {
    "l40s": lambda: _small(replicas=2),
    "8x-h200-tls": _large,
    "keda": lambda: _small(replicas=2, cluster=Cluster(max_replicas=6, pool="green")),
    "hpa-agentgateway": _hpa,
    "own-folder-no-monitoring": _own_folder,
    "cpu": lambda: site(planned("smollm2-135m", None)),
}
