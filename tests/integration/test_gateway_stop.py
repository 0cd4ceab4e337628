"""Stop means stop while the engine reads the prompt, alone and beside another answer."""

from __future__ import annotations

import re
import socket
import threading
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.integration.conftest import Stoker
from tests.support.one_layer import one_layer_gguf

pytestmark = pytest.mark.engine

#: About 7,500 tokens: 20 s and more on two cores, and each test is over before.
LONG = " ".join(f"river {number}" for number in range(1500))
#: How long the engine may work for a client that has left; in seconds of its own CPU time where it
#: has nothing else to do, so that other programs on the machine don't decide the test.
STOP_S = 3.0


#: The other stream gets a token after each batch. In batches of a second the engine would notice
#: that the client left in any case, so the test beside another stream has shorter ones.
SHORT_BATCHES = ("--engine-arg", "n_batch=16", "--engine-arg", "n_ubatch=16")


def serve(stoker: Stoker, model: str, *arguments: str) -> Stoker:
    stoker.up(model, "--context", "8192", "--parallel", "2", *arguments)
    return stoker


def stream(served: Stoker, text: str, **fields: Any) -> socket.socket:
    body = {"messages": [{"role": "user", "content": text}], **fields}
    return served.stream(body, "x-stoker-fit: off")


def cpu_s(engine: psutil.Process) -> float:
    times = engine.cpu_times()
    return times.user + times.system


def cpu_s_until_idle(engine: psutil.Process, within_s: float = 30) -> float:
    began = before = cpu_s(engine)
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        time.sleep(1)
        now = cpu_s(engine)
        if now - before < 0.1:
            return now - began
        before = now
    pytest.fail(f"it still works after {within_s} s")


class Counted:
    """A stream that is read to its end in the background, and its events counted."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.events = 0
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with suppress(OSError):  # the test is over
            while data := self._connection.recv(65536):
                self.events += data.count(b"data: ")


def wait_until_it_shows_that_it_reads(served: Stoker, within_s: float = 15) -> None:
    """``stoker status`` shows the prompt, and that a part of it has been read."""
    deadline = time.monotonic() + within_s
    while True:
        shown = served.status()["prefill"]
        if 0 < shown["unread_tokens"] < shown["reading_tokens"]:
            break
        assert time.monotonic() < deadline, shown
    assert 7_000 < shown["reading_tokens"] < 8_000


#: A path, and whether its answer is streamed.
ANSWERS = [
    ("/v1/chat/completions", True),
    ("/v1/chat/completions", False),
    ("/v1/messages", False),
    ("/v1/completions", False),
]


def asking(path: str, text: str, *, streamed: bool) -> dict[str, Any]:
    body: dict[str, Any] = {"model": "local", "max_tokens": 100, "stream": streamed}
    if path == "/v1/completions":
        return {**body, "prompt": text}
    return {**body, "messages": [{"role": "user", "content": text}]}


@pytest.mark.parametrize(("path", "streamed"), ANSWERS)
def test_the_engine_is_idle_soon_after_a_client_has_left_in_the_middle_of_its_prompt(
    stoker: Stoker, smollm2: str, path: str, streamed: bool
) -> None:
    served = serve(stoker, smollm2)
    engine = served.engine()
    body = asking(path, LONG, streamed=streamed)
    with closing(served.send(body, "x-stoker-fit: off", path=path)):
        wait_until_it_shows_that_it_reads(served)
        assert cpu_s(engine) > 1
    cores = psutil.cpu_count(logical=False) or 1
    assert cpu_s_until_idle(engine) < STOP_S * cores


#: About 28,000 tokens: ten seconds and more with one layer and short batches. The other answer has
#: a token every few milliseconds, so that llama.cpp has no quiet second on a busy machine either.
LONGER = " ".join(f"river {number}" for number in range(4800))


def begun_tasks(served: Stoker) -> list[str]:
    """The numbers of the requests that llama.cpp has begun, by its log."""
    log = (served.home / "log/stoker.log").read_text()
    return re.findall(r"launch_slot_: id +\d+ \| task (\d+)", log)


def tokens_at_the_end(served: Stoker, task: str, within_s: float = 60) -> int:
    """What the slot of a request held when llama.cpp had done with it, by its log."""
    released = re.compile(rf"release: id +\d+ \| task {task} \| .*n_tokens = (\d+)")
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        found = released.search((served.home / "log/stoker.log").read_text())
        if found:
            return int(found[1])
        time.sleep(0.2)
    pytest.fail(f"it still works after {within_s} s")


@pytest.mark.parametrize(("path", "streamed"), ANSWERS)
def test_beside_another_answer_a_prompt_is_read_no_further_when_its_client_has_left(
    stoker: Stoker, smollm2: str, tmp_path: Path, path: str, streamed: bool
) -> None:
    model = str(one_layer_gguf(Path(smollm2), tmp_path))
    stoker.up(model, "--context", "32768", "--parallel", "2", *SHORT_BATCHES)
    with closing(stream(stoker, "Hi", max_tokens=30_000, ignore_eos=True)) as writing:
        other = Counted(writing)
        while not other.events:
            time.sleep(0.05)
        before = begun_tasks(stoker)
        body = asking(path, LONGER, streamed=streamed)
        with closing(stoker.send(body, "x-stoker-fit: off", path=path)):
            while begun_tasks(stoker) == before:
                time.sleep(0.05)
            time.sleep(0.5)
        assert 500 < tokens_at_the_end(stoker, begun_tasks(stoker)[-1]) < 15_000
