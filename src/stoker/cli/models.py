"""``stoker models``: what Stoker knows of models, and adding one of your own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from enum import Enum
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from stoker import models
from stoker.cli import output
from stoker.cli.options import Json
from stoker.models import KnownModel, Purpose

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
_LETTERS: dict[Purpose, str] = {"chat": "c", "agent": "a", "completion": "f"}


@app.callback()
def command(
    context: typer.Context,
    purpose: Annotated[
        For | None, typer.Option("--purpose", help="Only models that are good for this.")
    ] = None,
    sort: Annotated[Sort, typer.Option(help="The order of the list.")] = Sort.SIZE,
    json: Json = False,
) -> None:
    """List the models that Stoker knows, or add one: stoker models add REPO_OR_FOLDER."""
    if context.invoked_subcommand is not None:
        return
    known = [m for m in models.model_catalogue() if purpose is None or purpose.value in m.purposes]
    known.sort(key=_ORDER[sort])
    if json:
        output.as_json([_document(model) for model in known])
        return
    Console().print(table(known))
    output.say(_LEGEND)


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
    tokens = model.max_context_tokens
    return f"{tokens // 1024}K" if tokens < 1024 * 1024 else f"{tokens // (1024 * 1024)}M"


def _document(model: KnownModel) -> dict[str, Any]:
    document = asdict(model)
    document["architecture"].pop("raw")
    return {"name": model.name, **document}
