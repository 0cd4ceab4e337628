"""Ghost text in real VS Code, from a real model that completes code behind the gateway.

One window serves all tests. Screenshots of each step are kept in artifacts/vscode.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import new_window
from tests.e2e.editor import free_port, measured, wait_for
from tests.e2e.proxy import Asked, Proxy
from tests.e2e.servers import Llama
from tests.e2e.window import STATUS, TOAST, Window
from tests.integration.conftest import Stoker
from tests.support.real_models import qwen

pytestmark = pytest.mark.vscode

#: What VS Code draws after the cursor, within a line and in lines below it.
GHOST = ".ghost-text-decoration, .ghost-text, .suggest-preview-text"
EDITOR = ".part.editor .monaco-editor"
COMPLETIONS = "/v1/completions"
MODEL = "qwen2.5-coder-0.5b"
#: A chat without tools, which so small a model would call instead of answering.
TALK = """---
name: Talk
description: Answers questions, without tools.
tools: []
---
Answer the question.
"""
#: Five characters a second, as people type.
KEY_MS = 200
#: On two shared cores, a first request reads its whole prompt.
SHOWN_S = 90


@pytest.fixture(scope="module")
def window(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Window]:
    """A window of its own: what is open and logged here is not for the tests that follow."""
    with new_window(installed, tmp_path_factory.mktemp("coder")) as window:
        yield window


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Llama]:
    log = tmp_path_factory.mktemp("coder") / "llama.log"
    coder = Llama(
        log,
        n_ctx=8192,
        alias=MODEL,
        model=qwen(),
        ignore_eos=False,
        n_predict=-1,
        # As Stoker would start it on two cores: what was taken back is soon out of the way.
        n_batch=128,
    )
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
    window.browser.do("palette", title="Notifications: Clear All Notifications")
    yield coder
    for asked in coder.asked():  # pytest shows this where a test fails
        print(asked.body["prompt"][-40:], asked.status, asked.done, asked.left, asked.answer[-300:])
    coder.closes_all()


class Coder:
    """What a person does with code in the window."""

    def __init__(self, window: Window, gateway: Proxy, page: str = "main") -> None:
        self.gateway = gateway
        self._browser = window.browser
        self._folder = window.server.workspace
        self._page = page

    def _do(self, command: str, **options: object) -> Any:
        return self._browser.do(command, page=self._page, **options)

    def asked(self) -> list[Asked]:
        """The requests for suggestions so far; not those that only let the model read."""
        all_asked = [each for each in self.gateway.asked if each.path == COMPLETIONS]
        return [each for each in all_asked if each.body["max_tokens"] > 1]

    def opens(self, name: str, text: str | bytes) -> Path:
        """Writes a file of the workspace and opens it, with the cursor at its end."""
        file = self._folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        self._do("press", key="ControlOrMeta+P")
        # The whole path: a search by name does not see a file that is new.
        self._do("type", text=str(file))
        self._do("click", selector=".quick-input-list .monaco-list-row", text=file.name)
        self._do("wait", selector=".tab.active", text=file.name)
        if not name.endswith(".ipynb"):
            self._goes_to_end(file.read_text())
        return file

    def _goes_to_end(self, text: str) -> None:
        """A tab is active before its text is there and has the focus: keys would go elsewhere."""
        lines = text.split("\n")
        end = f"Ln {len(lines)}, Col {len(lines[-1]) + 1}"
        self._do("wait", selector=f"{EDITOR}.focused")

        def is_there() -> bool:
            self.presses("ControlOrMeta+End")
            return end in self._do("texts", selector=_PLACE)

        wait_for(f"the cursor is at {end}", is_there, 30)

    def types(self, text: str) -> None:
        self._do("type", text=text, delay=KEY_MS)

    def runs_a_request(self) -> Asked:
        """Types, and pauses until a request begins."""
        before = len(self.asked())
        self.types("return")
        wait_for("a request runs", lambda: self.asked()[before:])
        return self.asked()[-1]

    def presses(self, key: str) -> None:
        self._do("press", key=key)

    def saves(self, file: Path, end: str) -> None:
        """Saves the file, and waits until it ends so on disk."""
        self.presses("ControlOrMeta+S")
        wait_for(f"the file ends with {end!r}", lambda: file.read_bytes().endswith(end.encode()))

    def sees_ghost(self, text: str = "") -> None:
        """The person only waits until there is grey text with ``text`` in it."""
        seen: set[str] = set()

        def has_come() -> bool:
            ghost = self.ghost()
            seen.add(ghost)
            return bool(ghost) and text in ghost

        try:
            wait_for(f"ghost text {text!r}", has_come, SHOWN_S)
        except AssertionError:
            print("seen as ghost text:", seen)
            raise

    def ghost(self) -> str:
        return "".join(self._do("texts", selector=GHOST)).replace("\xa0", " ")

    def points_at_status(self, text: str) -> None:
        """Waits until the hover of the status bar has this text."""

        def shown() -> bool:
            label = self._do("evaluate", code=_STATUS_HOVER)
            return text in str(label)

        wait_for(f"the status bar says {text!r}", shown, 60)

    def sees_no_ghost_for(self, seconds: float) -> None:
        time.sleep(seconds)
        assert self.ghost() == ""

    def toasts(self) -> list[str]:
        return list(self._do("texts", selector=TOAST))

    def closes_all(self) -> None:
        """Closes the files without writing what was typed."""
        self.presses("Escape")
        while self._do("texts", selector=".part.editor .tab"):
            self._do("palette", title="View: Revert and Close Editor")
            time.sleep(0.3)


#: Where the status bar shows line and column.
_PLACE = "[id='status.editor.selection'] a"
_STATUS_HOVER = "document.querySelector(\"[id='stoker.stoker.stoker.status'] a\")?.ariaLabel"


SUMS = "def add(a, b):\n    return a + b\n\n\ndef multiply(a, b):\n    "


def test_ghost_text_shows_as_a_person_types_and_tab_accepts_it(
    coding: Coder, window: Window
) -> None:
    file = coding.opens("sums.py", SUMS)
    coding.types("return")
    paused_at = time.monotonic()
    coding.sees_ghost("a * b")
    measured("from the last key to ghost text", f"{time.monotonic() - paused_at:.2f} s")
    coding.presses("Tab")
    coding.saves(file, "    return a * b")


@pytest.mark.skipif(not os.environ.get("STOKER_PICTURES"), reason="for make pictures")
def test_the_chat_answers_beside_ghost_text(coding: Coder, window: Window) -> None:
    """Both by the same small model; the picture is the README's."""
    agents = window.server.workspace / ".github/agents"
    agents.mkdir(parents=True)
    (agents / "talk.agent.md").write_text(TALK)
    window.connect(coding.gateway.url, MODEL)
    window.chooses_agent("Talk")
    window.ask("Write a Python function is_prime(n). Only the code.")
    answer = window.answered()
    assert "def is_prime(n)" in answer.replace("\xa0", " ")
    assert not window.has_error()
    coding.opens("sums.py", SUMS)
    coding.types("return")
    coding.sees_ghost("a * b")
    window.picture("30-chat-and-ghost-text")


