"""The writer: a database that is away fails no request, and what waits is bounded and counted."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from tests.support.usage_rows import USUAL, row

from stoker.usage_records import UsageRow, UsageStore, UsageWriter
from stoker.usage_records.sqlite_database import SqliteDatabase
from stoker.usage_records.usage_store import DAY_MS

WITHIN_S = 5.0


class Counted:
    """How many rows were lost."""

    def __init__(self) -> None:
        self.rows = 0

    def __call__(self, rows: int) -> None:
        self.rows += rows


@contextlib.contextmanager
def writing(
    path: Path, *, most_waiting: int = 1000, days: int = 400_000
) -> Iterator[tuple[UsageWriter, Counted]]:
    lost = Counted()
    store = UsageStore(SqliteDatabase(path))
    writer = UsageWriter(store, days, lost, most_waiting=most_waiting, write_every_s=0.01)
    writer.start()
    try:
        yield writer, lost
    finally:
        writer.close()


def owners(path: Path) -> list[str]:
    return [each.owner for each in UsageStore(SqliteDatabase(path)).rows()]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.002)


def numbered(count: int) -> list[UsageRow]:
    return [row(arrived_ms=number, owner=str(number)) for number in range(count)]


def test_rows_are_written_while_the_gateway_runs(tmp_path: Path) -> None:
    path = tmp_path / "usage.db"
    with writing(path) as (writer, _):
        writer.add(USUAL)
        until(lambda: path.exists() and owners_or_none(path) == ["ann"])


def owners_or_none(path: Path) -> list[str]:
    with contextlib.suppress(Exception):
        return owners(path)
    return []


def test_nothing_is_lost_at_the_end(tmp_path: Path) -> None:
    with writing(tmp_path / "usage.db", most_waiting=5000) as (writer, lost):
        for each in numbered(1200):
            writer.add(each)
    assert owners(tmp_path / "usage.db") == [str(number) for number in range(1200)]
    assert lost.rows == 0


def test_each_row_has_a_number_of_its_own_although_the_clock_goes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(10**18, 0, -(10**12)))
    monkeypatch.setattr(time, "time_ns", lambda: next(clock))
    with writing(tmp_path / "usage.db") as (writer, _):
        for each in numbered(100):
            writer.add(each)
    assert len(owners(tmp_path / "usage.db")) == 100


def test_locked_database_gets_its_rows_when_it_is_free(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stoker.usage_records.sqlite_database._BUSY_S", 0.01)
    caplog.set_level(logging.INFO)
    path = tmp_path / "usage.db"
    UsageStore(SqliteDatabase(path)).write([(1, USUAL)])
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with writing(path) as (writer, lost):
        writer.add(row(owner="bob"))
        until(lambda: "database is locked" in caplog.text)
        other.close()
        until(lambda: "is written to" in caplog.text)
    assert owners(path) == ["ann", "bob"]
    assert lost.rows == 0
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


class FullDisk:
    """A database as it is on a full disk, until there is room."""

    def __init__(self, path: Path) -> None:
        self._real = SqliteDatabase(path)
        self.title, self.exists, self.is_full = "the disk", True, True

    def connect(self, *, read_only: bool = False) -> object:
        if self.is_full:
            raise sqlite3.OperationalError("database or disk is full")
        return self._real.connect(read_only=read_only)


def test_where_too_many_wait_the_oldest_are_lost_counted_and_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    disk, lost = FullDisk(tmp_path / "usage.db"), Counted()
    writer = UsageWriter(
        UsageStore(disk),  # type: ignore[arg-type]
        400_000,
        lost,
        most_waiting=10,
        write_every_s=0.01,
    )
    for each in numbered(30):
        writer.add(each)
    assert lost.rows == 20
    assert caplog.text.count("the oldest requests is lost") == 1
    writer.start()
    until(lambda: "disk is full" in caplog.text)
    disk.is_full = False
    writer.close()
    assert owners(tmp_path / "usage.db") == [str(number) for number in range(20, 30)]
    assert lost.rows == 20


def not_a_database(path: Path) -> None:
    path.write_bytes(b"no database" * 1000)


def read_only(path: Path) -> None:
    path.mkdir()  # root may write to files that are read-only, and to no folder as a file


def below_a_file(path: Path) -> None:
    path.parent.rmdir()
    path.parent.write_bytes(b"")


@pytest.mark.parametrize("breaks", [not_a_database, read_only, below_a_file])
def test_broken_database_is_reported_once_and_does_not_keep_the_gateway_from_ending(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    breaks: Callable[[Path], None],
) -> None:
    monkeypatch.setattr("stoker.usage_records.usage_writer._CLOSE_S", 0.05)
    folder = tmp_path / "state"
    folder.mkdir()
    breaks(folder / "usage.db")
    with writing(folder / "usage.db") as (writer, lost):
        for each in numbered(3):
            writer.add(each)
        until(lambda: "can't be written" in caplog.text)
    assert lost.rows == 3
    assert [record.levelname for record in caplog.records] == ["WARNING", "ERROR"]
    assert "3 requests are missing" in caplog.text


def test_rows_that_are_too_old_are_deleted_in_small_steps(tmp_path: Path) -> None:
    path, now = tmp_path / "usage.db", time.time_ns() // 1_000_000
    old: Sequence[UsageRow] = [row(owner="old", arrived_ms=now - 31 * DAY_MS)] * 1200
    recent = row(owner="recent", arrived_ms=now - 29 * DAY_MS)
    UsageStore(SqliteDatabase(path)).write(list(enumerate([*old, recent], 1)))
    with writing(path, days=30):
        until(lambda: owners(path) == ["recent"])
