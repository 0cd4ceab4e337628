"""The setting that names where usage is kept."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from urllib.parse import parse_qs, urlsplit

from stoker import paths
from stoker.errors import UsageError
from stoker.usage_records.database import Database
from stoker.usage_records.sqlite_database import SqliteDatabase
from stoker.usage_records.usage_store import UsageStore

#: The values that are words.
SQLITE, OFF = "sqlite", "off"
#: A year, and the month in which it is compared with the one before.
USUAL_DAYS = 400
_ENV = "env:"
_FIX = 'Write "sqlite", "off", "postgresql://user@host/database", or env:NAME for a variable.'


def store_at(setting: str, env: Mapping[str, str] = os.environ) -> UsageStore | None:
    """The store that a setting means; ``None`` for ``off``. Nothing is opened yet.

    Raises ``UsageError``, whose text never repeats a URL: it may hold a password.
    """
    if setting == OFF:
        return None
    if setting == SQLITE:
        return UsageStore(SqliteDatabase(paths.state_dir() / "usage.db"))
    if setting.startswith(_ENV):
        return UsageStore(_postgres(_variable(setting.removeprefix(_ENV), env)))
    if _has_password(setting):
        raise UsageError(
            "The URL of the usage database holds a password.",
            "Files and command lines are read by others.",
            "Put the URL into a variable, and write env: and the variable's name.",
        )
    return UsageStore(_postgres(setting))


def _variable(name: str, env: Mapping[str, str]) -> str:
    value = env.get(name, "").strip()
    if not value:
        raise UsageError(
            f"The variable {name} is not set.",
            "It holds the URL of the usage database.",
            "Set it and start again.",
        )
    return value


def _has_password(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.password is not None or "password" in parse_qs(parts.query)


def _postgres(url: str) -> Database:
    try:
        parts = urlsplit(url)
        is_url = parts.scheme in ("postgresql", "postgres") and parts.port != 0
    except ValueError:  # its port is not a number
        is_url = False
    if not is_url:
        raise UsageError("This is not where usage can be kept.", fix=_FIX)
    if importlib.util.find_spec("asyncpg") is None:
        raise UsageError(
            "PostgreSQL needs the package asyncpg.",
            "It is not installed.",
            "Install it: pip install 'stoker[teams]'. Or write usage = \"sqlite\".",
        )
    # Loaded where it is used: no other command waits for it.
    from stoker.usage_records.postgres_database import PostgresDatabase  # noqa: PLC0415

    return PostgresDatabase(url)
