"""The gateway in front of the real engine: what passes through, and what stops it."""

from __future__ import annotations

import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from tests.integration.conftest import Stoker, at_home

pytestmark = pytest.mark.engine

CHAT: dict[str, Any] = {
    "messages": [{"role": "user", "content": "Count to one hundred."}],
    "temperature": 0,
}


@pytest.fixture(scope="module")
def served(smollm2: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stoker]:
    with at_home(tmp_path_factory.mktemp("relay")) as stoker:
        stoker.up(smollm2, "--context", "2048", "--parallel", "1")
        yield stoker


def read_all(connection: socket.socket) -> bytes:
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


def test_models_report_their_context(served: Stoker) -> None:
    with urllib.request.urlopen(served.endpoint + "/v1/models") as response:
        listed = json.load(response)["data"]
    assert [m["max_model_len"] for m in listed] == [2048, 2048]  # by its name, and as `local`


def test_a_plain_answer_comes_whole(served: Stoker) -> None:
    answer = served.post("/v1/chat/completions", {**CHAT, "max_tokens": 8})
    assert answer["usage"]["completion_tokens"] == 8
    assert answer["choices"][0]["message"]["content"]


def test_of_several_answers_the_tokens_of_each_are_counted(stoker: Stoker, smollm2: str) -> None:
    stoker.up(smollm2, "--context", "2048", "--parallel", "3")
    answer = stoker.post("/v1/chat/completions", {**CHAT, "n": 3, "max_tokens": 8})
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2]
    assert all(choice["message"]["content"] for choice in answer["choices"])
    assert answer["usage"]["completion_tokens"] == 24
    two = stoker.post("/v1/completions", {"prompt": ["one two", "a"], "max_tokens": 8})
    assert two["usage"]["completion_tokens"] == 16


def test_a_stream_and_a_plain_answer_have_the_same_text(served: Stoker) -> None:
    plain = served.post("/v1/chat/completions", {**CHAT, "max_tokens": 16})
    with served.stream({**CHAT, "max_tokens": 16}) as connection:
        raw = read_all(connection).decode()
    events = [json.loads(part[6:]) for part in raw.splitlines() if part.startswith("data: {")]
    text = "".join(e["choices"][0]["delta"].get("content") or "" for e in events if e["choices"])
    assert text == plain["choices"][0]["message"]["content"]
    assert "data: [DONE]" in raw


def test_a_client_that_leaves_frees_the_slot_long_before_its_answer_would_end(
    served: Stoker,
) -> None:
    connection = served.stream({**CHAT, "max_tokens": 1500, "ignore_eos": True})
    reply = b""
    began = time.monotonic()
    while reply.count(b"data: ") < 30:
        piece = connection.recv(65536)
        assert piece, reply
        reply += piece
    whole_s = (time.monotonic() - began) / 30 * 1500
    connection.close()
    left_at = time.monotonic()
    # The engine has one slot: this is answered only when the slot is free again.
    served.post("/v1/chat/completions", {**CHAT, "max_tokens": 1})
    assert time.monotonic() - left_at < whole_s / 4


def test_completions_are_relayed(served: Stoker) -> None:
    answer = served.post("/v1/completions", {"prompt": "def f(", "max_tokens": 4})
    assert answer["usage"]["completion_tokens"] == 4


def test_while_the_engine_starts_again_the_answer_reports_it(stoker: Stoker, smollm2: str) -> None:
    stoker.up(smollm2, "--context", "2048", "--parallel", "1")
    stoker.engine().kill()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            stoker.post("/v1/chat/completions", {**CHAT, "max_tokens": 1})
        except urllib.error.HTTPError as error:
            problem = json.load(error)["error"]
            assert error.code in (502, 503)
            assert problem["code"] in ("model_not_ready", "backend_failed")
            if error.code == 503:
                assert int(error.headers["Retry-After"]) > 0
                return
        time.sleep(0.02)
    pytest.fail("the gateway never reported that the engine is starting")
