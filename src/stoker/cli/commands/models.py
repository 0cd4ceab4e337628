"""``stoker models``: list the catalogue, and add a model to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from enum import Enum
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from stoker import models
from stoker.application import Choice, HostFacts, LaunchRequest, choose
from stoker.cli import launch_options
from stoker.cli.options import Json
from stoker.cli.render import output
from stoker.models import KnownModel, Purpose
from stoker.planning import Plan

app = typer.Typer(
    invoke_without_command=True,
    add_completion=False,
    rich_markup_mode=None,
)


class Sort(str, Enum):
    """The orders of the list."""

    SIZE = "size"
    NAME = "name"
    CONTEXT = "context"
    RELEASED = "released"


_ORDER: dict[Sort, Callable[[KnownModel], Any]] = {
    Sort.SIZE: lambda model: model.parameters,
    Sort.NAME: lambda model: model.name,
    Sort.CONTEXT: lambda model: (-model.max_context_tokens, model.parameters),
    Sort.RELEASED: lambda model: (model.released or "", model.name),
}
#: Scores of different benchmarks are not comparable, so each has its benchmark's mark.
_MARKS = {"SWE-bench Verified": "s", "aider polyglot": "p", "aider edit": "e", "HumanEval+": "h"}
_LEGEND = """
Parameters: total/active per token. For: c chat, a agent mode, f fill-in-the-
middle (its form: "infill" in --json). Coding score in percent: s SWE-bench
Verified, p aider polyglot, e aider edit, h HumanEval+; a capital letter is the
publisher's own figure.
(!) There is a reason to avoid it: see "avoid" in stoker models --json."""
_FIT_LEGEND = """
Weights: the format that stoker up chooses. Context: what each request gets.
Tokens/s: predicted for one answer. stoker models explains the marks of scores
and purposes, and (!)."""
_LETTERS: dict[Purpose, str] = {"chat": "c", "agent": "a", "completion": "f"}


@app.callback()
def command(
    context: typer.Context,
    purpose: Annotated[
        Purpose | None,
        typer.Option("--purpose", help="Only models that are good for this purpose."),
    ] = None,
    gpu: launch_options.Gpu = None,
    gpus: launch_options.Gpus = None,
    host: launch_options.HostFile = None,
    tokens: Annotated[
        int,
        typer.Option(
            "--context", min=512, help="The context window that each request needs, in tokens."
        ),
    ] = 8192,
    fits: Annotated[
        bool,
        typer.Option(
            help="Only models that fit this machine, or the one that the options describe."
        ),
    ] = False,
    sort: Annotated[Sort, typer.Option(help="The order of the list.")] = Sort.SIZE,
    json: Json = False,
) -> None:
    """List the models that Stoker knows, or add your own: stoker models add REPO_OR_FOLDER."""
    if context.invoked_subcommand is not None:
        return
    known = [m for m in models.known_models() if purpose is None or purpose in m.purposes]
    known.sort(key=_ORDER[sort])
    if not fits and (gpu, gpus, host) == (None, None, None):
        _show(known, json)
        return
    choice = choose(LaunchRequest(every_model=True), launch_options.machine(gpu, gpus, host))
    found = _plans(choice, tokens)
    _show_fits([m for m in known if m.name in found or not fits], found, choice.machine, json)


@app.command("add")
def add(
    what: Annotated[
        str,
        typer.Argument(metavar="REPO_OR_FOLDER", help="OWNER/NAME on the hub, or a folder."),
    ],
    json: Json = False,
) -> None:
    """Read a model from the hub or a folder and add it to your own models.toml."""
    entry, path = models.add_model(models.resolve(what)[0])
    if json:
        output.as_json({"added": _document(entry), "file": str(path)})
        return
    output.say(f"Added {entry.id} ({_parameters(entry)}, {_context(entry)} context) to {path}.")
    output.say("Edit the file to set purposes, tool_call_parser or a short name (aliases).")


def _plans(choice: Choice, least_tokens: int) -> dict[str, Plan]:
    """The plan for each model by its short name, where its requests get enough context."""
    plans = [*choice.startable, *(one.plan for one in choice.blocked)]
    found: dict[str, Plan] = {}
    for plan in plans:
        limit = plan.model.max_context_tokens or least_tokens
        if plan.max_model_len >= min(least_tokens, limit):
            found.setdefault(plan.model.served_name, plan)
    return found


def _show(known: list[KnownModel], json: bool) -> None:
    if json:
        output.as_json([_document(model) for model in known])
        return
    Console().print(table(known))
    output.say(_LEGEND)


def _show_fits(
    known: list[KnownModel], found: Mapping[str, Plan], machine: HostFacts, json: bool
) -> None:
    if json:
        fits = [(model, found.get(model.name)) for model in known]
        output.as_json([_document(model) | {"fit": plan and _fit(plan)} for model, plan in fits])
        return
    output.say(f"On {_label(machine)}, one user:")
    Console().print(fit_table(known, found))
    output.say(_FIT_LEGEND)


def _label(machine: HostFacts) -> str:
    gpus = machine.host.gpus
    if machine.gpu is None or not gpus:
        return f"{machine.host.cpu.cores} cores with {output.size(machine.host.memory.total_bytes)}"
    return machine.gpu.label if len(gpus) == 1 else f"{len(gpus)} x {machine.gpu.label}"


def _fit(plan: Plan) -> dict[str, Any]:
    return {
        "id": plan.model.id,
        "quantization": plan.model.quantization,
        "engine": plan.engine,
        "gpus": plan.gpus,
        "weights_bytes": plan.model.weights_bytes or plan.memory.weights_bytes * max(1, plan.gpus),
        "max_model_len": plan.max_model_len,
        "decode_tokens_per_s": plan.decode_tokens_per_s,
        "usable": plan.usable,
    }


def fit_table(known: list[KnownModel], found: Mapping[str, Plan]) -> Table:
    """How each model fits, in at most 80 columns."""
    grid = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    grid.add_column("Model", no_wrap=True, overflow="ellipsis", max_width=28)
    grid.add_column("For", no_wrap=True, min_width=3)
    grid.add_column("Score", no_wrap=True, justify="right", min_width=6)
    grid.add_column("Weights", no_wrap=True, min_width=7)
    grid.add_column("Size", no_wrap=True, justify="right", min_width=8)
    grid.add_column("Context", no_wrap=True, justify="right", min_width=7)
    grid.add_column("Tokens/s", no_wrap=True, justify="right", min_width=8)
    for model in known:
        plan = found.get(model.name)
        purposes = _purposes(model)
        start = [model.name + (" (!)" if model.avoid else ""), purposes, _score(model)]
        if plan is None:
            grid.add_row(*start, "does not fit", "", "", "", style="dim")
            continue
        fit = _fit(plan)
        speed = f"{plan.decode_tokens_per_s:.0f}" if plan.decode_tokens_per_s else ""
        weights = (plan.model.quantization or "").upper()
        context = output.tokens(plan.max_model_len)
        grid.add_row(*start, weights, output.size(fit["weights_bytes"]), context, speed)
    return grid


def table(known: list[KnownModel]) -> Table:
    """The models in at most 80 columns."""
    grid = Table(box=None, pad_edge=False, header_style="bold")
    grid.add_column("Model", no_wrap=True, overflow="ellipsis")
    grid.add_column("Parameters", justify="right", no_wrap=True, min_width=10)
    grid.add_column("Context", justify="right", no_wrap=True, min_width=7)
    grid.add_column("For", no_wrap=True, min_width=3)
    grid.add_column("Score", no_wrap=True, justify="right", min_width=6)
    grid.add_column("Licence", no_wrap=True, overflow="ellipsis", max_width=18)
    for model in known:
        grid.add_row(
            model.name + (" (!)" if model.avoid else ""),
            _parameters(model),
            _context(model),
            _purposes(model),
            _score(model),
            model.license,
        )
    return grid


def _score(model: KnownModel) -> str:
    if model.quality is None:
        return ""
    mark = _MARKS.get(model.quality.benchmark, "*")
    own = model.quality.by == "publisher"
    return f"{model.quality.score:g} {mark.upper() if own else mark}"


def _parameters(model: KnownModel) -> str:
    total = _billions(model.parameters)
    return f"{total}/{_billions(model.active_parameters)}" if model.active_parameters else total


def _billions(count: int) -> str:
    return f"{count / 1e9:.3g}B" if count < 1e12 else f"{count / 1e12:.3g}T"


def _context(model: KnownModel) -> str:
    return output.tokens(model.max_context_tokens)


def _purposes(model: KnownModel) -> str:
    """What a model is for, a letter each: ``f`` only where the form of that is known."""
    known = (p for p in model.purposes if p != "completion" or model.infill is not None)
    return "".join(_LETTERS[purpose] for purpose in known)


def _document(model: KnownModel) -> dict[str, Any]:
    document = asdict(model)
    document["architecture"].pop("raw")
    return {"name": model.name, **document}
