"""SQLite: one file of the user's own, which readers and a writer use at the same time (WAL)."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from stoker.private_files import make_private
from stoker.usage_records.usage_row import Value

#: How long a statement waits for another process that writes.
_BUSY_S = 1.0


class SqliteDatabase:
    """A private file in a private folder."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.title = str(path)

    @property
    def exists(self) -> bool:
        """Whether the file is there."""
        return self._path.exists()

    def connect(self, *, read_only: bool = False) -> _SqliteConnection:
        """A new connection; one that writes makes the file where there is none."""
        if not read_only:
            make_private(self._path.parent)
            # SQLite gives the files beside it the same permissions.
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
        mode = "ro" if read_only else "rw"
        return _SqliteConnection(f"{self._path.absolute().as_uri()}?mode={mode}", mode)


class _SqliteConnection:
    key_type = "INTEGER"  # only under this name is the key the row's own number

    def __init__(self, uri: str, mode: str) -> None:
        self._connection = sqlite3.connect(
            uri, uri=True, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
        )
        if mode == "rw":
            try:
                self._connection.execute("PRAGMA journal_mode = WAL")
                # A killed process loses nothing by it; a power failure may lose the last rows.
                self._connection.execute("PRAGMA synchronous = NORMAL")
            except sqlite3.Error:
                self.close()
                raise

    def query(self, sql: str, *values: Value) -> list[tuple[Any, ...]]:
        return self._connection.execute(_numbered(sql), values).fetchall()

    def insert(self, sql: str, rows: Sequence[Sequence[Value]]) -> None:
        with self.alone():
            self._connection.executemany(_numbered(sql), rows)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def close(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()


def _numbered(sql: str) -> str:
    """SQLite's own form of numbered parameters; ``$1`` would be a name."""
    return sql.replace("$", "?")
