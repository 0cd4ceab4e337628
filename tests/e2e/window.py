"""VS Code's window, with one method for each thing that a user does in it."""

from __future__ import annotations

import time
from collections.abc import Sequence

from tests.e2e.editor import Browser, CodeServer, wait_for
from tests.support.scripted_model import ScriptedModel
from tests.support.six_turns import TURNS, Turn

STATUS = "[id='stoker.stoker.stoker.status']"
#: The chat in the side bar, and its parts.
CHAT = ".part.auxiliarybar"
PICKER = f"{CHAT} .model-picker-name"
RESPONSE = f"{CHAT} .interactive-item-container.interactive-response"
#: The row with the model's name and the time appears when an answer is complete.
_DONE = f"{RESPONSE} .chat-footer-details:not(.hidden)"
STOP = f"{CHAT} .codicon-stop-circle"
TOAST = ".notification-toast"
#: A test waits this long for an answer before it fails. A prompt of 14,000 tokens takes 30 s on two
#: quiet cores and ten times as long on shared ones.
ANSWER_S = 900
#: The button that lets an agent run a command, and its like.
_ALLOW = f"{CHAT} .monaco-button:visible"
#: The lines of an open list, such as that of agents.
_ROWS = ".action-widget .monaco-list-row"
_TRUST = ".workspace-trust-editor .monaco-button"
_TURN_S = 120
_DRAWN_S = 10


class Window:
    """VS Code in a browser."""

    def __init__(self, server: CodeServer, browser: Browser) -> None:
        self.server = server
        self.browser = browser
        #: The clicks that the user needed so far: trust, the model, offers.
        self.clicks = 0

    def opens(self) -> None:
        """Opens the window and trusts its folder: no extension's model works in Restricted Mode."""
        self.browser.do("open", url=self.server.url)
        self.click(".part.banner a", "Manage")
        self.click(_TRUST, "Trust")
        self.browser.do("wait", selector=".part.banner a", text="Manage", gone=True)
        self.click("[class*='modal'] .codicon-close")

    def connect(self, endpoint: str, model: str) -> None:
        """Sets the endpoint, starts a chat, and chooses the model in the picker."""
        self.set_endpoint(endpoint)
        self.sees(STATUS, model)
        self.browser.do("click", selector=f"{CHAT} [aria-label^='New Chat']")
        self.browser.do("wait", selector=RESPONSE, gone=True)
        self.choose(model)

    def click(self, selector: str, text: str | None = None) -> None:
        self.browser.do("click", selector=selector, **({} if text is None else {"text": text}))
        self.clicks += 1

    def choose(self, model: str, page: str = "main") -> None:
        self.clicks += self.browser.do("choose", model=model, page=page)

    def chooses_agent(self, name: str) -> None:
        """Chooses a custom agent of the workspace for a new chat.

        VS Code 1.139 lists those only after a window's first message, which is stopped here.
        """
        self.ask("Are you there?")
        self.browser.do("click", selector=STOP)
        self.browser.do("wait", selector=STOP, gone=True)
        self.browser.do("click", selector=f"{CHAT} [aria-label^='New Chat']")
        self.browser.do("wait", selector=RESPONSE, gone=True)

        def chosen() -> bool:
            self.browser.do("click", selector=f"{CHAT} .interactive-input-part a", text="Agent")
            if any(row.startswith(name) for row in self.browser.do("texts", selector=_ROWS)):
                self.browser.do("click", selector=_ROWS, text=name)
                return True
            self.browser.do("press", key="Escape")
            time.sleep(1)
            return False

        wait_for(f"the agent {name} in the list", chosen)

    def set_endpoint(self, endpoint: str) -> None:
        """Runs the extension's own command, which writes the setting."""
        self.browser.do("palette", title="Stoker: Set Endpoint")
        self.browser.do("answer", title="The address of your model server", text=endpoint)

    def ask(self, text: str) -> None:
        self.browser.do("ask", text=text)

    def sees(self, selector: str, text: str, timeout_s: float = 60) -> None:
        self.browser.do("wait", selector=selector, text=text, timeout=timeout_s * 1000)

    def answered(self, page: str = "main") -> str:
        """The last answer's text, once VS Code shows it as finished."""
        self.browser.do("wait", selector=_DONE, timeout=ANSWER_S * 1000, page=page)
        self.browser.do("wait", selector=STOP, gone=True, timeout=ANSWER_S * 1000, page=page)
        return str(self.browser.do("texts", selector=RESPONSE, page=page)[-1])

    def is_done(self) -> bool:
        """Whether a chat's first answer is finished."""
        return bool(self.browser.do("texts", selector=_DONE))

    def has_error(self) -> bool:
        """Whether the chat shows an error."""
        return bool(self.browser.do("texts", selector=f"{RESPONSE} .codicon-error"))

    def picture(self, name: str) -> None:
        self.browser.do("screenshot", name=name)

    def allow(self) -> None:
        """Allows what the agent asks to do, if it asks now."""
        if "Allow" in self.browser.do("texts", selector=_ALLOW):
            self.browser.do("click", selector=_ALLOW, text="Allow")

    def plays(self, model: ScriptedModel, turns: Sequence[Turn] = TURNS) -> list[bool]:
        """Asks for the six turns one after the other. Returns which of them were done."""
        return [self._turn(model, turn) and turn.done(self.server.workspace) for turn in turns]

    def gets_tools(self, model: ScriptedModel) -> None:
        """Asks until the chat offers its tools.

        VS Code 1.139 sends the first question of a window that is seconds old with 18 of 39, and
        without the ones that read and search the workspace.
        """

        def offered() -> bool:
            self.ask("Are you there?")
            self.answered()
            return "list_dir" in model.of_kind("agent")[-1].tools()

        wait_for("the tools of the chat", offered, _TURN_S)

    def _turn(self, model: ScriptedModel, turn: Turn) -> bool:
        before = len(model.arrived)
        self.ask(turn.text)

        def over() -> bool:
            self.allow()
            asked = [each for each in model.arrived[before:] if each.kind == "agent"]
            return any(each.status == 200 and not each.answer.call for each in asked)

        wait_for(f"the end of the turn {turn.text!r}", over, _TURN_S)
        self.answered()
        return self._shows(turn.answer)

    def _shows(self, text: str) -> bool:
        """Whether the last answer contains ``text``, once VS Code has shown all of it."""
        for _ in range(_DRAWN_S):
            if text in self.browser.do("texts", selector=RESPONSE)[-1]:
                return True
            time.sleep(1)
        return False
