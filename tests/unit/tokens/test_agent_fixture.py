"""The agent request that other tests stand on keeps the measured shape of VS Code's."""

from __future__ import annotations

import itertools
import json

from tests.fixtures.agent import agent_request, growing_conversation


def test_request_has_the_measured_shape() -> None:
    request = agent_request()
    tools = json.dumps(request["tools"], ensure_ascii=False)
    assert [message["role"] for message in request["messages"]] == ["system", "user"]
    assert len({tool["function"]["name"] for tool in request["tools"]}) == 39
    assert 53_000 <= len(tools.encode()) <= 55_500


def test_each_turn_extends_the_one_before() -> None:
    requests = list(growing_conversation(30))
    assert len(requests) == 30
    for before, after in itertools.pairwise(requests):
        assert after["messages"][: len(before["messages"])] == before["messages"]
        assert len(after["messages"]) > len(before["messages"])
