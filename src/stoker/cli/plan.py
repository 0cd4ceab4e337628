"""``stoker plan``: what to run on this machine, or on one that is only imagined, and why."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from stoker import host as machine
from stoker import models, paths, planning
from stoker.cli import output
from stoker.cli.options import Json, count_without_name
from stoker.cli.output import size, tokens
from stoker.errors import UsageError
from stoker.host import Cpu, GpuSpec, Host, Memory
from stoker.planning import Candidate, Plan, Wishes

_GIB = 1024**3
_SHOWN = 5
_BAR_CELLS = 40
#: What an imagined machine has beside its GPUs.
_DESKTOP, _SERVER = (8, 32), (32, 256)
_OLLAMA = "ollama"


class Purpose(str, Enum):
    """What a model is wanted for."""

    CHAT = "chat"
    AGENT = "agent"
    COMPLETION = "completion"


@dataclass(frozen=True)
class Part:
    """One part of the memory bar."""

    name: str
    bytes: int
    colour: str


def command(
    model: Annotated[
        str | None, typer.Argument(help="A model of the catalogue, or a file. Default: the best.")
    ] = None,
    gpu: Annotated[
        str | None, typer.Option(help='Plan for this GPU instead, such as "RTX 4060 8GB".')
    ] = None,
    gpus: Annotated[
        int | None, typer.Option(min=1, max=64, help="How many of that GPU. Default: 1.")
    ] = None,
    users: Annotated[int, typer.Option(help="How many people use it.")] = 1,
    context: Annotated[int | None, typer.Option(help="Context of one request in tokens.")] = None,
    purpose: Annotated[Purpose, typer.Option(help="What it is for.")] = Purpose.AGENT,
    engine: Annotated[str | None, typer.Option(help="vllm, llama.cpp or ollama.")] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show every argument with its reason.")
    ] = False,
    html: Annotated[
        Path | None, typer.Option(help="Write the plans as a page with pictures.")
    ] = None,
    json: Json = False,
) -> None:
    """Say what to run on this machine, or on an imagined one, and why."""
    wishes = Wishes(
        purpose=purpose.value,
        users=users,
        context=context,
        engine=engine,
        named=model is not None,
    )
    host, spec = _machine(gpu, gpus)
    if gpu is None and spec is not None and engine != _OLLAMA:
        from stoker.engines import embedded  # noqa: PLC0415  (only a GPU raises the question)

        wishes = replace(wishes, llama_offload=embedded.offloads())
    plans = planning.rank(host, _candidates(model), wishes, spec)
    title = _title(host, spec, wishes, imagined=gpu is not None)
    if html is not None:
        from stoker.cli import page, plan_page  # noqa: PLC0415  (only where a page is wanted)

        page.write(html, plan_page.plan_page(title, plans[:_SHOWN]))
    if json:
        output.as_json({"for": title, "plans": [document(plan) for plan in plans[:_SHOWN]]})
        return
    # Stoker starts no Ollama: what to set there is the plan.
    Console().print(render(title, plans[:_SHOWN], explain=explain or engine == _OLLAMA))
    if engine == _OLLAMA:
        output.say("\nStoker does not start Ollama. Set these for its server, start it again, and:")
        for line in planning.ollama_commands(plans[0]):
            output.say(f"  {line}")
    elif gpu is None:
        output.say(f"Start it: {start_command(plans[0])}")
    if html is not None:
        output.say(f"\nWritten: {html}")


def _machine(name: str | None, count: int | None) -> tuple[Host, GpuSpec | None]:
    """This host, or one imagined around GPUs of that name; and what is known of its GPUs."""
    if name is None:
        if count is not None:
            raise count_without_name(count)
        host = machine.detect(paths.cache_dir(), ask_hub=False)
        if not host.gpus:
            return host, None
        first = host.gpus[0]
        same = tuple(gpu for gpu in host.gpus if gpu.name == first.name)
        spec = machine.lookup_gpu(first.name, first.memory_total_bytes)
        return replace(host, gpus=same if spec else ()), spec
    spec = machine.find_gpu(name)
    if spec.unified and count not in (None, 1):
        raise UsageError(
            f"There is no machine with {count} x {spec.label}.",
            "It is one with the processor and shares its memory.",
            "Leave --gpus out: each such machine serves on its own.",
        )
    return _imagined(spec, count or 1), spec


def _imagined(spec: GpuSpec, count: int) -> Host:
    cores, gib = _SERVER if spec.kind == "datacenter" else _DESKTOP
    total = gib * _GIB
    if spec.unified:
        if spec.usable_bytes is None:
            raise UsageError(
                f"{spec.name} is sold with different amounts of memory.",
                "It shares its memory with the processor, so the plan depends on it.",
                f'Say how much: --gpu "{spec.name} 64GB".',
            )
        total = spec.memory_bytes or spec.usable_bytes
    return Host(
        system="Darwin" if spec.vendor == "apple" else "Linux",
        arch="arm64" if spec.vendor == "apple" else "x86_64",
        cpu=Cpu(spec.name if spec.vendor == "apple" else "imagined", cores, cores, avx2=True),
        memory=Memory(total_bytes=total, available_bytes=int(0.85 * total)),
        gpus=tuple(spec.gpu(index) for index in range(count)),
    )


def _candidates(name: str | None) -> list[Candidate]:
    """The models to choose from: the whole catalogue, all forms of one model, or one form."""
    catalogue = models.model_catalogue()
    if name is None:
        return planning.candidates_of(catalogue)
    if models.is_path(name):
        return [Candidate(models.load(Path(name)))]
    known, variant = models.find_known_model(name)
    forms = planning.candidates_of([known])
    if name.casefold() in {alias.casefold() for alias in known.aliases} | {known.id.casefold()}:
        return forms
    return [form for form in forms if form.model.id == variant.id]


def _title(host: Host, spec: GpuSpec | None, wishes: Wishes, *, imagined: bool) -> str:
    what = f"{host.cpu.cores} cores, {size(host.memory.total_bytes)} of memory, no GPU"
    if spec is not None:
        what = f"{len(host.gpus)} x {spec.label}" if len(host.gpus) > 1 else spec.label
        main = f"{host.cpu.cores} cores and {host.memory.total_bytes / _GIB:.0f} GiB"
        what += "" if spec.unified or not imagined else f", with {main} beside it"
    people = "1 user" if wishes.users == 1 else f"{wishes.users:,} users"
    return f"{what}: {wishes.purpose} for {people}"


def start_command(plan: Plan) -> str:
    """What to type to start ``plan`` on this machine."""
    model = plan.model
    name = str(model.path) if model.path else model.id
    if model.path is None and model.format == "gguf" and model.quantization:
        name += f":{model.quantization}"
    engine = f" --engine {plan.engine}" if plan.engine != "llama.cpp" else ""
    return f"stoker up {name} --context {plan.max_model_len}{engine}"


def document(plan: Plan) -> dict[str, Any]:
    """A plan as JSON: the names are those of its fields, sizes in bytes, times in seconds."""
    value = asdict(replace(plan, model=replace(plan.model, architecture=None, chat_template=None)))
    value["fingerprint"] = plan.fingerprint
    return value


# --- drawing -------------------------------------------------------------------------------------


def render(title: str, plans: list[Plan], *, explain: bool = False) -> RenderableType:
    """The plans in 80 columns: a table, and the first of them in detail."""
    best = plans[0]
    parts: list[RenderableType] = [Text(title, style="bold"), Text(), _table(plans), Text()]
    parts += [Text(f"{best.model.id}", style="bold cyan"), _bar(best), _legend(best), Text()]
    parts += [Text(f"- {reason}") for reason in best.reasons]
    if explain:
        parts += [Text(), _arguments(best)]
    else:
        parts += [Text(), Text("--explain shows every argument with its reason.", style="dim")]
    return Group(*parts)


def _table(plans: list[Plan]) -> Table:
    table = Table(box=None, padding=(0, 1), pad_edge=False, width=80)
    table.add_column("", width=1)
    table.add_column("Model", overflow="ellipsis", no_wrap=True, ratio=1)
    for name in ("Weights", "Engine", "GPUs", "Context", "tok/s", "First"):
        justify = "left" if name in ("Weights", "Engine") else "right"
        table.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for number, plan in enumerate(plans):
        table.add_row(
            str(number + 1),
            escape(plan.model.served_name),
            plan.model.quantization or "?",
            plan.engine,
            str(plan.gpus or "-"),
            tokens(plan.max_model_len),
            f"{plan.decode_tokens_per_s:.0f}" if plan.decode_tokens_per_s else "?",
            _first_token(plan),
            style=None if plan.usable else "dim",
        )
    return table


def _first_token(plan: Plan) -> str:
    if plan.speed is None:
        return "?"
    seconds = plan.speed.first_token_s.expected
    return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"


def memory_parts(plan: Plan) -> list[Part]:
    """What one GPU's memory, or the host's, is filled with."""
    memory = plan.memory
    whole = memory.device_bytes or memory.budget_bytes
    parts = [
        Part("weights", memory.weights_bytes, "blue"),
        Part("KV cache", memory.kv_cache_bytes, "green"),
        Part("activations", memory.overhead_bytes - memory.graphs_bytes, "magenta"),
        Part("graphs", memory.graphs_bytes, "yellow"),
    ]
    free = max(0, whole - sum(part.bytes for part in parts))
    return [*(part for part in parts if part.bytes > 0), Part("free", free, "bright_black")]


def _bar(plan: Plan) -> Text:
    parts = memory_parts(plan)
    whole = sum(part.bytes for part in parts) or 1
    bar, drawn, seen = Text("  "), 0, 0
    for part in parts:
        seen += part.bytes
        end = round(_BAR_CELLS * seen / whole)
        bar.append(("░" if part.name == "free" else "█") * (end - drawn), style=part.colour)
        drawn = end
    return bar.append(f" {size(whole)}{' on each GPU' if plan.gpus > 1 else ''}")


def _legend(plan: Plan) -> Text:
    legend = Text("  ")
    for part in memory_parts(plan):
        legend.append("■ ", style=part.colour).append(f"{part.name} {size(part.bytes)} ")
    return legend


def _arguments(plan: Plan) -> Table:
    table = Table(box=None, padding=(0, 1), pad_edge=False, width=80, show_header=False)
    table.add_column(style="cyan", overflow="fold", ratio=2)
    table.add_column(ratio=3)
    for argument in plan.arguments:
        table.add_row(f"{argument.name}\n= {escape(str(argument.value))}", escape(argument.reason))
    return table