def test_one_word_of_it_can_be_accepted_and_typing_it_asks_nothing(
    coding: Coder, window: Window
) -> None:
    file = coding.opens("words.py", SUMS)
    coding.types("return")
    coding.sees_ghost("a * b")
    before = len(coding.asked())
    # The first word is the space.
    coding.presses("ControlOrMeta+ArrowRight")
    coding.types("a *")
    wait_for("the rest is still shown", lambda: coding.ghost().strip() == "b", 20)
    window.picture("31-word-accepted")
    assert len(coding.asked()) == before
    coding.saves(file, "    return a *")


def test_a_request_that_is_stale_is_aborted(coding: Coder) -> None:
    coding.opens("stale.py", SUMS * 60)
    stale = coding.runs_a_request()
    coding.presses("ControlOrMeta+Home")
    wait_for("it is aborted", lambda: stale.left, 5)


def test_the_last_request_can_be_shown(coding: Coder, window: Window) -> None:
    coding.opens("shown.py", SUMS)
    coding.types("return")
    coding.sees_ghost()
    window.browser.do("palette", title="Stoker: Show Last Completion Request")
    window.sees(EDITOR, "Before the cursor")
    window.sees(EDITOR, "def multiply(a, b):")
    window.picture("32-last-request")


@pytest.mark.parametrize(
    "name", [".env", "id_rsa", "certs/server.pem", "build/generated.py"], ids=str
)
def test_secrets_and_ignored_files_are_never_sent(coding: Coder, window: Window, name: str) -> None:
    (window.server.workspace / ".gitignore").write_text("build/\n")
    before = len(coding.asked())
    coding.opens(name, "PASSWORD = 'a'\nUSER = 'b'\n")
    coding.types("URL = ")
    coding.sees_no_ghost_for(3)
    assert len(coding.asked()) == before
    assert not any("PASSWORD" in json.dumps(each.body) for each in coding.asked())


def test_a_file_of_one_megabyte_is_sent_in_part(coding: Coder, window: Window) -> None:
    function = "def double_{0}(x):\n    return x * 2\n\n\n"
    text = "".join(function.format(at) for at in range(30_000))
    assert len(text) > 1_000_000
    coding.opens("large.py", text + "def twice(x):\n    ")
    coding.types("return")
    coding.sees_ghost()
    window.picture("33-one-megabyte")
    prompt = coding.asked()[-1].body["prompt"]
    # What is typed as an earlier suggestion has it asks nothing: the last request may be older.
    typed = prompt.rpartition("def twice(x):\n    ")[2]
    assert typed
    assert "return".startswith(typed)
    assert len(prompt) < 10_000


def test_a_binary_file_is_not_sent(coding: Coder, window: Window) -> None:
    before = len(coding.asked())
    coding.opens("bytes.txt", b"\x01\x02\x03\x04\x05\x06\x07\x08" * 40 + b"\n")
    coding.types("abc")
    coding.sees_no_ghost_for(3)
    window.picture("34-binary")
    assert len(coding.asked()) == before


