"""Requests have the form, the length and the shared beginnings that they claim."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.checks.bench import SHAPES, Shape
from stoker.checks.bench.workloads import Wording, request

WORDINGS = st.builds(
    Wording,
    shape=st.sampled_from(SHAPES),
    model=st.just("coder"),
    prompt_chars=st.integers(900, 20_000),
    max_tokens=st.integers(2, 200),
    seed=st.integers(0, 5),
)


def text(wording: Wording, salt: str, index: int) -> str:
    """What a model reads of the request, in the order of most templates: tools first."""
    body = request(wording, salt, index).body
    if "prompt" in body:
        return str(body["prompt"])
    return orjson.dumps([body.get("tools"), body["messages"]]).decode()


def shared(one: str, other: str) -> int:
    """How many characters they begin with alike."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))


@given(WORDINGS, st.integers(0, 3))
def test_a_prompt_is_about_as_long_as_it_is_to_be(wording: Wording, index: int) -> None:
    turns = index if wording.shape == "agent" else 0
    grown = turns * (0.03 * wording.prompt_chars + 300)
    chars = request(wording, "salt", index).prompt_chars
    assert 0.9 * wording.prompt_chars - 100 <= chars <= 1.1 * wording.prompt_chars + grown + 600


@given(WORDINGS, st.integers(0, 6))
def test_the_same_seed_gives_the_same_request(wording: Wording, index: int) -> None:
    assert request(wording, "salt", index) == request(wording, "salt", index)


@given(WORDINGS)
def test_conversations_differ_from_their_first_words_on(wording: Wording) -> None:
    one, other = text(wording, "aaaa", 0), text(wording, "bbbb", 0)
    assert shared(one, other) < 120


@given(WORDINGS, st.integers(0, 6))
def test_requests_of_a_conversation_share_nearly_all(wording: Wording, index: int) -> None:
    one, other = text(wording, "salt", index), text(wording, "salt", index + 1)
    assert one != other
    assert shared(one, other) > len(one) - 120


def test_an_agent_has_tools_and_each_turn_adds_a_call_and_its_result() -> None:
    wording = Wording("agent", "coder", 50_000, 32)
    first, third = request(wording, "salt", 0).body, request(wording, "salt", 2).body
    assert len(first["tools"]) > 30
    assert len({tool["function"]["name"] for tool in first["tools"]}) == len(first["tools"])
    assert third["messages"][: len(first["messages"])] == first["messages"]
    assert [m["role"] for m in third["messages"][2:]] == ["assistant", "tool"] * 2
    for call, result in zip(third["messages"][2::2], third["messages"][3::2], strict=True):
        assert call["tool_calls"][0]["id"] == result["tool_call_id"]


@pytest.mark.parametrize("shape", SHAPES)
def test_answers_are_streamed_counted_and_of_one_length(shape: Shape) -> None:
    wording = Wording(shape, "coder", 2000, 24)
    asked = request(wording, "salt", 0)
    assert asked.path == ("/v1/completions" if shape == "completion" else "/v1/chat/completions")
    assert asked.body["stream"] is True
    assert asked.body["stream_options"] == {"include_usage": True}
    assert asked.body["max_tokens"] == 24
    assert asked.body["ignore_eos"] is True
    assert "ignore_eos" not in request(replace(wording, full_answers=False), "salt", 0).body
