"""``stoker host``: print the machine as a picture or as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from itertools import groupby
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from stoker import paths
from stoker.cli.options import Json
from stoker.cli.render import output
from stoker.cli.render.output import size
from stoker.counted import counted
from stoker.host import ContainerRuntime, Cpu, Gpu, Host, Memory, detect

_GIB = 1024**3
_BAR_CELLS = 20


def command(json: Json = False) -> None:
    """Show the hardware and software that Stoker finds on this machine."""
    host = detect(paths.cache_dir())
    if json:
        output.as_json(host_json(host))
    else:
        Console().print(render(host))


def host_json(host: Host) -> dict[str, Any]:
    """The host under its field names; sizes in bytes, unknown values ``null``."""
    return asdict(host)


def render(host: Host) -> RenderableType:
    """The host in at most 80 columns; what is missing is written out."""
    picture = Table.grid(padding=(0, 2))
    picture.add_column(style="bold cyan", no_wrap=True)
    picture.add_column()
    _add(picture, "Machine", [_machine(host)])
    _add(picture, "GPU", _gpus(host.gpus))
    _add(picture, "CPU", [_cpu(host.cpu)])
    _add(picture, "Memory", [_memory(host.memory)])
    _add(picture, "Disk", _disk(host))
    _add(picture, "Containers", [_runtime(runtime) for runtime in host.runtimes])
    _add(picture, "Model hub", [_hub(host.hub_reachable)])
    if not host.problems:
        return picture
    sentences = [Text(f"! {problem}", style="yellow") for problem in host.problems]
    return Group(picture, Text(), *sentences)


def _add(picture: Table, label: str, lines: Iterable[RenderableType]) -> None:
    for number, line in enumerate(lines):
        picture.add_row("" if number else label, line)


def _machine(host: Host) -> str:
    return f"{host.system} {host.arch}" + (" under Windows (WSL 2)" if host.wsl2 else "")


def _gpus(gpus: tuple[Gpu, ...]) -> list[RenderableType]:
    """Identical GPUs share a heading; each has its own bar and the processes on it."""
    if not gpus:
        return [Text("none found: models run on the CPU", style="dim")]
    lines: list[RenderableType] = []
    for heading, group in groupby(gpus, key=_heading):
        members = list(group)
        lines.append(f"{len(members)} x {heading}" if len(members) > 1 else heading)
        for gpu in members:
            lines.append(_gpu_memory(gpu))
            lines += [_holder(p.name, p.pid, p.memory_bytes) for p in gpu.processes[:3]]
    return lines


def _heading(gpu: Gpu) -> str:
    capability = gpu.compute_capability
    facts = [
        f"compute {capability[0]}.{capability[1]}" if capability else None,
        gpu.gfx,
        f"driver {gpu.driver}" if gpu.driver else None,
        f"CUDA {gpu.cuda}" if gpu.cuda else None,
    ]
    detail = " · ".join(fact for fact in facts if fact)
    return f"[bold]{escape(gpu.name)}[/]" + (f" [dim]· {escape(detail)}[/]" if detail else "")


def _gpu_memory(gpu: Gpu) -> RenderableType:
    total, free = gpu.memory_total_bytes, gpu.memory_free_bytes
    if total is None:
        return Text(f"{gpu.index}  memory unknown: shared with main memory, or not reported")
    if free is None:
        return Text(f"{gpu.index}  {size(total)}, free memory unknown")
    return _line(f"{gpu.index}  ", total, free)


def _holder(name: str, pid: int, memory_bytes: int | None) -> RenderableType:
    held = size(memory_bytes) if memory_bytes is not None else "memory"
    return Text(f"   {held} held by {name} (pid {pid})", style="dim")


def _cpu(cpu: Cpu) -> RenderableType:
    found = {"AVX2": cpu.avx2, "AVX-512": cpu.avx512, "AMX": cpu.amx}
    flags = ", ".join(name for name, has in found.items() if has)
    threads = f", {cpu.threads} threads" if cpu.threads != cpu.cores else ""
    cores = counted(cpu.cores, "core")
    return Text(f"{cpu.name}: {cores}{threads}" + (f", {flags}" if flags else ""))


def _memory(memory: Memory) -> RenderableType:
    if not memory.total_bytes:
        return Text("unknown", style="dim")
    line = _line("", memory.total_bytes, memory.available_bytes)
    return line.append(" (cgroup limit)") if memory.limited_by_cgroup else line


def _disk(host: Host) -> list[RenderableType]:
    if host.disk is None:
        return [Text("unknown: the models' folder is not accessible", style="dim")]
    bar = _line("", host.disk.total_bytes, host.disk.free_bytes)
    return [bar, Text(f"models are stored in {host.disk.path}", style="dim", overflow="fold")]


def _runtime(runtime: ContainerRuntime) -> RenderableType:
    if not runtime.reachable:
        return Text(runtime.problem or f"{runtime.name.title()} is not reachable.", style="dim")
    facts = [
        "Desktop" if runtime.desktop else None,
        "rootless" if runtime.rootless else None,
        "NVIDIA runtime" if runtime.nvidia else "no NVIDIA runtime",
    ]
    title = f"{runtime.name.title()} {runtime.version or ''}".strip()
    return Text(f"{title}: " + ", ".join(fact for fact in facts if fact))


def _hub(reachable: bool | None) -> RenderableType:
    if reachable is None:
        return Text("not checked", style="dim")
    if reachable:
        return Text("reachable", style="green")
    return Text("not reachable: only models on this machine or a package index", style="yellow")


def _line(label: str, total: int, free: int) -> Text:
    """``label ████░░░░ 12.0 of 24.0 GiB free``: the dark part is in use."""
    share = min(1.0, max(0.0, 1 - free / total)) if total else 0.0
    used = round(share * _BAR_CELLS)
    text = Text(label)
    text.append("█" * used, style="cyan").append("░" * (_BAR_CELLS - used), style="dim")
    return text.append(f" {free / _GIB:.1f} of {size(total)} free")
