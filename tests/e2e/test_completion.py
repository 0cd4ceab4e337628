"""Ghost text in real VS Code, from a real model that completes code behind the gateway.

One window serves all tests. Screenshots of each step are kept in artifacts/vscode.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.editor import ROOT, free_port, measured, wait_for
from tests.e2e.proxy import Asked, Proxy
from tests.e2e.servers import Llama
from tests.e2e.window import STATUS, TOAST, Window
from tests.integration.conftest import Stoker
from tests.support.real_models import qwen

pytestmark = pytest.mark.vscode

#: What VS Code draws behind the cursor, within a line and in lines below it.
GHOST = ".ghost-text-decoration, .ghost-text, .suggest-preview-text"
EDITOR = ".part.editor .monaco-editor"
COMPLETIONS = "/v1/completions"
#: Five characters a second, as people type.
KEY_MS = 200
#: On two shared cores, a first request reads its whole prompt.
SHOWN_S = 60


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Llama]:
    log = tmp_path_factory.mktemp("coder") / "llama.log"
    coder = Llama(log, n_ctx=8192, alias="coder", model=qwen(), ignore_eos=False, n_predict=-1)
    with coder as llama:
        yield llama


@pytest.fixture(scope="module")
def gateway(engine: Llama, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """The gateway before the engine, and what the editor asks it."""
    stoker = Stoker(tmp_path_factory.mktemp("gateway"), free_port())
    done = stoker.run("adopt", engine.url, "--port", str(stoker.port))
    assert done.returncode == 0, done.stdout + done.stderr
    try:
        with Proxy(stoker.endpoint) as proxy:
            yield proxy
    finally:
        stoker.run("down")


@pytest.fixture
def coding(window: Window, gateway: Proxy) -> Iterator[Coder]:
    """A person who writes code with completions on, and closes all files afterwards."""
    coder = Coder(window, gateway)
    window.set_endpoint(gateway.url)
    coder.points_at_status("Completion: ")
    yield coder
    coder.closes_all()


class Coder:
    """What a person does with code in the window."""

    def __init__(self, window: Window, gateway: Proxy) -> None:
        self._window = window
        self._browser = window.browser
        self._gateway = gateway
        self._folder = window.server.workspace

    def asked(self) -> list[Asked]:
        """The requests for suggestions so far; not those that only let the model read."""
        all_asked = [each for each in self._gateway.asked if each.path == COMPLETIONS]
        return [each for each in all_asked if each.body["max_tokens"] > 1]

    def opens(self, name: str, text: str | bytes) -> Path:
        """Writes a file of the workspace and opens it, with the cursor at its end."""
        file = self._folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        self._browser.do("press", key="ControlOrMeta+P")
        self._browser.do("type", text=name)
        self._browser.do("click", selector=".quick-input-list .monaco-list-row", text=file.name)
        self._window.sees(".tab.active", file.name)
        self._browser.do("press", key="ControlOrMeta+End")
        return file

    def types(self, text: str) -> None:
        self._browser.do("type", text=text, delay=KEY_MS)

    def presses(self, key: str) -> None:
        self._browser.do("press", key=key)

    def saves(self, file: Path) -> str:
        self.presses("ControlOrMeta+S")
        self._browser.do("wait", selector=".tab.active.dirty", gone=True)
        return file.read_bytes().decode()

    def sees_ghost(self) -> str:
        """The grey text, once there is some."""
        self._browser.do("wait", selector=GHOST, timeout=SHOWN_S * 1000)
        return self.ghost()

    def ghost(self) -> str:
        return "".join(self._browser.do("texts", selector=GHOST)).replace("\xa0", " ")

    def points_at_status(self, text: str) -> None:
        """Waits until the hover of the status bar has this text."""

        def shown() -> bool:
            label = self._browser.do("evaluate", code=_STATUS_HOVER)
            return text in str(label)

        wait_for(f"the status bar says {text!r}", shown, 60)

    def closes_all(self) -> None:
        self.presses("Escape")
        self._browser.do("palette", title="File: Save All Files")
        self._browser.do("palette", title="View: Close All Editors")


_STATUS_HOVER = (
    "document.querySelector(\"[id='stoker.stoker.stoker.status'] a\")?.ariaLabel"
)


def test_ghost_text_shows_as_a_person_types_and_tab_accepts_it(coding: Coder, window: Window) -> None:
    file = coding.opens("sums.py", "def add(a, b):\n    return a + b\n\n\ndef multiply(a, b):\n    ")
    coding.types("return")
    shown = coding.sees_ghost()
    window.picture("30-ghost-text")
    assert "a * b" in shown
    coding.presses("Tab")
    assert "return a * b" in coding.saves(file)
