"""Usage in SQLite: what is written is summed, exported and deleted; the file is private."""

from __future__ import annotations

import sqlite3
import stat
from pathlib import Path

import pytest
from tests.support.usage_rows import USUAL, row

from stoker.errors import StokerError
from stoker.usage_records import Group, UsageRow, UsageStore
from stoker.usage_records.sqlite_database import SqliteDatabase
from stoker.usage_records.usage_schema import MIGRATIONS
from stoker.usage_records.usage_store import DAY_MS

DAY = 1_700_000_000_000 // DAY_MS


def store_in(folder: Path) -> UsageStore:
    return UsageStore(SqliteDatabase(folder / "private" / "usage.db"))


def written(folder: Path, *rows: UsageRow) -> UsageStore:
    store = store_in(folder)
    store.write(list(enumerate(rows, 1)))
    return store


def test_row_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert list(written(tmp_path, USUAL).rows()) == [USUAL]


def test_row_that_is_written_twice_is_there_once(tmp_path: Path) -> None:
    store = written(tmp_path, USUAL)
    store.write([(1, USUAL), (2, row(owner="bob"))])
    assert [each.owner for each in store.rows()] == ["ann", "bob"]


def test_sums_by_owner_leave_out_what_was_not_reported(tmp_path: Path) -> None:
    store = written(
        tmp_path,
        USUAL,
        row(status=499, prompt_tokens=None, completion_tokens=None, first_byte_s=None),
        row(owner="bob", cut_steps="tools results", cut_tokens=900, first_byte_s=1.5),
    )
    ann, bob = store.totals(Group.OWNER)
    assert (ann.group, ann.requests, ann.failed) == ("ann", 2, 1)
    assert (ann.prompt_tokens, ann.completion_tokens, ann.cached_tokens) == (100, 20, 160)
    assert ann.first_byte_s == 0.5
    assert (bob.cut_requests, bob.cut_tokens, bob.reasoning_tokens) == (1, 900, 5)


@pytest.mark.parametrize(
    ("group", "names"),
    [
        (Group.MODEL, ["coder", "thinker"]),
        (Group.KEY, ["ann-1"]),
        (Group.DAY, [DAY, DAY + 1]),
    ],
)
def test_sums_by_other_groups(tmp_path: Path, group: Group, names: list[str | int]) -> None:
    store = written(tmp_path, USUAL, row(model="thinker", arrived_ms=USUAL.arrived_ms + DAY_MS))
    assert [total.group for total in store.totals(group)] == names


def test_sums_of_a_time_hold_its_first_moment_and_not_its_last(tmp_path: Path) -> None:
    store = written(tmp_path, *(row(arrived_ms=moment) for moment in (9, 10, 19, 20)))
    assert [total.requests for total in store.totals(Group.OWNER, 10, 20)] == [2]
    assert [each.arrived_ms for each in store.rows(10, 20)] == [10, 19]


@pytest.fixture
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stoker.usage_records.usage_store._PAGE_ROWS", 10)


