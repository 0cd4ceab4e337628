"""The setting that names where usage is kept."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from urllib.parse import urlsplit

from stoker import paths
from stoker.database_addresses import SQLITE, address_in
from stoker.errors import UsageError
from stoker.usage_records.database import Database
from stoker.usage_records.sqlite_database import SqliteDatabase
from stoker.usage_records.usage_store import UsageStore

#: The value of the setting that keeps no records.
OFF = "off"
#: Days after which rows are deleted unless another number is set: a year, and the month in which it
#: is compared with the one before.
USUAL_DAYS = 400
_FIX = 'Write "sqlite", "off", "postgresql://user@host/database", or env:NAME for a variable.'


def store_at(setting: str, env: Mapping[str, str] = os.environ) -> UsageStore | None:
    """The store that a setting means; ``None`` for ``off``. Nothing is opened yet.

    Raises ``UsageError``, whose text never repeats a URL: it may hold a password.
    """
    if setting == OFF:
        return None
    if setting == SQLITE:
        return UsageStore(SqliteDatabase(paths.state_dir() / "usage.db"))
    return UsageStore(_postgres(address_in(setting, env)))


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
