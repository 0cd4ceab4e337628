"""From an empty home, signed out, to an answer in VS Code's chat: each documented way."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.e2e.editor import VSIX, Browser, CodeServer, Person, measured, wait_for
from tests.e2e.window import STATUS, TOAST, Window
from tests.support.scripted_model import ScriptedModel
from tests.support.six_turns import TURNS, write_workspace

from stoker.server.ports import any_free

pytestmark = pytest.mark.vscode
#: How long the bundled model may take on cores that others use too.
_SLOW_S = 900


@contextmanager
def opened(installed: Path, person: Person) -> Iterator[Window]:
    """VS Code as the person has set it up, with the workspace open."""
    server = CodeServer(person)
    browser = Browser(installed)
    try:
        server.start()
        window = Window(server, browser)
        window.opens()
        yield window
    finally:
        browser.stop()
        server.stop()


def _answer(window: Window) -> str:
    """The answer of a small model. If it asks to run a command first, the user allows it."""

    def done() -> bool:
        window.allow()
        return window.is_done()

    wait_for("the end of the answer", done, _SLOW_S)
    return window.answered().strip()


def test_the_words_of_the_readme_lead_to_an_answer(installed: Path, tmp_path: Path) -> None:
    """``stoker up``, ``stoker code``, open VS Code, type a question: nothing else is written.

    On a machine without a network, whose default is the bundled model. It may write until its
    window is full, for a quarter of an hour beside an editor on two cores: its answers are cut.
    """
    person = Person(installed, tmp_path)
    person.is_offline()
    (person.workspace / "a.py").write_text("def add(a, b):\n    return a + b\n")
    began = time.monotonic()
    try:
        short = ("--engine-arg", "n_predict=200")
        person.runs("stoker", "up", "--yes", "--port", str(any_free()), *short, timeout_s=900)
        ran = time.monotonic()
        person.runs("stoker", "code", "--yes")
        status = json.loads(person.runs("stoker", "status", "--json"))
        with opened(installed, person) as window:
            window.choose(status["model"])
            window.picture("22-readme-ready")
            asked = time.monotonic()
            window.ask("Say hello.")
            assert _answer(window)
            window.picture("23-readme-answer")
            assert not window.has_error()
            seconds = [f"{at:.0f} s" for at in (ran - began, asked - ran, time.monotonic() - asked)]
            measured("clicks from the README to an answer", f"{window.clicks}, 2 commands, 1 line")
            measured("seconds to the engine, to the question, to the answer", ", ".join(seconds))
    finally:
        person.runs("stoker", "down")


def test_by_a_hand_installed_vsix_one_click_lets_chat_work(installed: Path, tmp_path: Path) -> None:
    person = Person(installed, tmp_path)
    write_workspace(person.workspace)
    person.likes_it_quiet()
    person.runs("code-server", "--install-extension", str(VSIX))
    with ScriptedModel(65_536) as model, opened(installed, person) as window:
        window.set_endpoint(model.url)
        window.sees(STATUS, model.model)
        window.click(f"{TOAST} .monaco-button", "Let Chat Work Without Signing In")
        window.sees(TOAST, "Reload")
        window.picture("24-vsix-offered")
        window.choose(model.model)
        window.gets_tools(model)
        assert window.plays(model, TURNS[:1]) == [True], model.story()
        window.picture("25-vsix-answer")
        assert not window.has_error()
    written = json.loads(person.settings_file.read_text())
    assert written["chat.allowAnonymousAccess"] is True
