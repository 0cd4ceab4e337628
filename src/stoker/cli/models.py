"""``stoker models``: what Stoker knows of models, and adding one of your own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from enum import Enum
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from stoker import models
from stoker.cli import output
from stoker.cli.options import Json, count_without_name
from stoker.errors import UsageError
from stoker.host import GpuSpec, detect, find_gpu
from stoker.models import KnownModel, Purpose
from stoker.paths import cache_dir
from stoker.planning import Fit, best_fit

app = typer.Typer(
    invoke_without_command=True,
    add_completion=False,
    rich_markup_mode=None,
)


class Sort(str, Enum):
    """What the list can be ordered by."""

    SIZE = "size"
    NAME = "name"
    CONTEXT = "context"
    RELEASED = "released"


class For(str, Enum):
    """What a model can be wanted for."""

    CHAT = "chat"
    AGENT = "agent"
    COMPLETION = "completion"


_ORDER: dict[Sort, Callable[[KnownModel], Any]] = {
    Sort.SIZE: lambda model: model.parameters,
    Sort.NAME: lambda model: model.name,
    Sort.CONTEXT: lambda model: (-model.max_context_tokens, model.parameters),
    Sort.RELEASED: lambda model: (model.released or "", model.name),
}
#: Scores of different benchmarks cannot be compared, so each is marked with its own.
_MARKS = {"SWE-bench Verified": "s", "aider polyglot": "p", "aider edit": "e", "HumanEval+": "h"}
_LEGEND = """
Parameters: all/used by one token. For: c chat, a agent mode, f filling in the
middle. Score for code in percent: s SWE-bench Verified, p aider polyglot,
e aider edit, h HumanEval+; a capital is the publisher's own figure.
(!) There is a reason to avoid it: stoker models --json says which."""
_FIT_LEGEND = """
Context: the longest that one request can have. Tokens/s: predicted for one
answer with vLLM; empty where llama.cpp runs it (Q4_K_M). For the marks of
scores and purposes, and what (!) means: stoker models."""
_LETTERS: dict[Purpose, str] = {"chat": "c", "agent": "a", "completion": "f"}


@app.callback()
def command(
    context: typer.Context,
    purpose: Annotated[
        For | None, typer.Option("--purpose", help="Only models that are good for this.")
    ] = None,
    gpu: Annotated[
        str | None, typer.Option(help='Show how each fits a GPU, such as "RTX 4060 8GB".')
    ] = None,
    gpus: Annotated[
        int | None, typer.Option(min=1, max=64, help="How many of that GPU. Default: 1.")
    ] = None,
    tokens: Annotated[
        int, typer.Option("--context", min=512, help="The context that each request needs.")
    ] = 8192,
    fits: Annotated[
        bool, typer.Option(help="Only models that fit, on --gpu or this host's.")
    ] = False,
    sort: Annotated[Sort, typer.Option(help="The order of the list.")] = Sort.SIZE,
    json: Json = False,
) -> None:
    """List the models that Stoker knows, or add one: stoker models add REPO_OR_FOLDER."""
    if context.invoked_subcommand is not None:
        return
    known = [m for m in models.model_catalogue() if purpose is None or purpose.value in m.purposes]
    known.sort(key=_ORDER[sort])
    if gpus is not None and gpu is None:
        raise count_without_name(gpus)
    spec, count = _gpu(gpu, gpus or 1) if gpu or fits else (None, 1)
    if spec is None:
        _show(known, json)
        return
    found = {m.id: _fit(m, spec, count, tokens) for m in known}
    _show_fits([m for m in known if found[m.id] or not fits], found, spec, count, json)


@app.command("add")
def add(
    what: Annotated[str, typer.Argument(metavar="REPO_OR_FOLDER")],
    json: Json = False,
) -> None:
    """Read a model from the hub or a folder and add it to your own models.toml."""
    entry, path = models.add_model(models.resolve(what)[0])
    if json:
        output.as_json({"added": _document(entry), "file": str(path)})
        return
    output.say(f"Added {entry.id} ({_parameters(entry)}, {_context(entry)} context) to {path}.")
    output.say("Edit the file to set purposes, tool_call_parser or a short name (aliases).")


def _gpu(name: str | None, count: int) -> tuple[GpuSpec, int]:
    """The GPU that was named, or the ones that this host has."""
    if name is not None:
        return find_gpu(name), count
    here = detect(cache_dir()).gpus
    if not here:
        raise UsageError(
            "This machine has no GPU that Stoker can see.",
            "--fits compares models with a GPU's memory.",
            'Name one: --gpu "RTX 4060 8GB". For the processor, use stoker up --dry-run.',
        )
    same = [gpu for gpu in here if gpu.name == here[0].name]
    return find_gpu(here[0].name, here[0].memory_total_bytes), len(same)


def _fit(model: KnownModel, spec: GpuSpec, count: int, tokens: int) -> Fit | None:
    """The best fit; a model that so many GPUs cannot divide does not fit on them."""
    if model.architecture.num_attention_heads % count:
        return None
    return best_fit(model, spec, count, min(tokens, model.max_context_tokens))


def _show(known: list[KnownModel], json: bool) -> None:
    if json:
        output.as_json([_document(model) for model in known])
        return
    Console().print(table(known))
    output.say(_LEGEND)


def _show_fits(
    known: list[KnownModel],
    found: Mapping[str, Fit | None],
    spec: GpuSpec,
    count: int,
    json: bool,
) -> None:
    if json:
        fits = [(model, found[model.id]) for model in known]
        output.as_json(
            [_document(model) | {"fit": asdict(fit) if fit else None} for model, fit in fits]
        )
        return
    label = spec.label if count == 1 else f"{count} x {spec.label}"
    output.say(f"On {label}, one request at a time:")
    Console().print(fit_table(known, found))
    output.say(_FIT_LEGEND)


def fit_table(known: list[KnownModel], found: Mapping[str, Fit | None]) -> Table:
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
        fit = found[model.id]
        purposes = "".join(_LETTERS[purpose] for purpose in model.purposes)
        start = [model.name + (" (!)" if model.avoid else ""), purposes, _score(model)]
        if fit is None:
            grid.add_row(*start, "does not fit", "", "", "", style="dim")
            continue
        speed = f"{fit.decode_tokens_per_s:.0f}" if fit.decode_tokens_per_s else ""
        size = output.size(fit.weights_bytes)
        weights = fit.variant.file or fit.variant.format.upper()
        context = output.tokens(fit.longest_context_tokens)
        grid.add_row(*start, weights, size, context, speed)
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
            "".join(_LETTERS[purpose] for purpose in model.purposes),
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


def _document(model: KnownModel) -> dict[str, Any]:
    document = asdict(model)
    document["architecture"].pop("raw")
    return {"name": model.name, **document}
