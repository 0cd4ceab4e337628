"""Stop means stop while the engine reads the prompt, alone and beside another answer."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import closing, suppress
from typing import Any

import psutil
import pytest
from tests.integration.conftest import Stoker

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


def cpu_s_for_an_event(engine: psutil.Process, other: Counted, within_s: float) -> float:
    cpu, events = cpu_s(engine), other.events
    time.sleep(within_s)
    return (cpu_s(engine) - cpu) / max(1, other.events - events)


def test_the_engine_is_idle_soon_after_a_client_has_left_in_the_middle_of_its_prompt(
    stoker: Stoker, smollm2: str
) -> None:
    served = serve(stoker, smollm2)
    engine = served.engine()
    with closing(stream(served, LONG)):
        time.sleep(2)
        assert cpu_s(engine) > 1
    cores = psutil.cpu_count(logical=False) or 1
    assert cpu_s_until_idle(engine) < STOP_S * cores


def test_beside_another_answer_the_engine_works_for_that_one_alone(
    stoker: Stoker, smollm2: str
) -> None:
    served = serve(stoker, smollm2, *SHORT_BATCHES)
    engine = served.engine()
    with closing(stream(served, "Hi", max_tokens=4000, ignore_eos=True)) as writing:
        other = Counted(writing)
        while not other.events:
            time.sleep(0.05)
        with closing(stream(served, LONG)):
            time.sleep(1)
            while_reading = cpu_s_for_an_event(engine, other, 2)
        time.sleep(STOP_S)
        after = cpu_s_for_an_event(engine, other, 2)
    assert after < while_reading / 3
