"""Options that describe a launch request and the machine that it is for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer

from stoker import application
from stoker.application import HostFacts, LaunchRequest
from stoker.errors import UsageError
from stoker.models import Purpose

Gpu = Annotated[
    str | None,
    typer.Option("--gpu", metavar="NAME", help='Plan for a machine with this GPU: "RTX 4060 8GB".'),
]
Gpus = Annotated[
    int | None,
    typer.Option("--gpus", min=1, max=64, help="How many of that GPU. Default: 1."),
]
HostFile = Annotated[
    Path | None,
    typer.Option(
        "--host", metavar="FILE", help="Plan for the machine in FILE, from stoker host --json."
    ),
]
For = Annotated[
    Purpose | None,
    typer.Option("--purpose", help="What it is for. Default: agent, or chat if that is too slow."),
]
Users = Annotated[int, typer.Option("--users", help="How many users share it.")]
Context = Annotated[
    int | None,
    typer.Option("--context", help="Context of one request in tokens. Default: what fits."),
]
Parallel = Annotated[
    int | None,
    typer.Option("--parallel", min=1, max=1024, help="Requests answered at the same time."),
]
Completion = Annotated[
    str,
    typer.Option(
        "--completion",
        metavar="auto|MODEL|off",
        help="Complete code, too: with the chat's model, or with a second one beside it.",
    ),
]
Offline = Annotated[bool, typer.Option("--offline", help="Use only what is on this machine.")]

#: Without completion, which is the default: a second model takes memory and a download.
OFF = "off"


def machine(
    gpu: str | None, gpus: int | None, described: Path | None, *, offline: bool = False
) -> HostFacts:
    """The machine that is meant: this one, or one elsewhere. Raises ``UsageError`` for both."""
    if described is not None and (gpu is not None or gpus is not None):
        raise UsageError(
            "--host and --gpu can't be used together.",
            "The file describes the machine with its GPUs.",
            "Omit one of them.",
        )
    if described is not None:
        return application.described_machine(described)
    if gpu is not None:
        return application.imagined_machine(gpu, gpus)
    if gpus is not None:
        raise UsageError(
            f"--gpus {gpus} needs the name of the GPU.",
            "It is the number of GPUs of an imagined machine; on this one all are used.",
            f'Name it: --gpu "RTX 4090" --gpus {gpus}. Or omit --gpus.',
        )
    return application.this_machine(ask_hub=not offline)


def request(values: Mapping[str, Any]) -> LaunchRequest:
    """The request that a command's parameters make: those that have the name of a field."""
    names = {field.name for field in fields(LaunchRequest)}
    given = {name: value for name, value in values.items() if name in names}
    if given.get("completion") == OFF:
        given["completion"] = None
    return LaunchRequest(**given)


def words(request: LaunchRequest) -> tuple[str, ...]:
    """The options of ``stoker up`` that make the same request of the same machine."""
    values = {
        "purpose": request.purpose,
        "users": request.users if request.users != 1 else None,
        "engine": request.engine,
        "context": request.context,
        "parallel": request.parallel,
        "python": request.python,
        "completion": request.completion,
    }
    switches = {"offline": request.offline, "native": request.native}
    return (
        *(f"--{name}={value}" for name, value in values.items() if value is not None),
        *(f"--{name}" for name, on in switches.items() if on),
    )
