"""A command that runs in the test's own process: one of its own loads Stoker again each time."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stoker.cli import main

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """``run("connect", "codex")`` in an empty home, without a terminal."""
    monkeypatch.chdir(home)

    def stoker(*arguments: str) -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "argv", ["stoker", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        printed, code = capsys.readouterr(), end.value.code or 0
        assert isinstance(code, int)
        return subprocess.CompletedProcess(arguments, code, printed.out, printed.err)

    return stoker
