"""An archive that was broken off is continued, and is then the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support import small_bundles
from tests.support.small_bundles import FILES, KEY, PROGRAM, digest, silent

from stoker.bundles import archive_writing, bundle_archive
from stoker.errors import StokerError


def sources(path: Path) -> dict[str, Path]:
    """The files that the support wrote the bundle from."""
    return {file.name: file for file in path.with_name(f"{path.name}.files").iterdir()}


@pytest.mark.parametrize("kept", [0, 1, 511, 512, 5_000, 9_000, 12_000, -1025, -1024, -1])
def test_an_archive_that_was_cut_anywhere_is_completed(kept: int, tmp_path: Path) -> None:
    path = small_bundles.write(tmp_path / "a.stoker")
    whole = path.read_bytes()
    path.write_bytes(whole[:kept])
    archive_writing.write(path, small_bundles.manifest(), PROGRAM, sources(path), KEY, silent)
    assert path.read_bytes() == whole


def test_what_is_written_is_not_written_again(tmp_path: Path) -> None:
    path = small_bundles.write(tmp_path / "a.stoker")
    files = sources(path)
    del files[small_bundles.manifest().blobs[0].sha256]  # it would be missed
    path.write_bytes(path.read_bytes()[:-2000])
    archive_writing.write(path, small_bundles.manifest(), PROGRAM, files, KEY, silent)
    bundle_archive.open_archive(path, KEY.public).verify(silent)


def test_the_rest_of_another_bundle_is_overwritten(tmp_path: Path) -> None:
    path = small_bundles.write(tmp_path / "a.stoker")
    whole = path.read_bytes()
    path.write_bytes(b"x" * 100_000)
    archive_writing.write(path, small_bundles.manifest(), PROGRAM, sources(path), KEY, silent)
    assert path.read_bytes() == whole


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    first = small_bundles.write(tmp_path / "a.stoker").read_bytes()
    assert small_bundles.write(tmp_path / "b.stoker").read_bytes() == first


def test_a_file_that_changed_since_it_was_hashed_is_refused(tmp_path: Path) -> None:
    path = small_bundles.write(tmp_path / "a.stoker")
    files = sources(path)
    path.unlink()
    files[digest(FILES["model.gguf"])].write_bytes(b"GGUG" + FILES["model.gguf"][4:])
    with pytest.raises(StokerError, match="changed while it was read"):
        archive_writing.write(path, small_bundles.manifest(), PROGRAM, files, KEY, silent)
