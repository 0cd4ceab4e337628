"""The same on real vLLM, which reads every name of a special token in a text as that token."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.integration.fill_positions import all_hold
from tests.support import vllm_cpu
from tests.support.one_layer import one_layer_folder
from tokenizers import Tokenizer

from stoker.engines import Backend

pytestmark = pytest.mark.vllm


async def test_counts_are_exact_and_no_special_token_comes_of_a_text(tmp_path: Path) -> None:
    model = one_layer_folder(vllm_cpu.qwen(), tmp_path / "model")
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    with vllm_cpu.running(tmp_path / "vllm.log", vllm_cpu.plan(model, "qwen")) as url:
        seen = await all_hold(Backend(url, "vllm"), "qwen", tokenizer, 1000, room_tokens=640)
    assert seen.positions == 1000
    assert min(seen.names_in_texts, seen.cut) > 100
