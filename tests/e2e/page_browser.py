"""Chromium over ordinary pages, driven by ``pages/browse.mjs``."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path
from typing import Any

from tests.e2e.editor import ROOT, answer_of, stop

ARTIFACTS = ROOT / "artifacts" / "dashboard"
_PAGES = Path(__file__).parent / "pages"
_INSTALL_S = 300
_CLOSE_S = 5


class PageBrowser:
    """A browser with one window at a time. ``node`` is the folder of Node and npm."""

    def __init__(self, node: Path) -> None:
        ARTIFACTS.mkdir(parents=True, exist_ok=True)
        if not (_PAGES / "node_modules/axe-core").is_dir():
            npm = [str(node / "node"), str(node / "npm"), "ci", "--silent"]
            subprocess.run(npm, check=True, cwd=_PAGES, timeout=_INSTALL_S)
        self._process = subprocess.Popen(
            [str(node / "node"), str(_PAGES / "browse.mjs"), str(ARTIFACTS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def do(self, command: str, /, **options: object) -> Any:
        """Runs one of the script's commands. Fails with the browser's error."""
        answer = answer_of(self._process, command, options)
        assert answer["ok"], f"{command} {options}: {answer['error']}"
        return answer["value"]

    def stop(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()  # the script then closes Chromium
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_CLOSE_S)
        stop(self._process)
