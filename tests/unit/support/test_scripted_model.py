"""The model that end-to-end tests play with: it knows what it is sent, and nothing else."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from tests.support import recorded
from tests.support.scripted_model import kind_of, play
from tests.support.six_turns import TURNS

Body = dict[str, Any]
CONVERSATIONS = ("six_turns_local", "six_turns_copilot")


@pytest.fixture(params=CONVERSATIONS)
def conversation(request: pytest.FixtureRequest) -> list[Body]:
    return recorded.load(recorded.FIXTURES / f"{request.param}.json.gz")


def test_each_recorded_request_leads_to_the_step_that_was_recorded(
    conversation: list[Body],
) -> None:
    steps = 0
    for before, after in pairwise(conversation):
        call = play(before).call
        calls = [c for m in after["messages"] for c in m.get("tool_calls") or ()]
        if call:
            assert calls[-1]["function"]["name"] == call[0]
            steps += 1
    assert steps == len(conversation) - len(TURNS)


def test_every_turn_is_answered_and_nothing_is_missed(conversation: list[Body]) -> None:
    answers = [play(body) for body in conversation]
    assert not [answer for answer in answers if answer.missed]
    texts = [answer.text for answer in answers if not answer.call]
    assert all(turn.answer in text for turn, text in zip(TURNS, texts, strict=True))


def test_a_request_that_was_lost_fails_the_turn(conversation: list[Body]) -> None:
    body = conversation[1]
    lost = [message for message in body["messages"] if message["role"] != "user"]
    assert "request is not in" in play({**body, "messages": lost}).missed


def test_a_tool_that_is_not_offered_fails_the_turn(conversation: list[Body]) -> None:
    body = conversation[0]
    name, _ = play(body).call or ("", {})
    tools = [tool for tool in body["tools"] if tool["function"]["name"] != name]
    assert "is not offered" in play({**body, "tools": tools}).missed


def test_a_result_that_was_cut_away_fails_the_turn(conversation: list[Body]) -> None:
    answered = next(body for body in conversation if "120 checks" in play(body).text)
    masked = [{**m, "content": "(cut)"} if m["role"] == "tool" else m for m in answered["messages"]]
    assert "is cut away" in play({**answered, "messages": masked}).missed


def test_a_compaction_is_known_by_what_it_asks_for(conversation: list[Body]) -> None:
    asks = "Your task is to create a comprehensive, detailed summary of the entire conversation."
    asked = {"role": "user", "content": asks}
    messages = [*conversation[0]["messages"], asked]
    assert kind_of({**conversation[0], "messages": messages}) == "compaction"
    assert {kind_of(body) for body in conversation} == {"agent"}
