"""Real model servers for the tests of the editor."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import gguf
import orjson
from tests.e2e.editor import free_port, stop, wait_for
from tests.support.real_models import smollm2

HERE = Path(__file__).parent
#: SmolLM2's own template has no tools; this one makes it a model that is offered them.
TOOLS_TEMPLATE = HERE.parent / "fixtures/chatml_hermes.jinja"


def smollm2_with_context(tokens: int, folder: Path) -> Path:
    """A copy whose header promises a longer context: llama.cpp caps its window at the promise.

    Its answers beyond 8192 tokens are noise, which is enough for a test of the protocol.
    """
    copy = folder / f"smollm2-{tokens}.gguf"
    shutil.copyfile(smollm2(), copy)
    field = gguf.GGUFReader(copy, "r+").fields["llama.context_length"]
    field.parts[field.data[0]][0] = tokens
    return copy


class Llama:
    """llama.cpp with SmolLM2; it can be killed and started again on the same port."""

    def __init__(
        self,
        log: Path,
        *,
        n_ctx: int,
        alias: str = "smollm2",
        slots: int = 2,
        n_predict: int = 48,
        tools_template: bool = False,
        ignore_eos: bool = True,
        model: Path | None = None,
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = log
        self._wanted = {
            "model": str(model or smollm2()),
            "n_ctx": n_ctx,
            "slots": slots,
            "n_predict": n_predict,
            "ignore_eos": ignore_eos,
            "alias": alias,
            "port": self.port,
            "chat_template": TOOLS_TEMPLATE.read_text() if tools_template else "",
        }
        self._process: subprocess.Popen[Any] | None = None

    def __enter__(self) -> Llama:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                [sys.executable, str(HERE / "serve_llama.py"), json.dumps(self._wanted)],
                # Threads that spin would take the cores that the editor and the browser need.
                env={**os.environ, "GOMP_SPINCOUNT": "1000"},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        wait_for("llama.cpp is ready", lambda: answers(self.url + "/health"), 120)

    def kill(self) -> None:
        if self._process:
            stop(self._process)

    def busy(self) -> int:
        """How many slots work on an answer now."""
        slots = get_json(self.url + "/slots")
        return sum(1 for slot in slots if slot["is_processing"])


def get_json(url: str) -> Any:
    """What ``url`` answers, as JSON; with curl's patience for a server that is busy."""
    with urllib.request.urlopen(url, timeout=30) as answer:
        return orjson.loads(answer.read())


def answers(url: str) -> bool:
    """Whether ``url`` answers 200 now."""
    with contextlib.suppress(OSError):
        get_json(url)
        return True
    return False
