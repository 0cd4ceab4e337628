"""What the user sees in real VS Code when something is wrong.

The extension is installed by hand, in a folder that is not trusted, and signed out. The states
follow one another in one window, as they would for a user. Screenshots of each are kept in
artifacts/vscode. The model server is a script, because it must change what it serves.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.changing_server import ChangingServer
from tests.e2e.editor import QUIET_SETTINGS, VSIX, Browser, CodeServer, Person, wait_for
from tests.e2e.window import CHAT, PICKER, RESPONSE, STATUS, TOAST, Window

pytestmark = pytest.mark.vscode

WARNS = f"{STATUS} .codicon-warning"
INPUT_MESSAGE = ".quick-input-widget .quick-input-message"


@pytest.fixture(scope="module")
def engine() -> Iterator[ChangingServer]:
    with ChangingServer("first-model", "second-model") as server:
        yield server


@pytest.fixture(scope="module")
def by_hand(
    installed: Path, engine: ChangingServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Window]:
    """A window in which only the VSIX is installed and an endpoint is set."""
    person = Person(installed, tmp_path_factory.mktemp("by-hand"))
    person.settings_file.parent.mkdir(parents=True)
    settings = {
        **QUIET_SETTINGS,
        "huggingface.customTGIEndpoint": engine.url,
        # As after "No" to the question about trusting the folder.
        "security.workspace.trust.startupPrompt": "never",
    }
    person.settings_file.write_text(json.dumps(settings))
    person.runs("code-server", "--install-extension", str(VSIX))
    server = CodeServer(person)
    server.start()
    browser = Browser(installed)
    try:
        browser.do("open", url=server.url)
        yield Window(server, browser)
    finally:
        browser.stop()
        server.stop()


def _settings(window: Window) -> dict[str, Any]:
    written = json.loads(window.server.person.settings_file.read_text())
    assert isinstance(written, dict)
    return written


def _status(window: Window) -> str:
    return str(window.browser.do("html", selector=STATUS))


def _new_chat(window: Window) -> None:
    window.browser.do("click", selector=f"{CHAT} [aria-label^='New Chat']")
    window.browser.do("wait", selector=RESPONSE, gone=True)


def test_in_restricted_mode_the_status_warns_and_leads_to_trust(by_hand: Window) -> None:
    by_hand.browser.do("wait", selector=WARNS)
    assert "Restricted Mode: VS Code offers no models until you trust this folder" in _status(
        by_hand
    )
    by_hand.picture("30-restricted")
    by_hand.browser.do("click", selector=STATUS)
    by_hand.browser.do("click", selector=".workspace-trust-editor .monaco-button", text="Trust")
    by_hand.sees(STATUS, "first-model")
    by_hand.picture("31-trusted")
    by_hand.browser.do("click", selector=".modal-editor-part .codicon-close")


def test_one_click_lets_chat_work_without_signing_in(
    by_hand: Window, engine: ChangingServer
) -> None:
    by_hand.browser.do("palette", title="Notifications: Show Notifications")
    offer = ".notifications-center .monaco-button"
    by_hand.browser.do("wait", selector=offer, text="Let Chat Work Without Signing In")
    assert "chat.allowAnonymousAccess" not in _settings(by_hand)
    by_hand.picture("32-signed-out-offer")
    by_hand.browser.do("click", selector=offer, text="Let Chat Work Without Signing In")
    by_hand.sees(TOAST, "Chat now works without signing in")
    by_hand.picture("33-reload-offer")
    written = _settings(by_hand)
    assert written["chat.allowAnonymousAccess"] is True
    assert written["chat.byokUtilityModelDefault"] == "mainAgent"
    by_hand.browser.do("palette", title="Notifications: Clear All Notifications")
    by_hand.ask("Who are you?")
    assert "This is first-model" in by_hand.answered()
    assert not by_hand.has_error()


def test_the_picker_begins_with_local_and_an_answer_in_one_piece_has_no_speed(
    by_hand: Window, engine: ChangingServer
) -> None:
    by_hand.sees(PICKER, "Local: first-model")
    engine.words = ["word"] * 60
    by_hand.ask("And in one piece?")
    wait_for("the long answer", lambda: "word word" in by_hand.answered())
    assert "tokens/s" not in _status(by_hand)
    by_hand.picture("34-no-speed")


def test_the_status_names_the_chosen_model_with_the_speed_of_generation(
    by_hand: Window, engine: ChangingServer
) -> None:
    _new_chat(by_hand)
    by_hand.choose("second-model")
    engine.word_s = 0.05
    by_hand.ask("Who are you?")
    by_hand.sees(STATUS, "second-model")
    by_hand.sees(STATUS, "tokens/s")
    by_hand.picture("35-chosen-with-speed")
    engine.word_s = 0


def test_a_server_that_is_gone_is_reported_in_the_chat(
    by_hand: Window, engine: ChangingServer
) -> None:
    _new_chat(by_hand)
    engine.stop()
    by_hand.ask("Are you there?")
    by_hand.sees(RESPONSE, "Cannot reach")
    by_hand.sees(RESPONSE, "Start the server")
    by_hand.browser.do("wait", selector=WARNS)
    by_hand.picture("36-dead-in-chat")
    by_hand.browser.do("palette", title="Notifications: Clear All Notifications")
    engine.models = ["third-model"]
    engine.start()


def test_a_model_that_was_replaced_is_reported_in_the_chat_and_local_answers(
    by_hand: Window, engine: ChangingServer
) -> None:
    _new_chat(by_hand)
    before = len(engine.chats)
    by_hand.ask("Are you there?")
    by_hand.sees(RESPONSE, "second-model is no longer served")
    by_hand.sees(RESPONSE, "now serves third-model")
    by_hand.sees(STATUS, "second-model")
    by_hand.browser.do("wait", selector=WARNS)
    by_hand.picture("37-renamed-in-chat")
    assert len(engine.chats) == before
    _new_chat(by_hand)
    by_hand.choose("Local: third-model")
    by_hand.ask("Who are you?")
    assert "This is third-model" in by_hand.answered()
    by_hand.sees(STATUS, "third-model")
    by_hand.browser.do("wait", selector=WARNS, gone=True)
    by_hand.picture("38-local-goes-on")


def test_local_stays_chosen_when_the_model_changes(by_hand: Window, engine: ChangingServer) -> None:
    engine.models = ["fourth-model"]
    by_hand.ask("And now?")
    wait_for("the next model's answer", lambda: "This is fourth-model" in by_hand.answered())
    by_hand.sees(PICKER, "Local: fourth-model")
    assert not by_hand.has_error()


def test_what_cannot_be_an_endpoint_is_refused_while_it_is_typed(by_hand: Window) -> None:
    before = _settings(by_hand)["huggingface.customTGIEndpoint"]
    by_hand.browser.do("palette", title="Stoker: Set Endpoint")
    by_hand.browser.do("answer", title="The address of your model server", text="htp:/wrong url")
    by_hand.sees(INPUT_MESSAGE, "An address cannot contain spaces")
    by_hand.picture("39-invalid-endpoint")
    by_hand.browser.do("answer", title="The address of your model server", text="htp:/wrong")
    by_hand.sees(INPUT_MESSAGE, "The address must start with http:// or https://, not htp:")
    by_hand.browser.do("press", key="Escape")
    assert _settings(by_hand)["huggingface.customTGIEndpoint"] == before


def test_undo_takes_back_what_the_click_wrote(by_hand: Window) -> None:
    by_hand.browser.do("palette", title="Stoker: Undo Chat Settings")
    by_hand.sees(TOAST, "Your earlier settings are restored")
    written = _settings(by_hand)
    assert not {"chat.allowAnonymousAccess", "chat.byokUtilityModelDefault"} & set(written)
