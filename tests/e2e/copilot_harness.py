"""VS Code's Copilot harness, driven through the SDK that ships in the product.

VS Code runs this harness in a separate process, the agent host, with an extension's models as a
provider. Here the provider is the server itself: offline, signed out, in a home of its own.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.e2e.editor import stop

SDK = "code-server/node_modules/code-server/lib/vscode/node_modules/@github/copilot-sdk"
_SCRIPT = Path(__file__).with_name("copilot_sdk.mjs")
_TURN_S = 120


class CopilotHarness:
    """One session with ``model`` at ``url``, configured for a window of ``window_tokens``."""

    def __init__(
        self, installed: Path, folder: Path, url: str, model: str, window_tokens: int
    ) -> None:
        self.compactions = 0
        self.workspace = folder / "workspace"
        home = folder / "home"
        for each in (self.workspace, home):
            each.mkdir(parents=True, exist_ok=True)
        wanted = {
            "sdk": str(installed / SDK),
            "baseUrl": url + "/v1",
            "model": model,
            **_limits(window_tokens),
            "workspace": str(self.workspace),
            "home": str(home),
            "timeout": _TURN_S * 1000,
        }
        self._process = subprocess.Popen(
            [str(installed / "bin/node"), str(_SCRIPT), json.dumps(wanted)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def __enter__(self) -> CopilotHarness:
        assert self._line()["ready"]
        return self

    def __exit__(self, *_: object) -> None:
        stop(self._process)

    def ask(self, text: str) -> str:
        """The answer to a prompt, once the turn is over, or the error if it failed."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps(text) + "\n")
        self._process.stdin.flush()
        answer = self._line()
        self.compactions = answer["compactions"]
        return str(answer["text"] or answer.get("error", ""))

    def _line(self) -> Any:
        assert self._process.stdout
        line = self._process.stdout.readline()
        assert line, "the harness ended"
        return json.loads(line)


def _limits(window_tokens: int) -> dict[str, int]:
    """The limits that the extension derives: a quarter, at most 4,096, is for the answer."""
    answer = min(4096, window_tokens // 4)
    return {
        "maxContextWindowTokens": window_tokens,
        "maxPromptTokens": window_tokens - answer,
        "maxOutputTokens": answer,
    }
