"""Turns and titles before the real engine: who goes first, and what a title costs the next turn."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tests.integration.conftest import Stoker
from tests.support.utility_requests import progress_messages

pytestmark = pytest.mark.engine
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
SYSTEM = " ".join(f"Rule {n}: do {n * 7} things with care." for n in range(40))
#: The last token that a slot's cache may not serve, and what a new question and answer add.
MOST_READ_ANEW = 0.2


class Order:
    """What began and ended, in order."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def stream(self, stoker: Stoker, name: str, body: dict[str, Any]) -> None:
        request = urllib.request.Request(
            stoker.endpoint + "/v1/chat/completions",
            json.dumps({**body, "stream": True}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=300) as response:
            for line in response:
                if line.startswith(b"data: {") and f"{name} begins" not in self.seen:
                    self.seen.append(f"{name} begins")
        self.seen.append(f"{name} ends")

    @contextmanager
    def beside(self, stoker: Stoker, *names: str) -> Iterator[None]:
        """Progress messages asked for before what the block does, and waited for at its end."""
        threads = [
            threading.Thread(target=self.stream, args=(stoker, name, progress_messages(name)))
            for name in names
        ]
        for thread in threads:
            thread.start()
        time.sleep(0.3)  # they are at the gateway
        yield
        for thread in threads:
            thread.join()


def turn(**fields: Any) -> dict[str, Any]:
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": "Look."}]
    return {"messages": messages, "tools": [TOOL], "max_tokens": 24, "temperature": 0, **fields}


@pytest.mark.parametrize("slots", ["1", "2"])
def test_first_token_of_a_turn_waits_for_no_title(stoker: Stoker, smollm2: str, slots: str) -> None:
    stoker.up(smollm2, "--context", "2048", "--parallel", slots)
    order = Order()
    with order.beside(stoker, "edit", "generate"):
        order.stream(stoker, "turn", turn())
    assert order.seen[:2] == ["turn begins", "turn ends"]
    # And then both come, one after the other.
    first, second = order.seen[2].split()[0], order.seen[4].split()[0]
    assert order.seen[2:] == [f"{n} {what}" for n in (first, second) for what in ("begins", "ends")]
    assert {first, second} == {"edit", "generate"}


@pytest.mark.parametrize("slots", ["1", "2"])
def test_titles_do_not_cost_a_conversation_what_was_read(
    stoker: Stoker, smollm2: str, slots: str
) -> None:
    stoker.up(smollm2, "--context", "2048", "--parallel", slots)
    ask = {**turn(), "tools": []}
    reply = stoker.post("/v1/chat/completions", ask, timeout=300)
    assert reply["timings"]["prompt_n"] > 500
    for scenario in ("edit", "generate"):
        stoker.post("/v1/chat/completions", progress_messages(scenario), timeout=300)
    ask["messages"] += [reply["choices"][0]["message"], {"role": "user", "content": "And then?"}]
    again = stoker.post("/v1/chat/completions", ask, timeout=300)
    assert again["timings"]["prompt_n"] < again["usage"]["prompt_tokens"] * MOST_READ_ANEW
