"""What the tests in real VS Code share."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.e2e.editor import ROOT


@pytest.fixture(scope="session")
def code_server() -> Path:
    """The folder of code-server and its Node, installed where they are not."""
    script = ROOT / "scripts/install-vscode.sh"
    done = subprocess.run([str(script)], check=True, stdout=subprocess.PIPE, text=True, timeout=900)
    return Path(done.stdout.strip().splitlines()[-1])
