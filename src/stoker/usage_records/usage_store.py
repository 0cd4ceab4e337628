"""The rows of usage in a database: written, counted, summed, and deleted when they are old."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum

from stoker.errors import Problem, StokerError
from stoker.usage_records import usage_schema
from stoker.usage_records.database import Database, DatabaseConnection
from stoker.usage_records.usage_row import COLUMNS, UsageRow, as_stored

DAY_MS = 86_400_000
#: Later than every row.
_END_MS = 2**62
_PLACES = ", ".join(f"${number}" for number in range(1, len(COLUMNS) + 2))
#: A row that was written although its answer was lost is not written twice.
_INSERT = (
    f"INSERT INTO stoker_usage (id, {', '.join(COLUMNS)}) VALUES ({_PLACES}) "  # noqa: S608
    "ON CONFLICT (id) DO NOTHING"
)
_DELETE = (
    "DELETE FROM stoker_usage WHERE id IN (SELECT id FROM stoker_usage WHERE arrived_ms < $1 "
    "ORDER BY arrived_ms LIMIT $2)"
)
_OLD = "SELECT COUNT(*) FROM (SELECT id FROM stoker_usage WHERE arrived_ms < $1 LIMIT $2) AS old"
_BETWEEN = "arrived_ms >= $1 AND arrived_ms < $2"
_PAGE_ROWS = 2000
_PAGE = (
    f"SELECT id, {', '.join(COLUMNS)} FROM stoker_usage WHERE (arrived_ms, id) > ($1, $2) "  # noqa: S608
    "AND arrived_ms < $3 ORDER BY arrived_ms, id LIMIT $4"
)


class Group(str, Enum):
    """What rows are summed by. Days are those of UTC."""

    OWNER = "owner"
    MODEL = "model"
    DAY = "day"
    KEY = "key"


_GROUPS = {
    Group.OWNER: "owner",
    Group.MODEL: "model",
    Group.DAY: f"arrived_ms / {DAY_MS}",
    Group.KEY: "key_id",
}


@dataclass(frozen=True, slots=True)
class UsageTotal:
    """The sums of one owner, model, day or key. ``group`` of a day is its number since 1970."""

    group: str | int
    requests: int
    #: Those that were answered with an error, and those whose client left.
    failed: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    reasoning_tokens: int
    #: Requests that were cut to fit, and the tokens that were cut from them.
    cut_requests: int
    cut_tokens: int
    #: Means in seconds; ``None`` where no answer came.
    first_byte_s: float | None
    total_s: float | None


_SUMMED = (
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
    "reasoning_tokens",
    "CASE WHEN cut_steps <> '' THEN 1 ELSE 0 END",
    "cut_tokens",
)


class UsageStore:
    """The rows in one database. Each method blocks: call it in a thread.

    What reads has a connection of its own, so that it never waits for what writes, nor keeps it
    waiting. The methods that change rows share one, which is opened again after an error.
    """

    def __init__(
        self, database: Database, migrations: Sequence[Sequence[str]] = usage_schema.MIGRATIONS
    ) -> None:
        self._database = database
        self._migrations = migrations
        self._writing = threading.Lock()
        self._connection: DatabaseConnection | None = None
        self._salt = b""

    @property
    def title(self) -> str:
        """Where the rows are, for people."""
        return self._database.title

    @property
    def exists(self) -> bool:
        """Whether there can be anything to read."""
        return self._database.exists

    def write(self, rows: Sequence[tuple[int, UsageRow]]) -> None:
        """Add rows under their numbers; one that is there already stays. Raises driver errors."""
        with self._writer() as connection:
            connection.insert(_INSERT, [(key, *as_stored(row, self._salt)) for key, row in rows])

    def delete_before(self, moment_ms: int, most: int) -> int:
        """Delete at most ``most`` of the rows that arrived before; how many they were."""
        with self._writer() as connection:
            count = int(connection.query(_OLD, moment_ms, most)[0][0])
            if count:
                connection.query(_DELETE, moment_ms, most)
            return count

    def totals(self, group: Group, since_ms: int = 0, until_ms: int = _END_MS) -> list[UsageTotal]:
        """The sums of the rows that arrived in that time. Raises ``StokerError``."""
        sums = ", ".join(f"CAST(COALESCE(SUM({column}), 0) AS BIGINT)" for column in _SUMMED)
        sql = (
            f"SELECT {_GROUPS[group]}, COUNT(*), "  # noqa: S608  (of the table above)
            f"CAST(SUM(CASE WHEN status >= 400 THEN 1 ELSE 0 END) AS BIGINT), {sums}, "
            f"AVG(first_byte_s), AVG(total_s) FROM stoker_usage WHERE {_BETWEEN} "
            "GROUP BY 1 ORDER BY 1"
        )
        with self._reader() as connection:
            return [UsageTotal(*row) for row in connection.query(sql, since_ms, until_ms)]

    def rows(self, since_ms: int = 0, until_ms: int = _END_MS) -> Iterator[UsageRow]:
        """The rows of that time in the order of arrival, ``session`` hashed. A page at a time.

        Raises ``StokerError``.
        """
        with self._reader() as connection:
            last_ms, last_id = since_ms, -1
            while True:
                page = connection.query(_PAGE, last_ms, last_id, until_ms, _PAGE_ROWS)
                for _, *values in page:
                    yield UsageRow(*values)
                if len(page) < _PAGE_ROWS:
                    return
                last_id, last_ms = page[-1][0], page[-1][1]

    def close(self) -> None:
        """Close the connection that writes."""
        with self._writing:
            self._drop()

    @contextmanager
    def _writer(self) -> Iterator[DatabaseConnection]:
        with self._writing:
            try:
                if self._connection is None:
                    self._connection = self._database.connect()
                    self._salt = usage_schema.prepare(self._connection, self._migrations)
                yield self._connection
            except BaseException:
                self._drop()
                raise

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextmanager
    def _reader(self) -> Iterator[DatabaseConnection]:
        if not self._database.exists:
            raise StokerError(
                "No usage is recorded yet.",
                f"There is no {self.title}.",
                "It is recorded from the first request on that a gateway answers.",
            )
        with self._errors_named():
            connection = self._database.connect(read_only=True)
            try:
                yield connection
            finally:
                connection.close()

    @contextmanager
    def _errors_named(self) -> Iterator[None]:
        try:
            yield
        except StokerError:
            raise
        except Exception as error:
            raise StokerError(
                f"The usage in {self.title} can't be read.",
                f"The database reports: {reason(error)}.",
                "Start a gateway that records there, or check the database.",
            ) from error


def reason(error: Exception) -> str:
    """What a driver reports, in one line without credentials."""
    text = " ".join(str(error).split()).rstrip(".")
    return Problem(f"{type(error).__name__}: {text}"[:300] if text else type(error).__name__).what
