"""``stoker plan``: print the ranked plans for a machine, real or imagined."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from stoker import engines
from stoker.application import Choice, HostFacts, choose
from stoker.cli import launch_options
from stoker.cli.options import Json, writable
from stoker.cli.render import choice_view, output
from stoker.cli.render.output import size, tokens
from stoker.counted import counted
from stoker.engines import Engine
from stoker.planning import Plan

_GIB = 1024**3
_SHOWN = 5
_BAR_CELLS = 40


@dataclass(frozen=True)
class Part:
    """One part of the memory bar."""

    name: str
    bytes: int
    colour: str


def command(
    ctx: typer.Context,
    model: Annotated[
        str | None,
        typer.Argument(help="A short name, a hub id, a GGUF file or a folder. Default: the best."),
    ] = None,
    gpu: launch_options.Gpu = None,
    gpus: launch_options.Gpus = None,
    host: launch_options.HostFile = None,
    purpose: launch_options.For = None,
    users: launch_options.Users = 1,
    context: launch_options.Context = None,
    parallel: launch_options.Parallel = None,
    engine: Annotated[str | None, typer.Option(help="vllm, llama.cpp or ollama.")] = None,
    completion: launch_options.Completion = launch_options.OFF,
    offline: launch_options.Offline = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show every argument with its reason.")
    ] = False,
    html: Annotated[
        Path | None,
        typer.Option(callback=writable, help="Write the plans as an HTML page to this file."),
    ] = None,
    json: Json = False,
) -> None:
    """Show what to run on this machine, or on an imagined one, and why."""
    machine = launch_options.machine(gpu, gpus, host, offline=offline)
    choice = choose(launch_options.request(ctx.params), machine)
    title = _title(choice)
    if html is not None:
        from stoker.cli.render import html_page, plan_page  # noqa: PLC0415  (only where a page is wanted)

        html_page.write(html, plan_page.plan_page(title, _shown(choice)))
    if json:
        plans = choice_view.documents(choice, _SHOWN)
        completion_document = choice_view.completion_document(choice.completion)
        output.as_json(
            {
                "for": title,
                "purpose": choice.purpose,
                "plans": plans,
                "completion": completion_document,
            }
        )
        return
    Console().print(
        render(title, choice, explain=explain or _engine_of_the_user(choice) is not None)
    )
    output.say()
    _say_how_to_start(choice)
    if html is not None:
        output.say(f"\nWritten: {html}")


def _shown(choice: Choice) -> list[Plan]:
    """The plans that can be started here; if there are none, those that can't."""
    return list(choice.startable[:_SHOWN]) or [one.plan for one in choice.blocked[:_SHOWN]]


def _say_how_to_start(choice: Choice) -> None:
    engine = _engine_of_the_user(choice)
    if engine is not None and engine.planner is not None:
        output.say(
            f"Stoker does not start {engine.title}. Set these for its server, restart it, and run:"
        )
        for line in engine.planner.commands(choice.blocked[0].plan):
            output.say(f"  {line}")
    elif choice.startable:
        output.say(choice_view.start_command(choice.request, choice.machine))
    else:
        output.say("stoker up can't start any of these here.")


def _engine_of_the_user(choice: Choice) -> Engine | None:
    """The engine that was asked for, where the user starts it: the plan is what to set there."""
    name = choice.request.engine
    engine = engines.lookup(name) if name is not None else None
    return engine if engine is not None and engine.launcher is None else None


def _title(choice: Choice) -> str:
    users = choice.request.users
    people = counted(users, "user")
    return f"{_machine(choice.machine)}: {choice.purpose or 'chat'} for {people}"


def _machine(machine: HostFacts) -> str:
    host, spec = machine.host, machine.gpu
    if spec is None or not host.gpus:
        return f"{host.cpu.cores} cores, {size(host.memory.total_bytes)} of memory, no GPU"
    gpus = f"{len(host.gpus)} x {spec.label}" if len(host.gpus) > 1 else spec.label
    main = f"{host.cpu.cores} cores and {host.memory.total_bytes / _GIB:.0f} GiB"
    return gpus if spec.unified or machine.here else f"{gpus}, with {main} beside it"


# --- drawing -------------------------------------------------------------------------------------


def render(title: str, choice: Choice, *, explain: bool = False) -> RenderableType:
    """The plans in 80 columns: a table, and the first plan in detail."""
    plans = _shown(choice)
    best = plans[0]
    table = _table(plans, marked=bool(choice.startable))
    parts: list[RenderableType] = [Text(title, style="bold"), Text(), table, Text()]
    parts += [Text(f"{best.model.id}", style="bold cyan"), _bar(best), _legend(best), Text()]
    notes = [] if _engine_of_the_user(choice) else choice_view.notes(choice)
    parts += [Text(f"- {line}") for line in (*best.reasons, *notes)]
    if explain:
        parts += [Text(), _arguments(best)]
    else:
        parts += [Text(), Text("--explain shows every argument with its reason.", style="dim")]
    return Group(*parts)


def _table(plans: list[Plan], *, marked: bool) -> Table:
    """One row for each plan; where ``marked``, the first has the mark of what would start."""
    table = Table(box=None, padding=(0, 1), pad_edge=False, width=80)
    table.add_column("", width=1)
    table.add_column("Model", overflow="ellipsis", no_wrap=True, ratio=1)
    for name in ("Weights", "Engine", "GPUs", "Context", "tok/s", "First"):
        justify = "left" if name in ("Weights", "Engine") else "right"
        table.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for number, plan in enumerate(plans):
        table.add_row(
            "▶" if marked and number == 0 else str(number + 1),
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
    """What fills the memory of one GPU, or of the host."""
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
