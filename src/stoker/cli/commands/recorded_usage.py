"""``stoker usage``."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Annotated

import typer

from stoker import server
from stoker.cli.options import Json
from stoker.cli.render import output, usage_view
from stoker.database_addresses import SQLITE
from stoker.errors import UsageError
from stoker.usage_records import Group, UsageStore, store_at

_END_MS = 2**62
#: What is summed where the user names nothing.
_BY = Group.OWNER


def command(
    by: Annotated[
        Group | None,
        typer.Option("--by", help=f"What to sum by. Default: {_BY.value}. Days are those of UTC."),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(help="From this time on: 90s, 10m, 2h, 7d, or a date and time in UTC."),
    ] = None,
    until: Annotated[
        str | None, typer.Option(help="Before this time, written in the same way.")
    ] = None,
    trace: Annotated[
        bool,
        typer.Option(
            "--trace", help="Print each request as CSV, without names: when it came, its lengths."
        ),
    ] = False,
    database: Annotated[
        str,
        typer.Option(
            metavar="WHERE", help="Where it is recorded, as `usage` in the gateway's file names it."
        ),
    ] = SQLITE,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV, for spreadsheets.")] = False,
    json: Json = False,
) -> None:
    """Show who has used which model how much."""
    _check(csv=csv, json=json, trace=trace, by=by)
    store = _store(database)
    since_ms, until_ms = _moment(since, 0), _moment(until, _END_MS)
    if trace:
        usage_view.trace(store.rows(since_ms, until_ms))
        return
    group = by or _BY
    totals = store.totals(group, since_ms, until_ms)
    if json:
        output.as_json(usage_view.documents(totals, group))
    elif csv:
        usage_view.as_csv(totals, group)
    else:
        usage_view.as_table(totals, group)


def _check(*, csv: bool, json: bool, trace: bool, by: Group | None) -> None:
    if csv and json:
        raise UsageError("--csv and --json can't be used together.", fix="Omit one of them.")
    if trace and json:
        raise UsageError("A trace is printed as CSV only.", fix="Omit --json.")
    if trace and by is not None:
        raise UsageError(
            "A trace has a row for each request, so nothing is summed in it.",
            fix=f"Omit --by {by.value}, or omit --trace.",
        )


def _store(setting: str) -> UsageStore:
    store = store_at(setting)
    if store is None:
        raise UsageError(
            "Usage that is off is recorded nowhere.", fix="Name a database, or omit --database."
        )
    return store


def _moment(text: str | None, otherwise: int) -> int:
    """A moment in milliseconds since the epoch. Raises ``UsageError``."""
    if text is None:
        return otherwise
    return int(server.parse_since(text, datetime.now(timezone.utc)).timestamp() * 1000)
