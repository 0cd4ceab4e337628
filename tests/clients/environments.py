"""The environments that hold other projects' programs: pinned, one per machine, beside our own."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from stoker import paths

HERE = Path(__file__).parent
#: The user's real cache: a test's home is empty.
_CACHE = paths.cache_dir() / "clients"
_INSTALL_S = 500
#: uv installs the SDKs in a tenth of pip's time.
_UV = "uv==0.13.9"
#: How npm and uv say that a package can't be had here. Any other failure is a test's failure.
_NOT_TO_BE_HAD = re.compile(
    r"E404|ENOTFOUND|EAI_AGAIN|ECONN|ETIMEDOUT|network|failed to fetch|error sending request|"
    r"not found in the package registry|no matching distribution|there is no version|"
    r"does not satisfy Python",
    re.IGNORECASE,
)


def node() -> Path:
    """The packages of ``package-lock.json``."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed, so the clients that need Node can't be had")
    files = [HERE / "package.json", HERE / "package-lock.json"]
    folder = _CACHE / "node"
    if _prepare(folder, files):
        for file in files:
            shutil.copy(file, folder)
        # Not `npm ci`: it wants every platform's optional packages, and not all can be had.
        _run("npm", "install", "--no-audit", "--no-fund", cwd=folder)
        _finish(folder, files)
    return folder / "node_modules"


def python(name: str) -> Path:
    """The programs' folder of an environment with the packages of ``requirements-NAME.txt``."""
    requirements = HERE / f"requirements-{name}.txt"
    folder = _CACHE / name
    if _prepare(folder, [requirements]):
        _run(sys.executable, "-m", "venv", str(folder), cwd=folder)
        interpreter = str(folder / "bin/python")
        _run(interpreter, "-m", "pip", "install", "-q", _UV, cwd=folder)
        install = ("pip", "install", "-q", "--python", interpreter, "-r", str(requirements))
        _run(str(folder / "bin/uv"), *install, cwd=folder)
        _finish(folder, [requirements])
    return folder / "bin"


def _prepare(folder: Path, files: Sequence[Path]) -> bool:
    """Whether it has to be installed; then the folder is empty."""
    stamp = folder / "installed.txt"
    if stamp.exists() and stamp.read_text() == _digest(files):
        return False
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return True


def _finish(folder: Path, files: Sequence[Path]) -> None:
    (folder / "installed.txt").write_text(_digest(files))


def _digest(files: Sequence[Path]) -> str:
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _run(*command: str, cwd: Path) -> None:
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=_INSTALL_S, check=False
    )
    output = done.stdout + done.stderr
    if done.returncode and (found := _NOT_TO_BE_HAD.search(output)):
        pytest.skip(f"{Path(command[0]).name} can't have a package: {found[0]}")
    assert done.returncode == 0, output[-3000:]
