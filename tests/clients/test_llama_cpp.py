"""The agents before the real llama.cpp: what they send is accepted, fitted and answered.

The model has one layer, so its answers make no sense and no task is done. What is tried is the
protocol: each agent reads a real engine's stream to its end.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.clients.agents import AGENTS, Agent, run
from tests.e2e.proxy import Proxy
from tests.integration.conftest import Stoker
from tests.support import real_models
from tests.support.one_layer import one_layer_gguf

from stoker.server.ports import any_free

pytestmark = pytest.mark.clients

#: The smallest window of the scripted runs: each agent's request has to be cut for it.
WINDOW = 8_192
#: An answer without sense ends nowhere by itself.
_ANSWER_TOKENS = 20
#: What an agent makes of an answer that was cut, where it ends with a failure for it.
_ENDS_WHERE_CUT = {
    "codex": "Incomplete response returned, reason: max_output_tokens",
    "claude-code": "output token maximum",
}


@pytest.fixture(scope="module")
def before_llama_cpp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A relay before ``stoker up`` with Qwen's tokenizer and template, and one of its layers."""
    folder = tmp_path_factory.mktemp("llama")
    stoker = Stoker(folder / "stoker", any_free())
    model = one_layer_gguf(real_models.qwen(), folder)
    answers = ("--engine-arg", f"n_predict={_ANSWER_TOKENS}")
    stoker.up(str(model), "--context", str(WINDOW), "--parallel", "1", *answers)
    try:
        with Proxy(stoker.endpoint) as proxy:
            yield proxy
    finally:
        stoker.run("down")


@pytest.mark.parametrize("agent", AGENTS, ids=lambda agent: agent.id)
def test_an_agent_reads_a_real_engines_answer(
    agent: Agent, before_llama_cpp: Proxy, node_modules: Path, aider: Path, tmp_path: Path
) -> None:
    before = len(before_llama_cpp.asked)
    programs = (node_modules / ".bin", aider)
    ended = run(agent, before_llama_cpp.url, tmp_path, programs, f"{agent.id} on llama.cpp")
    asked = [each for each in before_llama_cpp.asked[before:] if each.body]
    assert agent.path in {each.path for each in asked}, ended.printed[-3000:]
    refused = [(each.path, each.status, each.answer[:500]) for each in asked if each.status >= 400]
    assert not refused
    cut = _ENDS_WHERE_CUT.get(agent.name)
    assert ended.status == 0 or (cut and cut in ended.printed), ended.printed[-3000:]
    assert not ended.outside
