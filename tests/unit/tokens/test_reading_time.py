"""Where reading takes long, the head is bounded, and what each request adds: not the whole prompt.

What was read before is in the engine's cache.
"""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.fixtures.agent import agent_request, growing_conversation
from tests.support.recorded import FIXTURES, load
from tests.unit.tokens.strategies import WordCounter

from stoker.gateway.prompt.fit_settings import FitSettings
from stoker.gateway.prompt.prefill_limit import PrefillLimit
from stoker.gateway.prompt.stable_head import StableHead
from stoker.tokens import Fit, ReadingTime, budget_for, calibrate, drive, fit
from stoker.tokens.chat_messages import text_of

COUNTER = WordCounter()
CALIBRATION = drive(calibrate(), COUNTER)
SIX_TURNS = load(FIXTURES / "six_turns_local.json.gz")
SLOW = ReadingTime(head_tokens=4000, added_tokens=1000)


def fitted(request: dict[str, Any], window: int, time: ReadingTime | None = SLOW) -> Fit:
    return drive(fit(request, budget_for(window, time=time), calibration=CALIBRATION), COUNTER)


def tokens(messages: list[Any], tools: list[Any] | None = None) -> int:
    return COUNTER.count_request({"messages": messages, "tools": tools or []})


def head_tokens(sent: Any) -> int:
    return tokens(sent["messages"][:1], sent.get("tools"))


@pytest.mark.parametrize("recorded", ["six_turns_local.json.gz", "six_turns_copilot.json.gz"])
@pytest.mark.parametrize("head_s", [30, 40, 50, 60, 100])
def test_a_head_stays_as_it_was_until_a_question_needs_another_tool(
    recorded: str, head_s: int
) -> None:
    """Whatever the window holds: a head that gave way later would have all read again."""
    slow = ReadingTime(96 * head_s, 24 * head_s)
    requests = load(FIXTURES / recorded)
    system = requests[-1]["messages"][0]  # VS Code's grows at the second question
    same = [{**each, "messages": [system, *each["messages"][1:]]} for each in requests]
    heads = [_head(fitted(request, 8192, slow).request) for request in same]
    changed = [pair for pair in itertools.pairwise(heads) if pair[0] != pair[1]]
    assert len(changed) <= 3
    for before, after in changed:
        assert after[0] == before[0]
        assert _names(after) - _names(before)


@settings(max_examples=8, deadline=None)
@given(
    tokens_per_s=st.integers(20, 120),
    recorded=st.sampled_from(["six_turns_local.json.gz", "six_turns_copilot.json.gz"]),
    parameters=st.sampled_from([None, 494_000_000]),
)
@example(25, "six_turns_local.json.gz", None)
@example(35, "six_turns_local.json.gz", None)
@example(120, "six_turns_local.json.gz", 494_000_000)
@example(120, "six_turns_copilot.json.gz", 494_000_000)
def test_at_any_speed_most_of_a_prompt_was_read_before_and_tools_are_left(
    tokens_per_s: int, recorded: str, parameters: int | None
) -> None:
    """Its second half, where cuts come and a question needs another tool."""
    asked = FitSettings(
        max_prompt_tokens="auto", prefill_tokens_per_s=tokens_per_s, parameters=parameters
    )
    limit = PrefillLimit(asked)
    requests, head = load(FIXTURES / recorded)[10:], StableHead()
    wanted = min(12, len(requests[0]["tools"]))  # in words, tools take more than in tokens
    before: list[Any] = []
    for request in (head.keep(each).request for each in requests):
        sent = fitted(request, 8192, limit.reading_time(request)).request
        parts = [sent["messages"][0], *sent["tools"], *sent["messages"][1:]]
        known = _common(before, parts)
        assert not before or _size(known) >= 0.7 * _size(parts)
        assert len(sent["tools"]) >= wanted
        before = parts


def _size(parts: list[Any]) -> int:
    messages = [part for part in parts if "role" in part]
    return tokens(messages, [part for part in parts if "role" not in part])


def _head(sent: Any) -> list[Any]:
    return [sent["messages"][0], *sent["tools"]]


def _names(head: list[Any]) -> set[str]:
    return {tool["function"]["name"] for tool in head[1:]}


def test_a_head_that_takes_too_long_is_cut_though_the_window_has_room() -> None:
    first, *_ = heads = [head_tokens(fitted(request, 32768).request) for request in SIX_TURNS]
    assert SLOW.head_tokens * 0.85 <= first <= SLOW.head_tokens * 1.02
    # A tool that a later question needs pushes out no other: that would be read again, too.
    assert max(heads) <= SLOW.head_tokens * 1.15


