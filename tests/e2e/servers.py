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
#: A chat template with tools, which SmolLM2's own lacks.
TOOLS_TEMPLATE = HERE.parent / "fixtures/chatml_hermes.jinja"


def smollm2_with_context(tokens: int, folder: Path) -> Path:
    """A copy whose header declares a longer context, at which llama.cpp caps its window.

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
        n_batch: int | None = None,
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
            **({} if n_batch is None else {"n_batch": n_batch}),
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
        """The number of slots that generate an answer now."""
        slots = get_json(self.url + "/slots")
        return sum(1 for slot in slots if slot["is_processing"])


def get_json(url: str) -> Any:
    """The JSON answer of ``url``, with a long timeout for a busy server."""
    with urllib.request.urlopen(url, timeout=30) as answer:
        return orjson.loads(answer.read())


def answers(url: str) -> bool:
    """Whether ``url`` answers 200 now."""
    with contextlib.suppress(OSError):
        get_json(url)
        return True
    return False
