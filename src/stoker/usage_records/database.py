"""What the store needs of a database. SQL names its parameters ``$1``, ``$2``."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from stoker.usage_records.usage_row import Value


class DatabaseConnection(Protocol):
    """An open connection, used by one thread at a time. Each method raises the driver's errors."""

    #: The type of a column of 64-bit numbers that is the table's key.
    key_type: str

    def query(self, sql: str, *values: Value) -> list[tuple[Any, ...]]:
        """Run one statement; its rows, if it has any."""

    def insert(self, sql: str, rows: Sequence[Sequence[Value]]) -> None:
        """Run one statement for each row: all of them, or none."""

    def alone(self) -> AbstractContextManager[None]:
        """A transaction beside which no other one of this kind runs."""

    def close(self) -> None:
        """Close it; it raises nothing."""


class Database(Protocol):
    """A place where usage is kept."""

    #: As people are shown it, without secrets.
    title: str

    def connect(self, *, read_only: bool = False) -> DatabaseConnection:
        """A new connection. Raises the driver's errors, and ``OSError``."""

    @property
    def exists(self) -> bool:
        """Whether there can be anything to read."""
