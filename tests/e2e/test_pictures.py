"""The README's picture of VS Code: real answers of the model that ``stoker up`` starts here.

``make pictures`` copies it from ``artifacts/vscode`` to ``docs/pictures``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.editor import Browser, CodeServer, Person
from tests.e2e.test_completion import GHOST
from tests.e2e.window import Window

from stoker.server.ports import any_free

pytestmark = pytest.mark.vscode

CODE = '''\
def add(a, b):
    """Return the sum of two numbers."""
    return a + b


def multiply(a, b):
    """Return the product of two numbers."""
    '''
#: Smaller than the model's window, so that two cores read a first prompt in a minute.
CONTEXT_TOKENS = "8192"


@pytest.fixture
def window(installed: Path, tmp_path: Path) -> Iterator[Window]:
    """VS Code as ``stoker up`` and ``stoker code`` connect it to a model of this machine."""
    person = Person(installed, tmp_path)
    person.likes_it_quiet()
    # A model this small calls tools for whatever it is asked, and agent mode waits for a click.
    settings = json.loads(person.settings_file.read_text())
    settings["chat.newSession.defaultMode"] = "ask"
    person.settings_file.write_text(json.dumps(settings))
    (person.workspace / "sums.py").write_text(CODE)
    up = ("stoker", "up", "--yes", "--context", CONTEXT_TOKENS, "--port", str(any_free()))
    browser = Browser(installed)
    server = CodeServer(person)
    try:
        person.runs(*up, timeout_s=900)
        person.runs("stoker", "code", "--yes")
        server.start()
        window = Window(server, browser)
        window.opens()
        yield window
    finally:
        browser.stop()
        server.stop()
        person.runs("stoker", "down")


def test_vs_code_chats_and_completes_through_a_local_model(window: Window) -> None:
    person = window.server.person
    window.choose(json.loads(person.runs("stoker", "status", "--json"))["model"])
    window.ask("How do I multiply two numbers in Python? Answer with one line of code.")
    assert window.answered().strip()
    window.picture("readme-answer")
    assert not window.has_error()
    for command, options in (
        ("press", {"key": "ControlOrMeta+P"}),
        ("type", {"text": "sums.py"}),
        ("click", {"selector": ".quick-input-list .monaco-list-row", "text": "sums.py"}),
        ("wait", {"selector": ".tab.active", "text": "sums.py"}),
        ("palette", {"title": "Notifications: Clear All Notifications"}),
        ("click", {"selector": ".part.editor .monaco-editor .view-lines"}),
        ("press", {"key": "ControlOrMeta+End"}),
        ("type", {"text": "return", "delay": 200}),
        ("wait", {"selector": GHOST, "timeout": 120_000}),
    ):
        window.browser.do(command, **options)
    window.picture("readme")
