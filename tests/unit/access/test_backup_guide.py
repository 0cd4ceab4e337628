"""The blocks of docs/backup.md, run as they are printed, while a writer holds the database open."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from tests.support.usage_rows import row

from stoker import paths
from stoker.access.audit_log import AuditLog
from stoker.access.key_store import KeyStore
from stoker.usage_records import store_at

GUIDE = Path(__file__).parents[3] / "docs" / "backup.md"


def block(heading: str) -> str:
    """The first block of commands below a heading of the guide."""
    after = GUIDE.read_text("utf-8").partition(f"\n## {heading}\n")[2]
    found = re.search(r"```sh\n(.*?)```", after, re.DOTALL)
    assert found is not None
    return found[1]


def run(commands: str, folder: Path) -> None:
    subprocess.run(["bash", "-euc", commands], cwd=folder, env=dict(os.environ), check=True)


def leave_what_a_killed_gateway_leaves() -> None:
    """A database whose newest rows are only in the file beside it."""
    stale = store_at("sqlite")
    assert stale is not None
    stale.write([(1, row(owner="stale"))])
    beside = paths.state_dir() / "usage.db-wal"
    rows = beside.read_bytes()
    stale.close()
    beside.write_bytes(rows)


def state() -> tuple[object, ...]:
    """What is to be the same afterwards."""
    usage = store_at("sqlite")
    assert usage is not None
    try:
        rows = list(usage.rows())
    finally:
        usage.close()
    keys = [key.described() for key in KeyStore().records()]
    return rows, keys, list(AuditLog().records()), AuditLog().verify()


def test_what_is_backed_up_is_restored(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    KeyStore().create("ann")
    KeyStore().create("bob", role="admin")
    writer = store_at("sqlite")
    assert writer is not None
    writer.write([(n, row(arrived_ms=1_700_000_000_000 + n)) for n in range(300)])
    assert (paths.state_dir() / "usage.db-wal").stat().st_size > 0  # what cp would leave out
    run(block("Back up"), tmp_path)
    before = state()
    KeyStore().create("eve")  # after the backup
    writer.close()

    monkeypatch.setenv("STOKER_HOME", str(tmp_path / "elsewhere"))
    leave_what_a_killed_gateway_leaves()
    run(block("Restore"), tmp_path)
    assert state() == before
    assert KeyStore().path.stat().st_mode & 0o077 == 0


def test_the_backup_is_private(home: Path, tmp_path: Path) -> None:
    KeyStore().create("ann")
    writer = store_at("sqlite")
    assert writer is not None
    writer.write([(1, row())])
    run(block("Back up"), tmp_path)
    writer.close()
    modes = {p.name: p.stat().st_mode & 0o077 for p in (tmp_path / "backup").rglob("*")}
    assert set(modes.values()) == {0}
