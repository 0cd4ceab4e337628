"""PostgreSQL: one database for several gateways. Needs asyncpg, the extra ``teams``."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Iterator, Sequence
from typing import Any, TypeVar
from urllib.parse import urlsplit

import asyncpg

from stoker.usage_records.usage_row import Value

_Result = TypeVar("_Result")

#: How long connecting and one statement may take, in seconds.
_CONNECT_S, _STATEMENT_S, _CLOSE_S = 5.0, 30.0, 1.0
#: The number of the lock that ``alone`` takes: "stoker" as bytes.
_LOCK = int.from_bytes(b"stoker", "big")


class PostgresDatabase:
    """A database that a URL names, as libpq reads it."""

    def __init__(self, url: str) -> None:
        self._url = url
        parts = urlsplit(url)
        self.title = f"PostgreSQL at {parts.hostname or 'its socket'}"
        self.exists = True

    def connect(self, *, read_only: bool = False) -> _PostgresConnection:
        """A new connection, with an event loop of its own: no loop that serves waits for it."""
        return _PostgresConnection(self._url)


class _PostgresConnection:
    key_type = "BIGINT"

    def __init__(self, url: str) -> None:
        self._loop = asyncio.new_event_loop()
        try:
            self._connection = self._wait(
                asyncpg.connect(
                    url,
                    timeout=_CONNECT_S,
                    command_timeout=_STATEMENT_S,
                    statement_cache_size=0,  # poolers such as PgBouncer know no prepared statements
                    server_settings={"application_name": "stoker"},
                )
            )
        except BaseException:
            self._loop.close()
            raise

    def query(self, sql: str, *values: Value) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self._wait(self._connection.fetch(sql, *values))]

    def insert(self, sql: str, rows: Sequence[Sequence[Value]]) -> None:
        self._wait(self._connection.executemany(sql, rows))

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        transaction = self._connection.transaction()
        self._wait(transaction.start())
        try:
            self.query("SELECT pg_advisory_xact_lock($1)", _LOCK)
            yield
        except BaseException:
            with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                self._wait(transaction.rollback())
            raise
        self._wait(transaction.commit())

    def close(self) -> None:
        try:
            self._wait(self._connection.close(timeout=_CLOSE_S))
        except Exception:
            self._connection.terminate()
        self._loop.close()

    def _wait(self, work: Awaitable[_Result]) -> _Result:
        return self._loop.run_until_complete(work)
