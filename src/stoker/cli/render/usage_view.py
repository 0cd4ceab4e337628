"""Shows usage: a table for people, CSV that no spreadsheet runs, and a trace for sizing."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, fields, replace
from datetime import datetime, timedelta, timezone
from typing import Any

from rich.console import Console
from rich.table import Table

from stoker.cli.render import output
from stoker.usage_records import Group, UsageRow, UsageTotal

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
#: With these a spreadsheet takes a cell for a formula, which may run a program:
#: https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")

#: The counts that the table shows: title and field.
_COLUMNS = {
    "requests": "requests",
    "failed": "failed",
    "tokens in": "prompt_tokens",
    "cached": "cached_tokens",
    "tokens out": "completion_tokens",
    "cut": "cut_requests",
}
#: The columns of a trace, and the value of each from a row. Owners and sessions are numbers.
_TRACE: dict[str, Callable[[UsageRow], object]] = {
    "arrived_s": lambda row: f"{row.arrived_ms / 1000:.3f}",
    "owner": lambda row: row.owner,
    "session": lambda row: row.session,
    "model": lambda row: row.model,
    "path": lambda row: row.path,
    "status": lambda row: row.status,
    "prompt_tokens": lambda row: row.prompt_tokens,
    "cached_tokens": lambda row: row.cached_tokens,
    "completion_tokens": lambda row: row.completion_tokens,
    "reasoning_tokens": lambda row: row.reasoning_tokens,
    "estimated": lambda row: row.estimated,
    "cut_tokens": lambda row: row.cut_tokens,
    "queue_s": lambda row: _seconds(row.queue_s),
    "first_byte_s": lambda row: _seconds(row.first_byte_s),
    "total_s": lambda row: _seconds(row.total_s),
}


def documents(totals: Sequence[UsageTotal], group: Group) -> list[dict[str, Any]]:
    """The sums for programs: the name of the group is under its own kind."""
    rows = (_to_milliseconds(asdict(total)) for total in totals)
    return [{group.value: _name(row.pop("group"), group), **row} for row in rows]


def _to_milliseconds(row: dict[str, Any]) -> dict[str, Any]:
    """With its seconds rounded: a mean has more digits than were measured."""
    return {name: round(v, 3) if isinstance(v, float) else v for name, v in row.items()}


def as_csv(totals: Sequence[UsageTotal], group: Group) -> None:
    """Print the sums as CSV."""
    header = [group.value, *(field.name for field in fields(UsageTotal)[1:])]
    _print_csv(header, (row.values() for row in documents(totals, group)))


def as_table(totals: Sequence[UsageTotal], group: Group) -> None:
    """Print the sums for people, with the sum of all at the end."""
    if not totals:
        output.say("No request was recorded in this time.")
        return
    table = Table(box=None, pad_edge=False)
    table.add_column(group.value, overflow="fold")
    for title in (*_COLUMNS, "1st byte"):
        table.add_column(title, justify="right")
    for total in totals:
        name = output.printable(_name(total.group, group)) or "none"
        table.add_row(name, *_cells(total))
    if len(totals) > 1:
        table.add_row("all", *_cells(_sum(totals)))
    Console(markup=False, highlight=False).print(table)


def trace(rows: Iterable[UsageRow]) -> None:
    """Print each request as CSV: when it came, how long it was, what it waited for."""
    owners: dict[str, int] = {}
    sessions: dict[str, int] = {}

    def values(row: UsageRow) -> Iterable[object]:
        session = row.session and str(sessions.setdefault(row.session, len(sessions) + 1))
        owner = str(owners.setdefault(row.owner, len(owners) + 1))
        row = row._replace(owner=owner, session=session)
        return (column(row) for column in _TRACE.values())

    _print_csv(list(_TRACE), map(values, rows))


def _print_csv(header: Sequence[str], rows: Iterable[Iterable[object]]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(header)
    for row in rows:
        writer.writerow([_cell(value) for value in row])


def _cell(value: object) -> object:
    """A value that a spreadsheet shows and does not run: a quote before it makes it a text."""
    is_formula = isinstance(value, str) and value.lstrip(" ").startswith(_FORMULA)
    return f"'{value}" if is_formula else value


def _name(group: str | int, kind: Group) -> str:
    if kind is Group.DAY:
        return (_EPOCH + timedelta(days=int(group))).date().isoformat()
    return str(group)


def _cells(total: UsageTotal) -> tuple[str, ...]:
    counts = (f"{getattr(total, name):,}" for name in _COLUMNS.values())
    first = "" if total.first_byte_s is None else output.duration(total.first_byte_s)
    return (*counts, first)


def _sum(totals: Sequence[UsageTotal]) -> UsageTotal:
    """All of them together; the mean of means would count few requests as much as many."""
    counts = {name: sum(getattr(total, name) for total in totals) for name in _COLUMNS.values()}
    return replace(totals[0], group="all", first_byte_s=None, total_s=None, **counts)


def _seconds(value: float | None) -> str | None:
    return None if value is None else f"{value:.3f}"
