"""What the gateway guarantees with any engine; each engine's tests check it."""

from __future__ import annotations

import json
import urllib.error
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from tests.fixtures.agent import growing_conversation
from tests.integration.conftest import Stoker

#: Windows that agent requests of 15,500 tokens have to fit: far too small, usual, large enough.
#: 4096 and 16384 were tried too; all five take a third of a tier's time.
WINDOWS = (2048, 8192, 32768)
TURNS = 30


def usage(stoker: Stoker, request: dict[str, Any]) -> dict[str, Any]:
    """The usage that the engine reports for an answer of one token."""
    asked = {**request, "model": None, "stream": False, "max_tokens": 1}
    asked.pop("stream_options", None)  # is refused where nothing is streamed
    answer = stoker.post("/v1/chat/completions", asked, timeout=300)
    used: dict[str, Any] = answer["usage"]
    return used


def counts_are_exact(stoker: Stoker, requests: Iterable[dict[str, Any]]) -> None:
    """Checks that the gateway's count equals the engine's, for every request."""
    _are_exact(
        requests,
        lambda request: stoker.post("/tokenize", request)["count"],
        lambda request: usage(stoker, request)["prompt_tokens"],
    )


def messages_counts_are_exact(stoker: Stoker, requests: Iterable[dict[str, Any]]) -> None:
    """The same for requests of Anthropic's Messages."""
    _are_exact(
        requests,
        lambda request: stoker.post("/v1/messages/count_tokens", request)["input_tokens"],
        lambda request: whole_prompt(stoker.post("/v1/messages", request)["usage"]),
    )


def responses_counts_are_exact(stoker: Stoker, requests: Iterable[dict[str, Any]]) -> None:
    """The same for requests of OpenAI's Responses."""
    _are_exact(
        requests,
        lambda request: stoker.post("/v1/responses/input_tokens", request)["input_tokens"],
        lambda request: stoker.post("/v1/responses", request)["usage"]["input_tokens"],
    )


def refuses(stoker: Stoker, path: str, request: dict[str, Any]) -> dict[str, Any]:
    """Checks that the request is refused as the client's mistake. Returns the error."""
    with pytest.raises(urllib.error.HTTPError) as refused:
        stoker.post(path, request)
    assert refused.value.code == 400
    error: dict[str, Any] = json.load(refused.value)["error"]
    return error


def whole_prompt(usage: dict[str, Any]) -> int:
    """The tokens of a prompt by Anthropic's usage, which counts cached ones apart."""
    return int(usage["input_tokens"] + usage["cache_read_input_tokens"])


def _are_exact(
    requests: Iterable[dict[str, Any]],
    count: Callable[[dict[str, Any]], int],
    used: Callable[[dict[str, Any]], int],
) -> None:
    counts = [(at, count(request), used(request)) for at, request in enumerate(requests)]
    assert [each for each in counts if each[1] != each[2]] == []


def agent_turns_are_accepted(stoker: Stoker, window: int) -> list[dict[str, Any]]:
    """Checks that no turn of a growing conversation is refused. Returns each turn's usage."""
    assert stoker.status()["max_model_len"] == window
    used = [usage(stoker, turn) for turn in growing_conversation(TURNS)]
    assert max(u["prompt_tokens"] for u in used) < window
    return used
