"""1,000 positions to complete at on real llama.cpp: counts are exact, and texts stay texts."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.integration.fill_positions import all_hold
from tokenizers import decoders

from stoker.engines import Backend
from stoker.tokens import LocalTokenizer

pytestmark = pytest.mark.engine
xllamacpp = pytest.importorskip("xllamacpp")


async def test_counts_are_exact_and_no_special_token_comes_of_a_text(quick_qwen: str) -> None:
    params = xllamacpp.CommonParams()
    params.model.path = quick_qwen
    params.n_ctx = 2048
    params.n_parallel = 1
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.warmup = False
    server = xllamacpp.Server(params)
    tokenizer = LocalTokenizer.from_gguf(Path(quick_qwen)).tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    backend = Backend(server.listening_address, "llama.cpp")
    seen = await all_hold(backend, "qwen", tokenizer, 1000, room_tokens=640)
    assert seen.positions == 1000
    assert min(seen.names_in_texts, seen.cut) > 100
