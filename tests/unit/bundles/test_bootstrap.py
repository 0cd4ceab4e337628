"""The program that needs nothing but Python: it takes the wheels that the manifest names."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import msgspec
import pytest
from tests.support import small_bundles
from tests.support.small_bundles import changed, changed_item, digest, stoker_wheel

from stoker.bundles import bootstrap
from stoker.bundles.bundle_archive import member
from stoker.bundles.bundle_manifest import ItemFile

WHEEL = "stoker-0.1.0-py3-none-any.whl"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    into = tmp_path / "in" / "wheels"
    into.mkdir(parents=True)
    return into


def unpacked(bundle: Path) -> Path:
    """The manifest of a bundle in a file beside it."""
    manifest = bundle.with_name("manifest.json")
    # Not ``extract``: Debian 12's Python 3.11.2 has no ``filter``, and newer ones warn without it.
    with tarfile.open(bundle) as archive, archive.extractfile("manifest.json") as held:  # type: ignore[union-attr]
        manifest.write_bytes(held.read())
    return manifest


def taken(bundle: Path, folder: Path) -> None:
    manifest = bootstrap.checked_manifest(str(bundle), unpacked(bundle))
    bootstrap.take_wheels(str(bundle), manifest, folder)


def test_it_takes_the_wheels(folder: Path, tmp_path: Path) -> None:
    bundle = small_bundles.write(tmp_path / "a.stoker")
    taken(bundle, folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {WHEEL: stoker_wheel()}


def test_a_wheel_that_was_altered_ends_it(folder: Path, tmp_path: Path) -> None:
    bundle = small_bundles.write(tmp_path / "a.stoker")
    content = bundle.read_bytes()
    bundle.write_bytes(content.replace(b"print(sys.argv[1:])", b"print(sys.argv[0:])"))
    with pytest.raises(SystemExit, match="altered or damaged"):
        taken(bundle, folder)
    assert list(folder.iterdir()) == []


def test_nothing_is_written_outside(folder: Path, tmp_path: Path) -> None:
    """The manifest is not verified at this point: its paths are not to be trusted."""
    described = small_bundles.manifest()
    wheel = changed_item(
        described.items[0], files=(ItemFile(f"../../{WHEEL}", digest(stoker_wheel())),)
    )
    described = changed(described, items=(wheel, *described.items[1:]))
    bundle = small_bundles.write(tmp_path / "a.stoker", described)
    taken(bundle, folder)
    assert [path.name for path in folder.iterdir()] == [WHEEL]
    assert not (tmp_path / WHEEL).exists()


def test_an_update_needs_the_stoker_that_is_there(folder: Path, tmp_path: Path) -> None:
    described = small_bundles.manifest(held=frozenset({digest(stoker_wheel())}))
    bundle = small_bundles.write(tmp_path / "update.stoker", described)
    with pytest.raises(SystemExit, match="an update is loaded with"):
        taken(bundle, folder)


def test_a_bundle_replaced_after_minisign_has_checked_it_is_refused(tmp_path: Path) -> None:
    bundle = small_bundles.write(tmp_path / "a.stoker")
    beside = unpacked(bundle)
    bundle.unlink()
    small_bundles.write(bundle, changed(small_bundles.manifest(), stoker_version="6.6.6"))
    with pytest.raises(SystemExit, match="not the bundle that"):
        bootstrap.checked_manifest(str(bundle), beside)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ({"python": "3.99"}, "for Python 3.99, and this is Python"),
        ({"platform": "amiga-m68k"}, "for amiga-m68k, and this machine is"),
    ],
)
def test_another_machine_is_refused_at_once(target: dict[str, str], message: str) -> None:
    described = msgspec.to_builtins(small_bundles.manifest())
    bootstrap.refuse_other_machine(described)
    described["target"] |= target
    with pytest.raises(SystemExit, match=message):
        bootstrap.refuse_other_machine(described)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """The program in a folder of its own, as ``tar -x`` leaves it."""
    return Path(shutil.copy(bootstrap.__file__, tmp_path))


def run(program: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """``-I -S``: no packages, no variables."""
    return subprocess.run(
        [sys.executable, "-I", "-S", str(program), *words],
        cwd=program.parent,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("words", [(), ("a.stoker",), ("a.stoker", "--into", "x")])
def test_it_runs_without_any_package_and_prints_how(words: tuple[str, ...], program: Path) -> None:
    done = run(program, *words)
    assert done.returncode == 2
    assert done.stderr == f"{bootstrap.USAGE}\n"


@pytest.mark.parametrize(
    ("manifest", "bundle", "message"),
    [
        (None, None, "there is no file a.stoker"),
        (None, b"", "manifest.json is missing. Unpack both: tar -xf a.stoker"),
        (b"{}", b"no archive" * 100, "a.stoker is not a bundle, or is cut short"),
        (b"{}", member("manifest.json", b"{}") + bytes(1024), "the manifest can't be read"),
        (b"[", member("manifest.json", b"[") + bytes(1024), "the manifest can't be read"),
        (b"{}", member("other", b"{}") + bytes(1024), "the bundle has no manifest.json"),
    ],
)
def test_it_ends_with_one_line(
    manifest: bytes | None, bundle: bytes | None, message: str, program: Path
) -> None:
    for name, content in {"manifest.json": manifest, "a.stoker": bundle}.items():
        if content is not None:
            program.with_name(name).write_bytes(content)
    done = run(program, "a.stoker", "--allow-unsigned", "--into", "opt")
    assert done.returncode == 1
    assert message in done.stderr
    assert done.stderr.startswith("bootstrap: ")
    assert done.stderr.count("\n") == 1
