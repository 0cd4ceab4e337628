"""``kill -9`` of ``create`` and ``load`` at every step: nothing is half there, a run continues."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from tests.support import small_bundles
from tests.support.killed_runs import killed_at
from tests.support.small_bundles import FILES, KEY, digest, quiet

from stoker import bundles
from stoker.bundles import BundleRequest, blob_store, bundle_archive
from stoker.errors import StokerError

pytestmark = pytest.mark.engine

PYTHON = Path(sys.executable)
#: Each step takes up to seconds, so these are tried: other numbers try the rest.
_FIRST, _STRIDE = 1, 3
#: One in so many runs that were killed is followed by one that ends.
_EVERY = 3


def assert_nothing_is_half_there(into: Path) -> None:
    """Whatever has its final name is whole."""
    for blob in blob_store.BlobStore().folder.glob("*"):
        if not blob.name.endswith(".partial"):
            assert digest(blob.read_bytes()) == blob.name
    models = blob_store.BlobStore().folder.parents[1] / "models"
    for file in models.rglob("*"):
        if file.is_file() and not file.name.endswith(".partial"):
            assert file.read_bytes() == FILES[file.name]
    if (into / "current").exists():
        assert_runs(into)


def assert_runs(into: Path) -> None:
    printed = subprocess.run(
        [into / "current/venv/bin/stoker", "a"], check=True, stdout=subprocess.PIPE
    ).stdout
    assert printed == b"['a']\n"


def test_a_load_that_is_killed_anywhere_leaves_nothing_half_and_continues(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = bundle_archive.open_archive(small_bundles.write(tmp_path / "a.stoker"), KEY.public)
    for step in itertools.count(_FIRST, _STRIDE):
        into = tmp_path / f"opt-{step}"
        monkeypatch.setenv("STOKER_HOME", str(home / f"stoker-{step}"))
        load = partial(bundles.load, archive, into, PYTHON, quiet, editors=False)
        was_killed = killed_at(step, load, tmp_path)
        assert_nothing_is_half_there(into)
        if step // _STRIDE % _EVERY == 0 or not was_killed:
            assert load().models
            assert_runs(into)
            assert not list(blob_store.BlobStore().folder.glob("*.partial"))
        if not was_killed:
            break
    assert step > 40


def test_a_create_that_is_killed_anywhere_continues(home: Path, tmp_path: Path) -> None:
    wheel = tmp_path / "stoker-0.1.0-py3-none-any.whl"
    wheel.write_bytes(small_bundles.stoker_wheel())
    request = BundleRequest(target=bundles.target(None, None), stoker=wheel)
    for step in itertools.count(1):
        output = tmp_path / f"{step}/a.stoker"
        output.parent.mkdir()
        create = partial(bundles.create, request, output, KEY, quiet)
        was_killed = killed_at(step, create, tmp_path)
        if not output.exists() and step % _EVERY == 0:
            made = create()
            assert digest(wheel.read_bytes()) in {blob.sha256 for blob in made.manifest.blobs}
        if output.exists():
            bundle_archive.open_archive(output, KEY.public).verify(small_bundles.silent)
        if not was_killed:
            break
    assert step > 15


def test_a_load_waits_for_the_pip_of_one_that_was_killed(home: Path, tmp_path: Path) -> None:
    archive = bundle_archive.open_archive(small_bundles.write(tmp_path / "a.stoker"), KEY.public)
    into = tmp_path / "opt"
    load = partial(bundles.load, archive, into, PYTHON, quiet, editors=False)
    child = os.fork()
    if child == 0:
        load()
        os._exit(0)
    while not list(into.glob("versions/*/venv/bin/python")):
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with pytest.raises(StokerError, match="is still running"):
        load()
    deadline = time.monotonic() + 60
    while True:
        try:
            load()
            break
        except StokerError:
            assert time.monotonic() < deadline
            time.sleep(0.2)
    assert_runs(into)
