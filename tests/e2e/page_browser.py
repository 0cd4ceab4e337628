"""Chromium over ordinary pages, driven by ``pages/browse.mjs``."""

from __future__ import annotations

import contextlib
import json
import subprocess
from pathlib import Path
from typing import Any

from tests.e2e.editor import ROOT, stop

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
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps({"do": command, **options}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"the browser ended during {command}"
        answer = json.loads(line)
        assert answer["ok"], f"{command} {options}: {answer['error']}"
        return answer["value"]

    def stop(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()  # the script then closes Chromium
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_CLOSE_S)
        stop(self._process)
