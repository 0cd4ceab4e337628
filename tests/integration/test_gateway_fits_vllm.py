"""Counts are exact and every request fits, through the gateway, with real vLLM."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.fixtures.agent import agent_request
from tests.integration.api_conversations import messages_requests, responses_requests
from tests.integration.conftest import Stoker
from tests.integration.conversations import conversations, unusual_conversations
from tests.integration.promises import (
    agent_turns_are_accepted,
    counts_are_exact,
    messages_counts_are_exact,
    responses_counts_are_exact,
    usage,
)
from tests.support import vllm_cpu
from tests.support.one_layer import one_layer_folder

pytestmark = pytest.mark.vllm

#: SmolLM2's own template has no tools; this one makes it a model that is offered them.
TOOLS_TEMPLATE = Path(__file__).parents[1] / "fixtures/chatml_hermes.jinja"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return one_layer_folder(vllm_cpu.installed().model, tmp_path_factory.mktemp("vllm"))


def start(stoker: Stoker, model: Path, window: int, **more: str) -> None:
    arguments = {
        "enforce-eager": "true",
        "chat-template": str(TOOLS_TEMPLATE),
        "enable-auto-tool-choice": "true",
        "tool-call-parser": "hermes",
        **more,
    }
    done = stoker.run(
        *("up", "--port", str(stoker.port), "--offline", "--json", "--engine", "vllm"),
        *("--python", vllm_cpu.installed().python, "--context", str(window), "--parallel", "1"),
        *(
            word
            for name, value in arguments.items()
            for word in ("--engine-arg", f"{name}={value}")
        ),
        str(model),
        timeout=400,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def continued(request: dict[str, Any]) -> dict[str, Any]:
    """The request as clients of vLLM ask for more of an answer."""
    messages = [*request["messages"], {"role": "assistant", "content": "It is"}]
    options = {"continue_final_message": True, "add_generation_prompt": False}
    return {**request, **options, "messages": messages}


def tools_that_are_not_read_are_counted_once(stoker: Stoker) -> None:
    """Checks that the first answer shows that the server leaves tools out, which it is not asked.

    ``/tokenize`` does not know of the flag.
    """
    request = {**next(iter(conversations(1, tools=False))), "tools": agent_request()["tools"][:4]}
    request |= {"tool_choice": "none"}
    assert stoker.post("/tokenize", request)["count"] > usage(stoker, request)["prompt_tokens"]
    counts_are_exact(stoker, [request])


# Two of the windows that llama.cpp is tried at: each costs a start of a minute.
@pytest.mark.parametrize("window", [2048, 8192])
def test_thirty_agent_turns_are_all_accepted(stoker: Stoker, model: Path, window: int) -> None:
    # One start serves three tests.
    leaves_out_tools = {"exclude-tools-when-tool-choice-none": "true"} if window == 2048 else {}
    start(stoker, model, window, **leaves_out_tools)
    agent_turns_are_accepted(stoker, window)
    if leaves_out_tools:
        tools_that_are_not_read_are_counted_once(stoker)
    else:
        counts_are_exact(stoker, [*conversations(100, tools=True), *unusual_conversations(100)])
        counts_are_exact(stoker, map(continued, conversations(20, tools=True)))
        messages_counts_are_exact(stoker, messages_requests(300))
        responses_counts_are_exact(stoker, responses_requests(300))
