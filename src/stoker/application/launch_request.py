"""What the user asks to start, and what is known of the machine that is to run it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from stoker import engines, paths
from stoker.host import GpuSpec, Host, detect, find_gpu, imagined_host, lookup_gpu, read_host
from stoker.models import Model, Purpose


@dataclass(frozen=True, slots=True)
class HostFacts:
    """A machine, with what its own readings don't show."""

    #: Its GPUs are those that Stoker can plan for: of one kind, which is ``gpu``.
    host: Host
    gpu: GpuSpec | None = None
    #: It is this machine: models on this disk count, and so does what is installed here.
    here: bool = True
    #: Engines whose installed build can't use its GPU. A machine elsewhere is taken to have none.
    cpu_only_engines: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class LaunchRequest:
    """What is to be started. ``None`` leaves a choice to Stoker."""

    #: A short name, a hub id, a GGUF file or a folder.
    model: str | None = None
    purpose: Purpose | None = None
    #: People who use it; about a third of them wait for an answer at the busiest time.
    users: int = 1
    #: The context of one request, in tokens.
    context: int | None = None
    #: Requests answered at the same time.
    parallel: int | None = None
    #: Exactly how many GPUs a server that can divide a model divides it among.
    tensor_parallel: int | None = None
    engine: str | None = None
    #: Nothing may be downloaded to this machine; what another one could have, it still can.
    offline: bool = False
    #: vLLM as a process of this Python, or of an environment that Stoker makes.
    python: str | None = None
    native: bool = False
    #: What completes code beside it: ``auto`` or the name of a model. ``None``: nothing.
    completion: str | None = None
    #: Every model of the catalogue, recommended or not: to compare them.
    every_model: bool = False
    #: Sources that were tried and failed.
    failed: tuple[Model, ...] = ()

    def without(self, model: Model) -> LaunchRequest:
        """The same request after ``model`` could not be had from its source."""
        return replace(self, failed=(*self.failed, model))


def this_machine(*, ask_hub: bool = True) -> HostFacts:
    """This machine as it is now; what a running deployment holds counts as free.

    It takes its place, or is the one that is asked for. Takes up to 2.5 s where the hub is asked
    and does not answer.
    """
    host = detect(paths.cache_dir(), ask_hub=ask_hub)
    available = host.memory.available_bytes + _reclaimable_bytes()
    host = replace(host, memory=replace(host.memory, available_bytes=available))
    facts = _facts(host, here=True)
    return replace(
        facts, cpu_only_engines=_cpu_only_engines(host) if facts.host.gpus else frozenset()
    )


def _cpu_only_engines(host: Host) -> frozenset[str]:
    return frozenset(
        engine.name
        for engine in engines.started()
        if engine.launcher is not None and not engine.launcher.uses_gpu(host)
    )


def imagined_machine(gpu: str, count: int | None = None) -> HostFacts:
    """A machine with ``count`` GPUs of that name. Raises ``UsageError`` where none is known."""
    spec = find_gpu(gpu)
    return HostFacts(imagined_host(spec, count or 1), spec, here=False)


def described_machine(path: Path) -> HostFacts:
    """The machine that ``stoker host --json`` wrote to ``path``. Raises ``UsageError``."""
    return _facts(read_host(path), here=False)


def _facts(host: Host, *, here: bool) -> HostFacts:
    """Of GPUs of several kinds the first kind is used; unknown ones are not planned for."""
    if not host.gpus:
        return HostFacts(host, here=here)
    first = host.gpus[0]
    spec = lookup_gpu(first.name, first.memory_total_bytes)
    same = tuple(gpu for gpu in host.gpus if gpu.name == first.name)
    return HostFacts(replace(host, gpus=same if spec else ()), spec, here=here)


def _reclaimable_bytes() -> int:
    if not paths.deployment_file().exists():
        return 0
    from stoker import server  # noqa: PLC0415  (80 ms, and usually nothing runs)

    return server.reclaimable_bytes()
