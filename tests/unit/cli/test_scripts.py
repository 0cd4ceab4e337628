"""The scripts for vLLM run the ``stoker`` of their own clone, or name the fix."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[3] / "scripts"
CALLS = {
    "start-vllm.sh": "up --engine vllm",
    "stop-vllm.sh": "down",
    "test-vllm.sh": "test http://127.0.0.1:8000",
}


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone with nothing installed, in a folder whose name has a blank."""
    folder = tmp_path / "my clone"
    shutil.copytree(SCRIPTS, folder / "scripts")
    return folder


def put_stoker(folder: Path, name: str) -> None:
    folder.mkdir(parents=True)
    command = folder / "stoker"
    command.write_text(f'#!/bin/sh\necho "{name}: $*"\n')
    command.chmod(0o755)


def run(clone: Path, script: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    found = f"{path}:/usr/bin:/bin" if path else "/usr/bin:/bin"
    return subprocess.run(
        [clone / "scripts" / script, "--json"],
        env={"PATH": found},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(("script", "call"), CALLS.items())
def test_the_clones_own_stoker_is_run(clone: Path, script: str, call: str) -> None:
    put_stoker(clone / ".venv/bin", "own")
    put_stoker(clone / "elsewhere", "other")
    assert run(clone, script, clone / "elsewhere").stdout == f"own: {call} --json\n"


@pytest.mark.parametrize(("script", "call"), CALLS.items())
def test_without_one_that_on_path_is_run(clone: Path, script: str, call: str) -> None:
    put_stoker(clone / "elsewhere", "other")
    assert run(clone, script, clone / "elsewhere").stdout == f"other: {call} --json\n"


@pytest.mark.parametrize("script", CALLS)
def test_without_any_the_fix_is_named(clone: Path, script: str) -> None:
    done = run(clone, script)
    assert done.returncode == 1
    assert "make up" in done.stderr
