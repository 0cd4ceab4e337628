"""The version that runs, the one to go back to, and what goes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support import small_bundles

from stoker.bundles import bundle_manifest, installed_versions
from stoker.bundles.blob_store import BlobStore
from stoker.errors import UsageError


class Site:
    """A folder with versions, and the store that their blobs are in."""

    def __init__(self, folder: Path) -> None:
        self.into = folder / "opt"
        self.store = BlobStore(folder / "blobs")
        self.store.folder.mkdir()

    def version(self, number: int) -> Path:
        """A version with one blob that all have, and one of its own; it is not switched to."""
        folder = self.into / "versions" / f"{number:016x}"
        python = folder / "venv/bin/python"
        python.parent.mkdir(parents=True)
        python.touch()
        described = small_bundles.manifest({"own": str(number).encode()})
        (folder / installed_versions.COMPLETE).write_bytes(bundle_manifest.encoded(described))
        os.utime(folder / installed_versions.COMPLETE, (number, number))
        for blob in described.blobs:
            self.store.path(blob.sha256).touch()
        return folder

    def load(self, number: int) -> Path:
        """Install a version and switch to it."""
        folder = self.version(number)
        installed_versions.switch(self.into, folder, self.store)
        return folder

    def names(self) -> list[int]:
        """The versions that are there."""
        return sorted(int(each.name, 16) for each in (self.into / "versions").iterdir())


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_the_version_before_stays_and_older_ones_go_with_their_blobs(site: Site) -> None:
    for number in (1, 2, 3):
        newest = site.load(number)
    assert (site.into / "current").resolve() == newest
    assert site.names() == [2, 3]
    here = {each.name for each in site.store.folder.iterdir()}
    own = [small_bundles.digest(str(number).encode()) for number in (1, 2, 3)]
    assert [digest in here for digest in own] == [False, True, True]
    assert len(here) == 3  # with the blob that all have


def test_what_ran_until_now_stays_even_if_it_is_the_oldest(site: Site) -> None:
    first, second = site.load(1), site.load(2)
    installed_versions.switch(site.into, first, site.store)  # a person went back
    assert site.names() == [1, 2]
    site.load(3)
    assert site.names() == [1, 3]
    assert not second.exists()


def test_loading_the_same_again_keeps_the_version_before(site: Site) -> None:
    site.load(1)
    second = site.load(2)
    installed_versions.switch(site.into, second, site.store)
    assert site.names() == [1, 2]


def test_a_version_that_a_process_runs_from_stays(site: Site) -> None:
    word = str(site.load(1) / "venv/bin/stoker")
    waits = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()", word]
    with subprocess.Popen(waits, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        site.load(2)
        site.load(3)
        assert site.names() == [1, 2, 3]
        process.communicate()
    site.load(4)
    assert site.names() == [3, 4]


def test_an_unfinished_version_goes_and_what_a_person_put_there_stays(site: Site) -> None:
    (site.version(9) / installed_versions.COMPLETE).unlink()
    mine = site.into / "versions" / "backup"
    mine.mkdir()
    site.load(1)
    assert [each.name for each in sorted((site.into / "versions").iterdir())] == [
        f"{1:016x}",
        "backup",
    ]


def test_a_version_whose_python_is_gone_does_not_run(site: Site) -> None:
    folder = site.version(1)
    assert installed_versions.runs(folder)
    python = folder / "venv/bin/python"
    python.unlink()
    python.symlink_to("/usr/bin/python-that-was-updated-away")
    assert not installed_versions.runs(folder)


def test_a_folder_named_current_is_refused(site: Site) -> None:
    site.load(1)
    installed_versions.refuse_folder(site.into)
    (site.into / "current").unlink()
    (site.into / "current").mkdir()
    with pytest.raises(UsageError, match="is a folder"):
        installed_versions.refuse_folder(site.into)
