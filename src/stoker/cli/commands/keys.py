"""``stoker keys``: who may use the gateways of this account."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from stoker.access.caller import CallerLimits, Role
from stoker.access.key_store import LATEST, KeyRecord, KeyStore, NewKey
from stoker.cli.options import Json
from stoker.cli.render import output
from stoker.errors import UsageError

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)

_UNITS_S = {"m": 60, "h": 3600, "d": 86400}
#: A hundred years: further, the time has no date.
_LONGEST_S = 100 * 366 * 86400

_Key = Annotated[str, typer.Argument(help="The id of the key, or its visible beginning.")]
_Limit = Annotated[int | None, typer.Option(min=0, help="0 sets no limit.")]
_Cost = Annotated[
    float | None,
    typer.Option(min=0, help="By the prices in the file of `stoker gateway`. 0 sets no limit."),
]


@app.callback()
def command() -> None:
    """Make, list, replace, revoke and limit the keys of the gateway."""


@app.command()
def create(
    owner: Annotated[str, typer.Argument(help="Who uses the key: a person, a team or a program.")],
    role: Annotated[
        Role,
        typer.Option(help="user: use models. viewer: also see what runs. admin: also who asks."),
    ] = "user",
    model: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="A model that it may use, such as qwen*. Repeatable."),
    ] = None,
    expires: Annotated[
        str | None, typer.Option(metavar="TIME", help="When it ends: 12h, 90d, or a date.")
    ] = None,
    requests_per_minute: _Limit = None,
    tokens_per_minute: _Limit = None,
    tokens_per_day: _Limit = None,
    tokens_per_month: _Limit = None,
    cost_per_day: _Cost = None,
    cost_per_month: _Cost = None,
    max_concurrent: _Limit = None,
    json: Json = False,
) -> None:
    """Make a key, and show it this once."""
    limits = CallerLimits(
        requests_per_minute=requests_per_minute or None,
        tokens_per_minute=tokens_per_minute or None,
        tokens_per_day=tokens_per_day or None,
        tokens_per_month=tokens_per_month or None,
        cost_per_day=cost_per_day or None,
        cost_per_month=cost_per_month or None,
        max_concurrent=max_concurrent or None,
    )
    expires_at = moment(expires, time.time()) if expires is not None else None
    store = KeyStore()
    is_first = not store.records()
    made = store.create(owner, role=role, models=model or (), limits=limits, expires_at=expires_at)
    _show_new(made, json=json)
    if is_first and not json:
        output.say(
            "\nThis is the first key. From now on every gateway of this account needs one, "
            "also from your own editor: docs/teams.md."
        )


@app.command("list")
def show(json: Json = False) -> None:
    """List all keys, also those that ended."""
    records = KeyStore().records()
    now = time.time()
    if json:
        output.as_json([{**r.described(), "state": _state(r, now)} for r in records])
        return
    if not records:
        output.say("There are no keys. Make one: stoker keys create OWNER")
        return
    table = Table(box=None, pad_edge=False)
    for title in ("KEY", "OWNER", "ROLE", "STATE", "EXPIRES", "MODELS", "LIMITS"):
        table.add_column(title, overflow="fold", no_wrap=title == "KEY")
    for record in records:
        table.add_row(*_row(record, now))
    Console(markup=False, highlight=False, emoji=False).print(table)


@app.command()
def rotate(
    key: _Key,
    grace: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="The old key works for as long: 30m, 12h, 7d."),
    ] = None,
    json: Json = False,
) -> None:
    """Replace a key by one with the same rules; revoke the old one."""
    now = time.time()
    grace_s = moment(grace, now) - now if grace is not None else 0.0
    if grace_s < 0:
        raise UsageError("That time is past.", "The old key would end before now.", "Give another.")
    _show_new(KeyStore().rotate(key, grace_s), json=json)


@app.command()
def revoke(key: _Key, json: Json = False) -> None:
    """End a key for good. Answers that are under way are completed."""
    store = KeyStore()
    record = store.revoke(key)
    if json:
        output.as_json(record.described())
        return
    output.say(
        f"Revoked the key {record.id} of {record.owner}. Running gateways refuse it within a "
        "second; answers that are under way are completed."
    )
    now = time.time()
    if not any(other.is_active(now) for other in store.records()):
        output.say(
            "It was the last one: only keys of a configuration file open a gateway now. To make "
            "another: stoker keys create OWNER."
        )


@app.command()
def limit(
    key: _Key,
    requests_per_minute: _Limit = None,
    tokens_per_minute: _Limit = None,
    tokens_per_day: _Limit = None,
    tokens_per_month: _Limit = None,
    cost_per_day: _Cost = None,
    cost_per_month: _Cost = None,
    max_concurrent: _Limit = None,
    json: Json = False,
) -> None:
    """Change the limits of a key; those that are not named stay."""
    named: dict[str, Any] = {
        "requests_per_minute": requests_per_minute,
        "tokens_per_minute": tokens_per_minute,
        "tokens_per_day": tokens_per_day,
        "tokens_per_month": tokens_per_month,
        "cost_per_day": cost_per_day,
        "cost_per_month": cost_per_month,
        "max_concurrent": max_concurrent,
    }
    changes = {name: value or None for name, value in named.items() if value is not None}
    if not changes:
        fix = "Name a limit, such as --requests-per-minute 60."
        raise UsageError("No limit is named, so nothing changes.", fix=fix)
    record = KeyStore().limit(key, lambda limits: replace(limits, **changes))
    if json:
        output.as_json(record.described())
    else:
        output.say(f"Limits of the key {record.id} of {record.owner}: {_limits(record)}.")


def moment(text: str, now: float) -> float:
    """The time meant by 30m, 12h, 90d or a date, in seconds since the epoch."""
    ahead = re.fullmatch(r"(\d{1,9})([mhd])", text.strip())
    try:
        if ahead:
            return now + min(int(ahead[1]) * _UNITS_S[ahead[2]], _LONGEST_S)
        return min(datetime.fromisoformat(text.strip()).timestamp(), LATEST)
    except (ValueError, OverflowError, OSError) as error:
        raise UsageError(
            f"{text!r} is not a time.",
            fix="Write how long it lasts (30m, 12h, 90d) or when it ends (2027-01-31).",
        ) from error


def _show_new(made: NewKey, *, json: bool) -> None:
    record, old = made.record, made.replaced
    if json:
        replaced = {"replaced": old.described()} if old else {}
        output.as_json({"key": made.key, **record.described(), **replaced})
        return
    output.say(
        f"The key of {record.owner}, shown only now; Stoker keeps no copy:\n\n  {made.key}\n"
    )
    output.say(f"Its id is {record.id}. This account's gateways accept it within a second.")
    if record.expires_at:
        output.say(f"It ends on {_shown(record.expires_at)}.")
    if old:
        ends = old.revoked_at is None and old.expires_at
        output.say(f"The old key {f'works until {_shown(ends)}' if ends else 'is revoked'}.")


def _state(record: KeyRecord, now: float) -> str:
    if record.revoked_at is not None:
        return "revoked"
    return "active" if record.is_active(now) else "expired"


def _row(record: KeyRecord, now: float) -> tuple[str, ...]:
    models = ", ".join(record.models) or "all"
    until = record.expires_at
    expires = _shown(until) if until else "never"
    state = _state(record, now)
    return record.prefix, record.owner, record.role, state, expires, models, _limits(record)


def _shown(at: float) -> str:
    return datetime.fromtimestamp(at).strftime("%Y-%m-%d %H:%M")


def _limits(record: KeyRecord) -> str:
    words = [f"{n:,} {name.replace('_', ' ')}" for name, n in record.limits.items()]
    return ", ".join(words) or "none"
