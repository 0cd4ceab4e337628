"""An answer of real vLLM that ends inside of a tool call never makes a client run it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.integration.conftest import Stoker
from tests.integration.test_gateway_cut_calls import CUT, TOOL, ask, streamed, whole
from tests.integration.test_gateway_fits_vllm import start
from tests.support import vllm_cpu
from tests.support.one_layer import one_layer_folder

pytestmark = pytest.mark.vllm
STRICT = {**TOOL, "function": {**TOOL["function"], "strict": True}}
NAMED = {"type": "function", "function": {"name": "delete_file"}}


def test_a_named_call_that_max_tokens_cuts_is_no_call(
    stoker: Stoker, tmp_path_factory: pytest.TempPathFactory
) -> None:
    model: Path = one_layer_folder(vllm_cpu.installed().model, tmp_path_factory.mktemp("vllm"))
    start(stoker, model, 2048)
    for answer in (whole, streamed):
        # Four tokens are not yet a name (vLLM 0.32.0 gives half a tag, or nothing where streamed).
        reply, calls, finish = answer(stoker, ask(max_tokens=4, tools=[STRICT], tool_choice=NAMED))
        assert (calls, finish) == ([], "length")
        reply, calls, finish = answer(stoker, ask(max_tokens=32, tools=[STRICT], tool_choice=NAMED))
        assert (calls, finish) == ([], "length")
        assert reply.endswith(CUT)
