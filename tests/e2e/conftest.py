"""Fixtures of the tests in real VS Code."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.e2e.editor import MEASURED, NO_ENDPOINT, ROOT, Browser, CodeServer, Person
from tests.e2e.window import Window


@pytest.fixture(scope="session")
def code_server() -> Path:
    """The folder of code-server and its Node, installed if missing."""
    script = ROOT / "scripts/install-vscode.sh"
    done = subprocess.run([str(script)], check=True, stdout=subprocess.PIPE, text=True, timeout=900)
    return Path(done.stdout.strip().splitlines()[-1])


@pytest.fixture(scope="session")
def installed(code_server: Path) -> Path:
    """The folder of code-server and Node, with the browser driver installed."""
    MEASURED.unlink(missing_ok=True)
    folder = code_server
    if not (ROOT / "extension/node_modules/playwright-core").is_dir():
        npm = [str(folder / "bin/node"), str(folder / "bin/npm"), "ci", "--silent"]
        subprocess.run(npm, check=True, cwd=ROOT / "extension", timeout=300)
    return folder


@pytest.fixture(scope="session")
def window(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Window]:
    """One window for many tests."""
    with new_window(installed, tmp_path_factory.mktemp("person")) as window:
        yield window


@contextmanager
def new_window(installed: Path, home: Path) -> Iterator[Window]:
    """A window: signed out, in a new home, set up by ``stoker code --yes``."""
    person = Person(installed, home)
    (person.workspace / "a.py").write_text("def add(a, b):\n    return a + b\n")
    person.likes_it_quiet()
    person.runs("stoker", "code", "--yes", "--endpoint", NO_ENDPOINT)
    server = CodeServer(person)
    server.start()
    browser = Browser(installed)
    try:
        window = Window(server, browser)
        window.opens()
        yield window
    finally:
        browser.stop()
        server.stop()


@pytest.fixture(autouse=True)
def _extension_log(request: pytest.FixtureRequest) -> Iterator[None]:
    """Prints what the extension logged during a test, which pytest shows where the test fails."""
    if "window" not in request.fixturenames:
        yield
        return
    server: CodeServer = request.getfixturevalue("window").server
    before = len(server.log())
    yield
    print(server.log()[before:][-5000:])