@pytest.mark.usefixtures("_small_pages")
def test_rows_come_in_the_order_of_arrival_over_many_pages(tmp_path: Path) -> None:
    moments = [number * 7 % 50 // 4 for number in range(50)]  # several arrive together
    store = written(tmp_path, *(row(arrived_ms=moment) for moment in moments))
    assert [each.arrived_ms for each in store.rows()] == sorted(moments)


def test_old_rows_are_deleted_a_few_at_a_time(tmp_path: Path) -> None:
    store = written(tmp_path, *(row(arrived_ms=moment) for moment in range(10)))
    assert store.delete_before(8, 5) == 5
    assert [each.arrived_ms for each in store.rows()] == [5, 6, 7, 8, 9]
    assert store.delete_before(8, 5) == 3
    assert store.delete_before(8, 5) == 0


def test_session_is_kept_as_a_hash_that_other_owners_and_databases_do_not_share(
    tmp_path: Path,
) -> None:
    one = row(session="a-session")
    here = written(tmp_path / "here", one, one, one._replace(owner="bob"))
    there = written(tmp_path / "there", one)
    ann, again, bob = (each.session for each in here.rows())
    (elsewhere,) = (each.session for each in there.rows())
    assert ann == again
    assert ann is not None and len(ann) == 24
    assert len({ann, bob, elsewhere, "a-session"}) == 4
    assert b"a-session" not in (tmp_path / "here/private/usage.db-wal").read_bytes()


@pytest.mark.parametrize("text", ["nul\0byte", "half a pair \ud800", "x" * 100_000, "'; DROP --"])
def test_no_name_is_too_strange_to_be_written(tmp_path: Path, text: str) -> None:
    (read,) = written(tmp_path, row(owner=text, session=text)).rows()
    assert len(read.owner) <= 256
    assert "\0" not in read.owner


def test_number_that_no_column_holds_is_written_as_the_largest_one(tmp_path: Path) -> None:
    (read,) = written(tmp_path, row(prompt_tokens=10**30)).rows()
    assert read.prompt_tokens == 2**63 - 1


def test_only_its_user_reads_the_file(tmp_path: Path) -> None:
    written(tmp_path, USUAL)
    folder = tmp_path / "private"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}
    assert modes == dict.fromkeys(("usage.db", "usage.db-wal", "usage.db-shm"), 0o600)


def test_reading_goes_on_while_a_writer_has_not_committed(tmp_path: Path) -> None:
    store = written(tmp_path, USUAL)
    other = sqlite3.connect(tmp_path / "private/usage.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    other.execute("UPDATE stoker_usage SET owner = 'bob'")
    assert [each.owner for each in store.rows()] == ["ann"]
    other.close()


@pytest.mark.usefixtures("_small_pages")
def test_writing_goes_on_while_a_reader_reads(tmp_path: Path) -> None:
    store = written(tmp_path, *(row(arrived_ms=number) for number in range(50)))
    reading = store.rows()
    next(reading)
    store.write([(9999, USUAL)])
    assert [each.arrived_ms for each in reading] == [*range(1, 50), USUAL.arrived_ms]


def test_nothing_recorded_yet_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    with pytest.raises(StokerError, match="No usage is recorded yet"):
        store_in(tmp_path).totals(Group.OWNER)


def test_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    written(tmp_path, USUAL).close()
    for file in (tmp_path / "private").iterdir():
        file.write_bytes(b"not a database at all" * 100)
    with pytest.raises(StokerError, match=r"usage\.db can't be read"):
        store_in(tmp_path).totals(Group.OWNER)


def test_tables_of_an_older_version_get_the_newer_one_and_keep_their_rows(tmp_path: Path) -> None:
    written(tmp_path, USUAL).close()
    newer = (*MIGRATIONS, ("ALTER TABLE stoker_usage ADD COLUMN site TEXT DEFAULT 'here'",))
    path = tmp_path / "private/usage.db"
    for key in (2, 3):  # the second time there is nothing left to change
        store = UsageStore(SqliteDatabase(path), newer)
        store.write([(key, USUAL)])
        store.close()
    with sqlite3.connect(path) as read:
        assert read.execute("SELECT site FROM stoker_usage").fetchall() == [("here",)] * 3


def test_change_that_fails_leaves_the_tables_as_they_were(tmp_path: Path) -> None:
    written(tmp_path, USUAL).close()
    path = tmp_path / "private/usage.db"
    broken = (*MIGRATIONS, ("ALTER TABLE stoker_usage ADD COLUMN site TEXT", "no SQL"))
    with pytest.raises(sqlite3.Error):
        UsageStore(SqliteDatabase(path), broken).write([(2, USUAL)])
    assert list(written(tmp_path, USUAL).rows()) == [USUAL]


def test_tables_of_a_newer_version_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "private/usage.db"
    UsageStore(SqliteDatabase(path), (*MIGRATIONS, ())).write([(1, USUAL)])
    with pytest.raises(StokerError, match="has version 2; this Stoker knows 1"):
        UsageStore(SqliteDatabase(path)).write([(2, USUAL)])
