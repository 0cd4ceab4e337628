"""``stoker logs``."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from stoker import runtime
from stoker.cli import output
from stoker.cli.options import Json
from stoker.errors import StokerError


def command(
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with new lines as they are written.")
    ] = False,
    since: Annotated[
        str | None,
        typer.Option(help="Only what is newer: 90s, 10m, 2h, 1d, or a date and time."),
    ] = None,
    json: Json = False,
) -> None:
    """Show the log of the gateway and the engine."""
    start = runtime.parse_since(since, datetime.now()) if since else None
    if not runtime.log_path().exists():
        raise StokerError("There is no log yet.", "Nothing was started here.", "Run: stoker up")
    for line in runtime.log_lines(start):
        _print(line, json)
    if follow:
        for line in runtime.follow_log(lambda: False):
            _print(line, json)


def _print(line: str, json: bool) -> None:
    if json:
        import json as encoder  # noqa: PLC0415  (the option's name hides the module's)

        print(encoder.dumps({"line": line}), flush=True)
    else:
        output.say(line)
