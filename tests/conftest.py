"""Settings and fixtures that all tests share."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Tests started in the background ignore interrupts, and the programs under test would inherit that:
# Ctrl-C could not be tested.
signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile(
    "stoker",
    # Benchmarks measure time; tests must pass on a busy machine.
    deadline=None,
    # Every run tries the same examples, so few are enough for what was found once; `pytest
    # --hypothesis-profile=search` and tests/fuzz look for new ones.
    derandomize=True,
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "search", settings.get_profile("stoker"), derandomize=False, max_examples=3000
)
settings.load_profile("stoker")

#: Variables that point outside the home folder: to other folders, caches, or a remote window.
_LEAD_OUT = (
    "HF_HOME",
    "HF_HUB_CACHE",
    "OLLAMA_MODELS",
    "VSCODE_IPC_HOOK_CLI",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home folder, ``tmp_path / "home"``; ``STOKER_HOME`` is ``home / "stoker"``.

    For every test that reads or writes settings, state, caches or an editor's files: the test never
    sees the user's own files, and never changes them.
    """
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("STOKER_HOME", str(folder / "stoker"))
    for name in _LEAD_OUT:
        monkeypatch.delenv(name, raising=False)
    return folder
