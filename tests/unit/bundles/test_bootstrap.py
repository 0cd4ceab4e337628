"""The program that needs nothing but Python: it takes the wheels that the manifest names."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.support import small_bundles
from tests.support.small_bundles import changed, changed_item, digest, stoker_wheel

from stoker.bundles import bootstrap
from stoker.bundles.bundle_manifest import ItemFile

WHEEL = "stoker-0.1.0-py3-none-any.whl"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    into = tmp_path / "in" / "wheels"
    into.mkdir(parents=True)
    return into


def test_it_takes_the_wheels(folder: Path, tmp_path: Path) -> None:
    bundle = small_bundles.write(tmp_path / "a.stoker")
    bootstrap.take_wheels(str(bundle), folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {WHEEL: stoker_wheel()}


def test_a_wheel_that_was_altered_ends_it(folder: Path, tmp_path: Path) -> None:
    bundle = small_bundles.write(tmp_path / "a.stoker")
    content = bundle.read_bytes()
    bundle.write_bytes(content.replace(b"print(sys.argv[1:])", b"print(sys.argv[0:])"))
    with pytest.raises(SystemExit, match="altered or damaged"):
        bootstrap.take_wheels(str(bundle), folder)
    assert list(folder.iterdir()) == []


def test_nothing_is_written_outside(folder: Path, tmp_path: Path) -> None:
    """The manifest is not verified at this point: its paths are not to be trusted."""
    described = small_bundles.manifest()
    wheel = changed_item(
        described.items[0], files=(ItemFile(f"../../{WHEEL}", digest(stoker_wheel())),)
    )
    described = changed(described, items=(wheel, *described.items[1:]))
    bundle = small_bundles.write(tmp_path / "a.stoker", described)
    bootstrap.take_wheels(str(bundle), folder)
    assert [path.name for path in folder.iterdir()] == [WHEEL]
    assert not (tmp_path / WHEEL).exists()


def test_an_update_needs_the_stoker_that_is_there(folder: Path, tmp_path: Path) -> None:
    described = small_bundles.manifest(held=frozenset({digest(stoker_wheel())}))
    bundle = small_bundles.write(tmp_path / "update.stoker", described)
    with pytest.raises(SystemExit, match="an update is loaded with"):
        bootstrap.take_wheels(str(bundle), folder)


def test_it_runs_without_any_package() -> None:
    """``-I -S``: no packages, no variables."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(bootstrap.__file__)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr.startswith("usage: python3 bootstrap.py BUNDLE")
