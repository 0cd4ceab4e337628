"""Agents do a task of one file, from their settings by ``stoker connect`` to the file's text.

The model speaks only chat. What reached it shows that the gateway fits every request, whatever API
the agent speaks and whatever window it assumes.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.clients.agents import AGENTS, Run, run
from tests.clients.conftest import AT_A_TIME, Gateway, gateway

pytestmark = pytest.mark.clients

WINDOWS = (131_072, 32_768, 8_192)


@pytest.fixture(scope="module", params=WINDOWS)
def done(
    request: pytest.FixtureRequest,
    node_modules: Path,
    aider: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Gateway, dict[str, Run]]]:
    """All agents' runs at one window, before one gateway."""
    programs = (node_modules / ".bin", aider)
    folder = tmp_path_factory.mktemp("agents")
    window: int = request.param
    with gateway(window, folder) as served, ThreadPoolExecutor(AT_A_TIME) as pool:
        runs = pool.map(
            lambda agent: run(
                agent, served.endpoint, folder / agent.id, programs, f"{agent.id} at {window}"
            ),
            AGENTS,
        )
        yield served, {each.agent.id: each for each in runs}


@pytest.mark.parametrize("name", [agent.id for agent in AGENTS])
def test_an_agent_does_its_task(done: tuple[Gateway, dict[str, Run]], name: str) -> None:
    _, runs = done
    ended = runs[name]
    assert ended.status == 0, ended.printed[-3000:]
    assert ended.written.strip() == ended.line, ended.printed[-3000:]
    assert not ended.outside


def test_no_request_is_refused(done: tuple[Gateway, dict[str, Run]]) -> None:
    served, runs = done
    asked = [each for each in served.seen_by_clients.asked if each.body]
    refused = [(each.path, each.status, each.answer[:500]) for each in asked if each.status != 200]
    assert not refused
    assert {each.agent.path for each in runs.values()} <= {each.path for each in asked}


def test_prompt_and_answer_stay_within_the_window(
    done: tuple[Gateway, dict[str, Run]],
) -> None:
    served, _ = done
    model = served.model
    assert {each.status for each in model.arrived} == {200}
    assert not [each.answer.missed for each in model.arrived if each.answer.missed]
    for each in model.arrived:
        answer = each.body.get("max_completion_tokens") or each.body.get("max_tokens") or 1
        assert each.prompt_tokens + answer <= model.window_tokens, each.body.keys()
