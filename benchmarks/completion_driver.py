"""The extension's own completion code, run by Node and asked over its pipes, a line at a time."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmarks.completion_engine import Served2Ways
from benchmarks.completion_positions import Event, Position, Session
from benchmarks.completion_scores import Suggestion

EXTENSION = Path(__file__).parents[1] / "extension"
_SOURCE = EXTENSION / "benchmarks/completionDriver.ts"


class Driver:
    """A Node process with the extension's code, for the length of a ``with``."""

    def __init__(self, served: Served2Ways, extra_chars: int) -> None:
        """``extra_chars`` is the room for other files' chunks in a request."""
        self._served = served
        self._extra_chars = extra_chars

    def __enter__(self) -> Driver:
        script = str(bundled(_SOURCE, faster_timers=True))
        self._process = subprocess.Popen(
            ["node", script, self._served.gateway_url, self._served.model, str(self._extra_chars)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)

    def begin(self, session: Session) -> None:
        """Start afresh, with what was done before."""
        self._ask({"begin": True})
        self._note(session.language, session.history)

    def suggestion(self, session: Session, position: Position) -> Suggestion:
        """What the extension shows at ``position``."""
        self._note(session.language, position.events)
        asked = {"path": session.path, "language": session.language}
        answer = self._ask({**asked, "before": position.before, "after": position.after})
        return Suggestion(answer["text"], answer.get("replaced", 0))

    def _note(self, language: str, events: tuple[Event, ...]) -> None:
        for each in events:
            noted = {"kind": each.kind, "path": each.path, "text": each.text, "line": each.line}
            self._ask({"event": noted, "language": language})

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        stdin.write(json.dumps(question) + "\n")
        stdin.flush()
        line = stdout.readline()
        if not line:
            raise RuntimeError("The driver of the extension's code ended.")
        answer: dict[str, Any] = json.loads(line)
        return answer


def bundled(source: Path, *, faster_timers: bool = False) -> Path:
    """One file of JavaScript for a driver and all that it imports."""
    target = EXTENSION / "dist" / source.with_suffix(".mjs").name
    command = [str(EXTENSION / "node_modules/.bin/esbuild"), str(source), "--bundle"]
    options = ["--platform=node", "--format=esm", "--log-level=warning", f"--outfile={target}"]
    # The extension's code runs as it is, with an editor's side that the benchmark plays.
    options += ["--alias:vscode=./benchmarks/editorHost.ts"]
    if faster_timers:
        options += ["--inject:./benchmarks/fasterTimers.ts"]
    subprocess.run([*command, *options], check=True, cwd=EXTENSION)
    return target
