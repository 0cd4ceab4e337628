"""``stoker audit``: what changed, and who was refused."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

import typer

from stoker import server
from stoker.access.audit_log import AuditLog
from stoker.cli.options import Json
from stoker.cli.render import output

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)

#: Of a line, what is shown at its beginning or not at all.
_ELSEWHERE = ("sequence", "time", "event", "by", "prev", "hash", "key")


@app.callback()
def command() -> None:
    """Show the log of key changes and refused requests, and check it."""


@app.command("list")
def show(
    since: Annotated[
        str | None,
        typer.Option(help="Only what is newer: 90s, 10m, 2h, 1d, or a date and time."),
    ] = None,
    json: Json = False,
) -> None:
    """List what was logged: key and configuration changes, starts, and refused requests."""
    start = server.parse_since(since, datetime.now()).astimezone() if since is not None else None
    found = [r for r in AuditLog().records() if start is None or _time(r) >= start]
    if json:
        output.as_json(found)
        return
    for record in found:
        output.say(_line(record))
    if not found:
        output.say("Nothing was logged.")


@app.command()
def verify(json: Json = False) -> None:
    """Check that no line of the log was changed, added, moved or removed."""
    whole = AuditLog().verify()
    last, lines = whole.last, whole.last.sequence - whole.first + 1
    if json:
        output.as_json({"lines": lines, "first": whole.first, "hash": last.hash})
        return
    output.say(f"The log is whole: {lines:,} lines, the last with the hash {last.hash}.")
    if whole.first > 1:
        output.say(
            f"Lines before number {whole.first:,} are not in its folder. If you did not move them "
            "elsewhere, they were removed."
        )
    output.say("Note the hash elsewhere: only that shows a log that was written again as a whole.")


def _time(record: Mapping[str, Any]) -> datetime:
    try:
        return datetime.fromisoformat(str(record.get("time"))).astimezone()
    except (ValueError, OverflowError):  # a damaged line: shown
        return datetime.now().astimezone()


def _line(record: Mapping[str, Any]) -> str:
    key = record.get("key")
    shown = {name: value for name, value in record.items() if name not in _ELSEWHERE}
    if isinstance(key, Mapping):
        shown = {"key": key.get("id"), "owner": key.get("owner"), **shown}
        if record.get("event") == "key_limited":
            shown["limits"] = key.get("limits")
    details = " ".join(f"{name}={value}" for name, value in shown.items() if value != "")
    stamp = _time(record).strftime("%Y-%m-%d %H:%M:%S")
    line = f"{stamp}  {record.get('event')}  {details}  by {record.get('by')}"
    return output.printable(line)
