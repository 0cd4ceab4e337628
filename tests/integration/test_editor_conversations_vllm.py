"""No conversation that an editor produces is dead on vLLM, with a tool parser and without one."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.integration.conftest import Stoker
from tests.integration.editor_conversations import dead
from tests.support import vllm_cpu
from tests.support.one_layer import one_layer_folder

pytestmark = pytest.mark.vllm

PARSER: dict[str, str | int | bool] = {
    "chat_template": str(Path(__file__).parents[1] / "fixtures/chatml_hermes.jinja"),
    "enable_auto_tool_choice": True,
    "tool_call_parser": "hermes",
}


@pytest.mark.parametrize("arguments", [PARSER, {}], ids=["with a parser", "without one"])
def test_forty_kinds_of_conversations_go_on_for_three_turns(
    stoker: Stoker, tmp_path: Path, arguments: dict[str, str | int | bool]
) -> None:
    model = one_layer_folder(vllm_cpu.installed().model, tmp_path)
    with vllm_cpu.running(tmp_path / "log", vllm_cpu.plan(model, "smollm2", **arguments)) as url:
        done = stoker.run("adopt", url, "--port", str(stoker.port), "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        assert list(dead(stoker)) == []
