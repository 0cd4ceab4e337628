"""``stoker logs``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from stoker import models, server
from stoker.cli.options import Json
from stoker.cli.render import output
from stoker.errors import StokerError, UsageError
from stoker.server.diagnosis import Diagnosis, diagnose

#: Characters that are shown of a line: it can be a dumped configuration.
_SHOWN = 300


def command(
    source: Annotated[
        str | None,
        typer.Argument(help="With --explain: a log file, a container, or - for standard input."),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Keep printing new lines as they are written.")
    ] = False,
    since: Annotated[
        str | None,
        typer.Option(help="Only what is newer: 90s, 10m, 2h, 1d, or a date and time."),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Name the failure that the log shows, and its fix.")
    ] = False,
    completion: Annotated[
        bool, typer.Option("--completion", help="The log of the engine that completes code.")
    ] = False,
    json: Json = False,
) -> None:
    """Show the log of the gateway and the engine."""
    if source is not None and completion:
        raise UsageError("--completion names a log already.", fix="Omit it, or the log source.")
    if explain:
        lines = _source_lines(source, completion=completion)
        _explain(diagnose(lines, command=_command(source)), json)
        return
    if source is not None:
        raise UsageError("A log source is only read by --explain.", fix="Add --explain.")
    start = server.parse_since(since, datetime.now()) if since else None
    _require_log(completion=completion)
    for line in server.read_log(start, completion=completion):
        _print(line, json)
    if follow:
        for line in server.follow_log(lambda: False, completion=completion):
            _print(line, json)


def _require_log(*, completion: bool = False) -> None:
    if server.log_path(completion=completion).exists():
        return
    if completion:
        raise StokerError(
            "There is no log of a completion engine.",
            "None was started here.",
            "Start one beside the chat: stoker up --completion auto",
        )
    raise StokerError("There is no log yet.", "Nothing was started here.", "Run: stoker up")


def _command(source: str | None) -> str | None:
    """The command that started the engine, where the log is of Stoker's own deployment."""
    deployment = server.current()
    ours = deployment is not None and source in (None, deployment.state.container)
    return deployment.spec.command if deployment and ours else None


def _source_lines(source: str | None, *, completion: bool = False) -> Iterator[str]:
    if source is None:
        _require_log(completion=completion)
        return server.read_log(completion=completion)
    if source == "-":
        return server.decoded_lines(sys.stdin.buffer)
    path = Path(source)
    if not models.exists(path) and path.name == source:
        return _container_lines(source)
    return _file_lines(path)


def _container_lines(name: str) -> Iterator[str]:
    try:
        yield from server.container_lines(name)
    except StokerError as error:
        raise StokerError(
            f"There is no file {name} here, and no container's log could be read.",
            f"{error.what} {error.why}",
            "Name a file that exists, a container that Docker or Podman has, or - for standard "
            "input.",
        ) from error


def _file_lines(path: Path) -> Iterator[str]:
    try:
        with path.open("rb") as log:
            yield from server.decoded_lines(log)
    except OSError as error:
        raise StokerError(
            f"The log {path} can't be read.",
            f"The system reports: {error.strerror}.",
            "Name a file that exists, or - for standard input.",
        ) from error


def _explain(found: Diagnosis | None, json: bool) -> None:
    if json:
        output.as_json({"diagnosis": asdict(found) if found else None})
        return
    if found is None:
        output.say("This log shows no failure that Stoker knows.")
        return
    output.say(f"{found.title}.\n")
    for name, text in (
        ("Why", found.cause),
        ("Fix", found.fix),
        ("More", found.link),
        ("Log", f"line {found.line_number}: {found.line[:_SHOWN]}"),
    ):
        if text:
            output.say(f"  {name:5} {text}")


def _print(line: str, json: bool) -> None:
    if json:
        import json as encoder  # noqa: PLC0415  (the option's name hides the module's)

        print(encoder.dumps({"line": line}), flush=True)
    else:
        output.say(line)
