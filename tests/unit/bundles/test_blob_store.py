"""Verified blobs: whole, or not there."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.small_bundles import digest, silent

from stoker.bundles import blob_store
from stoker.bundles.blob_store import BlobStore
from stoker.bundles.bundle_manifest import Blob
from stoker.errors import StokerError

CONTENT = b"weights" * 1000
BLOB = Blob(digest(CONTENT), len(CONTENT))


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blobs")


def added(store: BlobStore) -> BlobStore:
    list(store.add(BLOB, [CONTENT[:10], CONTENT[10:]]))
    return store


def test_a_blob_is_there_once_it_is_whole(store: BlobStore) -> None:
    pieces = store.add(BLOB, [CONTENT[:10], CONTENT[10:]])
    assert next(pieces) == 10
    assert not store.has(BLOB)
    assert list(pieces) == [len(CONTENT) - 10]
    assert store.path(BLOB.sha256).read_bytes() == CONTENT


@pytest.mark.parametrize(
    "error", [StokerError("It differs."), OSError(errno.ENOSPC, "full"), KeyboardInterrupt()]
)
def test_nothing_is_left_of_one_that_fails(error: BaseException, store: BlobStore) -> None:
    def content() -> Iterator[bytes]:
        yield CONTENT[:10]
        raise error

    with pytest.raises((StokerError, KeyboardInterrupt)):
        list(store.add(BLOB, content()))
    assert list(store.folder.iterdir()) == []


def test_a_full_disk_is_named_with_what_to_do(tmp_path: Path) -> None:
    problem = blob_store.disk_error(tmp_path, OSError(errno.ENOSPC, "full"))
    assert "full" in problem.what
    assert "continues where it stopped" in problem.fix


def test_a_blob_that_was_damaged_is_removed(store: BlobStore) -> None:
    added(store)
    assert store.verified([BLOB, Blob("0" * 64, 1)], silent) == {BLOB.sha256}
    store.path(BLOB.sha256).write_bytes(CONTENT[:-1] + b"!")
    assert store.has(BLOB)  # by its size
    assert store.verified([BLOB], silent) == set()
    assert not store.has(BLOB)


def test_a_file_takes_its_space_once(store: BlobStore, tmp_path: Path) -> None:
    place = tmp_path / "models" / "a.gguf"
    added(store).place({place: BLOB.sha256})
    assert place.samefile(store.path(BLOB.sha256))
    store.place({place: BLOB.sha256})  # again, as after an interruption
    assert [path.name for path in place.parent.iterdir()] == ["a.gguf"]


def test_an_older_file_is_replaced(store: BlobStore, tmp_path: Path) -> None:
    place = tmp_path / "a.gguf"
    place.write_bytes(b"older")
    added(store).place({place: BLOB.sha256})
    assert place.read_bytes() == CONTENT


def test_space_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StokerError, match="not enough disk space for the weights"):
        blob_store.check_space((tmp_path / "not" / "yet", 1 << 60, "the weights"))


def test_what_goes_to_one_disk_is_added_up(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    parts = [(tmp_path / name, free // 2, f"the {name}") for name in ("weights", "wheels")]
    blob_store.check_space((tmp_path, 0, "nothing"))
    with pytest.raises(StokerError, match="for the weights and the wheels"):
        blob_store.check_space(*parts)


def test_files_are_replaced_only_once_all_new_ones_are_there(
    store: BlobStore, tmp_path: Path
) -> None:
    first, second = tmp_path / "a.gguf", tmp_path / "b.gguf"
    first.write_bytes(b"older")
    with pytest.raises(StokerError, match="can't be written"):
        added(store).place({first: BLOB.sha256, second: "0" * 64})
    assert first.read_bytes() == b"older"
    assert [path.name for path in tmp_path.glob("*.gguf*")] == ["a.gguf"]


def test_one_run_at_a_time_writes_and_what_a_killed_one_left_goes(store: BlobStore) -> None:
    store.folder.mkdir()
    (store.folder / "killed.partial").touch()
    with store.only_run():
        assert list(store.folder.iterdir()) == []
        with pytest.raises(StokerError, match="Another run"), store.only_run():
            pass
