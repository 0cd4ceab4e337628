"""The predicted sizes are those that llama.cpp printed when it loaded the same model."""

from __future__ import annotations

import pytest

from stoker.engines.llama_cpp.llama_memory import LlamaCache, llama_kv_cache_bytes, llama_memory
from stoker.models.gguf_catalogue import entries

MIB = 1024**2
CODER = next(e.model for e in entries() if e.model.id == "qwen2.5-coder-0.5b")


@pytest.mark.parametrize(("parallel", "printed_mib"), [(1, 384.0), (2, 768.0)])
def test_the_cache_is_what_llama_cpp_prints(parallel: int, printed_mib: float) -> None:
    assert CODER.architecture is not None
    cache = LlamaCache(32_768, parallel, 512)
    assert llama_kv_cache_bytes(CODER.architecture, cache) == printed_mib * MIB


def test_the_rest_is_near_what_llama_cpp_takes() -> None:
    # Printed: 28.05 MiB repacked, 69.27 MiB compute; the process beside it took 150 MiB.
    memory = llama_memory(CODER, LlamaCache(32_768, 1, 512), 10 * 1024**3)
    assert memory.overhead_bytes == pytest.approx((28.05 + 69.27 + 150) * MIB, rel=0.1)


def test_an_8_bit_cache_is_little_more_than_half() -> None:
    assert CODER.architecture is not None
    wide = llama_kv_cache_bytes(CODER.architecture, LlamaCache(8192, 1, 512))
    narrow = llama_kv_cache_bytes(CODER.architecture, LlamaCache(8192, 1, 512, "q8_0"))
    assert narrow / wide == pytest.approx(34 / 64)