def test_behind_its_head_a_conversation_grows_beyond_what_is_read_in_time() -> None:
    counts = [fitted(request, 32768).prompt_tokens or 0 for request in SIX_TURNS]
    assert max(counts) > SLOW.head_tokens + 3 * SLOW.added_tokens


def test_a_result_that_takes_too_long_is_shortened_once_and_stays_as_it_was() -> None:
    request = agent_request("What is in the file?")
    call = {"id": "c", "type": "function", "function": {"name": "read_file", "arguments": "{}"}}
    result = "\n".join(f"line {number} of the file" for number in range(2000))
    request["messages"] += [
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": result},
    ]
    first = fitted(request, 65536).request
    assert tokens(first["messages"][-2:]) <= SLOW.added_tokens * 1.05
    assert first["messages"][-1]["content"].startswith("line 0 of the file\n")
    request["messages"] += [{"role": "assistant", "content": "Lines."}]
    request["messages"] += [{"role": "user", "content": "And now?"}]
    second = fitted(request, 65536).request
    assert second["tools"] == first["tools"]
    assert second["messages"][: len(first["messages"])] == first["messages"]


def test_where_only_results_are_bounded_an_attachment_stays_whole() -> None:
    time = ReadingTime(head_tokens=2560, added_tokens=2304, result_tokens=1097)
    lines = "\n".join(f"line {number}" for number in range(600))
    request = agent_request("What is in this file?")
    asked = request["messages"][-1]
    asked["content"] = f"<attachment>\n{lines}\n</attachment>\n{asked['content']}"
    sent = fitted(request, 8192, time).request["messages"]
    assert lines in sent[-1]["content"]
    call = {"id": "c", "type": "function", "function": {"name": "read_file", "arguments": "{}"}}
    request["messages"] += [
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": lines},
    ]
    later = fitted(request, 8192, time).request["messages"]
    assert later[: len(sent)] == sent
    assert 0.8 * 1097 <= tokens(later[len(sent) :]) <= 1.05 * 1097


def test_a_request_that_is_read_in_time_is_sent_as_it_is() -> None:
    request = {"messages": [{"role": "user", "content": "word " * 300}] * 8}
    result = fitted(request, 8192)
    assert result.request is request
    assert not result.cuts.any


@pytest.mark.parametrize(("seed", "steps"), [(0, 4), (3, 4), (4, 2), (5, 2)])
def test_after_a_cut_no_more_is_read_again_than_is_read_in_time(seed: int, steps: int) -> None:
    """Also where the newest turn alone has more."""
    grown = growing_conversation(40, seed=seed, steps_per_question=steps)
    sent = [fitted(request, 16384).request for request in grown]
    read = [
        tokens(after["messages"]) - tokens(_common(before["messages"], after["messages"]))
        for before, after in itertools.pairwise(sent)
        if before["tools"] == after["tools"]
    ]
    assert max(read) <= SLOW.added_tokens * 1.1


def _common(before: list[Any], after: list[Any]) -> list[Any]:
    pairs = zip(before, after, strict=False)
    return [one for one, _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs)]


def test_a_turn_that_comes_back_after_a_cut_is_read_in_time() -> None:
    """At 42 tokens a second it once filled the window, and 29 % of the prompt were read again."""
    requests = load(FIXTURES / "six_turns_copilot.json.gz")
    sent = [fitted(request, 8192, ReadingTime(4032, 1024)).request for request in requests]
    for before, after in itertools.pairwise(sent):
        if before["tools"] == after["tools"]:
            known = _common(before["messages"], after["messages"])
            whole = tokens(after["messages"], after["tools"])
            assert tokens(known, after["tools"]) > 0.75 * whole


def test_another_conversation_finds_the_tools_in_the_same_places() -> None:
    """Which tools stand first does not depend on what is asked."""
    first = fitted(SIX_TURNS[0], 16384, None).request
    for question in ("Add a license to each file in src.", "What does the project do?"):
        other = fitted(asking(SIX_TURNS[0], question), 16384, None).request
        assert other["messages"][0] == first["messages"][0]
        offered = [[tool["function"]["name"] for tool in r["tools"]] for r in (first, other)]
        assert len(_common(*offered)) >= 0.95 * len(offered[0])


def asking(request: dict[str, Any], question: str) -> dict[str, Any]:
    """The same request with another question, and the same of the editor's around it."""
    *before, message = request["messages"]
    text = re.sub(
        r"(?s)(<userRequest>).*(</userRequest>)", rf"\1{question}\2", text_of(message["content"])
    )
    return {**request, "messages": [*before, {**message, "content": text}]}
