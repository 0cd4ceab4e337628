"""The tables of usage, and how those of an older Stoker become the newest ones."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from stoker.errors import StokerError
from stoker.usage_records.database import DatabaseConnection

#: ``{key}`` is the type of a table's key. A version's statements make it out of the one before;
#: they never change after a release: a new version is a new entry.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE stoker_usage (
            id {key} PRIMARY KEY,
            arrived_ms BIGINT NOT NULL,
            owner TEXT NOT NULL,
            key_id TEXT NOT NULL,
            model TEXT NOT NULL,
            path TEXT NOT NULL,
            status BIGINT NOT NULL,
            prompt_tokens BIGINT,
            completion_tokens BIGINT,
            cached_tokens BIGINT,
            reasoning_tokens BIGINT,
            estimated BIGINT NOT NULL,
            first_byte_s DOUBLE PRECISION,
            total_s DOUBLE PRECISION NOT NULL,
            queue_s DOUBLE PRECISION,
            cut_tokens BIGINT NOT NULL,
            cut_tools BIGINT NOT NULL,
            cut_steps TEXT NOT NULL,
            session TEXT
        )""",
        "CREATE INDEX stoker_usage_by_time ON stoker_usage (arrived_ms, id)",
    ),
)
_FACTS = "CREATE TABLE IF NOT EXISTS stoker_usage_facts (name TEXT PRIMARY KEY, value TEXT)"
_FACT = "SELECT value FROM stoker_usage_facts WHERE name = $1"
_SET_FACT = (
    "INSERT INTO stoker_usage_facts (name, value) VALUES ($1, $2) "
    "ON CONFLICT (name) DO UPDATE SET value = excluded.value"
)


def prepare(
    connection: DatabaseConnection, migrations: Sequence[Sequence[str]] = MIGRATIONS
) -> bytes:
    """Bring the tables to the newest version; the salt that hashes of sessions have there.

    Raises ``StokerError`` where a newer Stoker made them, and the driver's errors.
    """
    with connection.alone():
        connection.query(_FACTS)
        version = int(_fact(connection, "version") or 0)
        if version > len(migrations):
            raise StokerError(
                f"The usage database has version {version}; this Stoker knows {len(migrations)}.",
                "A newer Stoker made it.",
                "Update this Stoker, or let it use another database.",
            )
        for statements in migrations[version:]:
            for statement in statements:
                connection.query(statement.replace("{key}", connection.key_type))
        if version < len(migrations):
            connection.query(_SET_FACT, "version", str(len(migrations)))
        return _salt(connection)


def _salt(connection: DatabaseConnection) -> bytes:
    salt = _fact(connection, "salt")
    if salt is None:
        salt = secrets.token_hex(16)
        connection.query(_SET_FACT, "salt", salt)
    return bytes.fromhex(salt)


def _fact(connection: DatabaseConnection, name: str) -> str | None:
    rows = connection.query(_FACT, name)
    return str(rows[0][0]) if rows else None
