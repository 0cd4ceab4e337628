"""Usage in a real PostgreSQL: written, summed, migrated, and kept while the server is away."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from tests.support import postgres_server
from tests.support.postgres_server import PostgresServer
from tests.support.usage_rows import USUAL, row

from stoker.errors import StokerError
from stoker.usage_records import Group, UsageStore, UsageWriter, store_at
from stoker.usage_records.postgres_database import PostgresDatabase
from stoker.usage_records.usage_schema import MIGRATIONS

pytestmark = pytest.mark.databases


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server.running() as started:
        yield started


@pytest.fixture
def store(server: PostgresServer) -> Iterator[UsageStore]:
    found = store_at(server.url)
    assert found is not None
    yield found
    found.close()
    connection = PostgresDatabase(server.url).connect()
    connection.query("DROP TABLE IF EXISTS stoker_usage, stoker_usage_facts")
    connection.close()


def until(condition: Callable[[], bool], within_s: float = 15) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def owners(store: UsageStore) -> list[str]:
    try:
        return [each.owner for each in store.rows()]
    except StokerError:  # there are no tables yet, or no server
        return []


def test_row_is_read_as_it_was_written_and_only_once(store: UsageStore) -> None:
    for _ in range(2):
        store.write([(1, USUAL), (2, row(owner="bob", first_byte_s=None, queue_s=0))])
    ann, bob = store.rows()
    assert ann == USUAL
    assert (bob.owner, bob.first_byte_s) == ("bob", None)


@pytest.mark.parametrize("text", ["nul\0byte", "half a pair \ud800", "x" * 100_000, "'; DROP --"])
def test_no_name_is_too_strange_to_be_written(store: UsageStore, text: str) -> None:
    store.write([(1, row(owner=text, session=text, prompt_tokens=10**30))])
    (read,) = store.rows()
    assert read.prompt_tokens == 2**63 - 1


def test_sums_are_those_of_each_owner_and_day(store: UsageStore) -> None:
    store.write([(1, USUAL), (2, row(status=502, prompt_tokens=None)), (3, row(owner="bob"))])
    totals = {total.group: total for total in store.totals(Group.OWNER)}
    assert (totals["ann"].requests, totals["ann"].failed) == (2, 1)
    assert (totals["ann"].prompt_tokens, totals["ann"].first_byte_s) == (100, 0.5)
    assert [total.group for total in store.totals(Group.DAY)] == [19675]


def test_old_rows_are_deleted_a_few_at_a_time(store: UsageStore) -> None:
    store.write([(number, row(arrived_ms=number)) for number in range(10)])
    assert [store.delete_before(8, 5) for _ in range(3)] == [5, 3, 0]
    assert [each.arrived_ms for each in store.rows()] == [8, 9]


def test_gateways_that_start_together_make_the_tables_once(
    store: UsageStore, server: PostgresServer
) -> None:
    stores = [UsageStore(PostgresDatabase(server.url)) for _ in range(6)]
    threads = [
        threading.Thread(target=each.write, args=([(number, row(session="one"))],))
        for number, each in enumerate(stores)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    for each in stores:
        each.close()
    rows = list(store.rows())
    assert len(rows) == 6
    assert len({each.session for each in rows}) == 1, "all use one salt"


def test_tables_of_an_older_version_get_the_newer_one(
    store: UsageStore, server: PostgresServer
) -> None:
    store.write([(1, USUAL)])
    newer = (*MIGRATIONS, ("ALTER TABLE stoker_usage ADD COLUMN site TEXT",))
    updated = UsageStore(PostgresDatabase(server.url), newer)
    updated.write([(2, USUAL)])
    updated.close()
    assert len(list(store.rows())) == 2
    store.close()
    with pytest.raises(StokerError, match="has version 2"):
        store.write([(3, USUAL)])


def test_rows_wait_while_the_server_is_killed_and_are_written_once_when_it_is_back(
    store: UsageStore, server: PostgresServer
) -> None:
    lost: list[int] = []
    writer = UsageWriter(store, 400_000, lost.append, write_every_s=0.02)
    writer.start()
    count = 0
    try:
        for _ in range(3):
            for number in range(count, count + 20):
                writer.add(row(arrived_ms=number, owner=str(number)))
            count += 20
            server.stop()
            for number in range(count, count + 20):
                writer.add(row(arrived_ms=number, owner=str(number)))
            count += 20
            server.start()
            until(lambda: len(owners(store)) == count)  # noqa: B023
    finally:
        writer.close()
    assert owners(store) == [str(number) for number in range(count)]
    assert lost == []


def test_server_that_is_not_there_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(os.environ, "DATABASE", "postgresql://me:hunter2@127.0.0.1:1/stoker")
    away = store_at("env:DATABASE")
    assert away is not None
    with pytest.raises(StokerError, match="can't be read") as refused:
        away.totals(Group.OWNER)
    assert "hunter2" not in str(refused.value)