def test_lines_that_end_with_crlf_stay_so(coding: Coder) -> None:
    file = coding.opens("windows.py", SUMS.replace("\n", "\r\n"))
    coding.types("return")
    coding.sees_ghost("a * b")
    assert "\r" not in coding.asked()[-1].body["prompt"]
    coding.presses("Tab")
    coding.saves(file, "return a * b")
    text = file.read_bytes()
    assert text.count(b"\n") == text.count(b"\r\n") == SUMS.count("\n")


def test_a_file_without_a_name_gets_suggestions(coding: Coder, window: Window) -> None:
    window.browser.do("palette", title="File: New Untitled Text File")
    coding.types("The days of the week: Monday, Tuesday,")
    coding.sees_ghost()
    window.picture("35-untitled")


def test_a_cell_of_a_notebook_goes_on_with_the_cells_above(coding: Coder, window: Window) -> None:
    def cell(text: str) -> dict[str, object]:
        return {"cell_type": "code", "metadata": {}, "outputs": [], "source": text}

    notebook = {
        "cells": [cell("def celsius(fahrenheit):\n    return (fahrenheit - 32) * 5 / 9"), cell("")],
        "metadata": {"language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    coding.opens("numbers.ipynb", json.dumps(notebook))
    window.browser.do("click", selector=".notebookOverlay .cell-editor-container >> nth=1")
    time.sleep(3)  # the cells above are read while the editor is idle
    coding.types("boiling = cel")
    coding.sees_ghost()
    window.picture("36-notebook")
    extras = coding.asked()[-1].body["input_extra"]
    assert any("def celsius(fahrenheit)" in extra["text"] for extra in extras)


def test_two_windows_have_suggestions_of_their_own(coding: Coder, window: Window) -> None:
    coding.opens("first.py", SUMS)
    window.browser.do("open", url=window.server.url, page="second")
    try:
        second = Coder(window, coding.gateway, page="second")
        second.points_at_status("Completion: ")
        second.opens("second.py", SUMS.replace("multiply", "subtract"))
        coding.types("return")
        second.types("return")
        coding.sees_ghost("a * b")
        second.sees_ghost("a - b")
        window.browser.do("screenshot", name="37-second-window", page="second")
    finally:
        window.browser.do("close", page="second")


def test_an_engine_that_is_killed_in_a_request_shows_in_the_status_bar_only(
    coding: Coder, window: Window, engine: Llama
) -> None:
    coding.opens("killed.py", SUMS * 60)
    coding.runs_a_request()
    engine.kill()
    coding.points_at_status("Completion ")
    window.browser.do("wait", selector=f"{STATUS} .codicon-circle-slash, {STATUS} .codicon-warning")
    coding.types(" a")
    window.picture("38-engine-killed")
    assert not any("ompletion" in toast for toast in coding.toasts())
    coding.types(" * ")
    engine.start()
    # No key: the window asks again by itself.
    coding.sees_ghost()
    window.picture("39-engine-back")


def test_with_a_wrong_url_typing_works_and_completion_reports_nothing(
    coding: Coder, window: Window
) -> None:
    file = coding.opens("wrong.py", SUMS)
    window.set_endpoint(f"localhost:{free_port()}")
    window.browser.do("wait", selector=f"{STATUS} .codicon-warning")
    window.browser.do("click", selector=f"{EDITOR} .view-lines")
    coding.presses("ControlOrMeta+End")
    coding.types("return 1")
    coding.sees_no_ghost_for(2)
    window.picture("40-wrong-url")
    coding.saves(file, "return 1")
    assert not any("ompletion" in toast for toast in coding.toasts())


#: The text that is drawn as going away.
_STRUCK = """[...document.querySelectorAll(".part.editor .view-line span span")]
  .filter((each) => getComputedStyle(each).textDecorationLine === "line-through")
  .map((each) => each.textContent).join("")"""
RENAMED = "def total(prices):\n    return sum(prices)\n\n\nprint(total([1]))\n"


def test_the_next_edit_follows_as_soon_as_its_setting_is_switched_on(
    coding: Coder, window: Window
) -> None:
    file = coding.opens("renamed.py", RENAMED)
    window.browser.do("palette", title="Preferences: Open User Settings (JSON)")
    # They open in a window of their own within the window.
    window.sees("[class*='modal'] .view-lines", "customTGIEndpoint")
    coding.presses("ControlOrMeta+Home")
    coding.presses("ArrowRight")
    coding.types('"stoker.completion.nextEdit": true,')
    coding.saves(window.server.person.settings_file, "}")
    window.click("[class*='modal'] .codicon-close")
    time.sleep(3)  # VS Code reads the file that was saved, and extensions hear of it
    window.browser.do("click", selector=f"{EDITOR} .view-lines", text="prices")
    coding.presses("ControlOrMeta+Home")
    for _ in range(4):
        coding.presses("ArrowRight")
    coding.presses("ControlOrMeta+Delete")
    coding.types("price_sum")
    wait_for(
        "the old name is struck out", lambda: window.browser.do("evaluate", code=_STRUCK) == "total"
    )
    window.picture("41-next-edit")
    coding.presses("Tab")
    coding.saves(file, "print(price_sum([1]))\n")
