"""With ``caches_per_owner`` no owner's prompt is read from what another one's has left in vLLM."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.support import vllm_cpu
from tests.support.one_layer import one_layer_folder
from tests.unit.gateway.backends import Front, front

from stoker.access.api_keys import hash_of, keys_of
from stoker.engines import Backend, ServedModel
from stoker.gateway import Gateway, Served

pytestmark = pytest.mark.vllm
OWNERS = ("ann", "bob")
#: About 900 tokens.
TEXT = " ".join(f"river {number}" for number in range(200))


async def cached_tokens(it: Front, owner: str, text: str) -> int:
    body: dict[str, Any] = {
        "model": "smollm2",
        "messages": [{"role": "user", "content": text}],
        "max_tokens": 1,
    }
    headers = {"Authorization": f"Bearer {owner}"}
    async with it.http.post(f"{it.url}/v1/chat/completions", json=body, headers=headers) as got:
        usage = (await got.json())["usage"]
    assert usage["prompt_tokens"] > 500
    return int((usage["prompt_tokens_details"] or {}).get("cached_tokens") or 0)


async def test_the_same_owner_finds_its_prompt_in_the_cache_and_another_one_does_not(
    tmp_path: Path,
) -> None:
    model = one_layer_folder(vllm_cpu.installed().model, tmp_path)
    plan = vllm_cpu.plan(model, enable_prompt_tokens_details=True)
    gateway = Gateway(keys_of({name: hash_of(name) for name in OWNERS}))
    with vllm_cpu.running(tmp_path / "log", plan) as url:
        served = ServedModel("smollm2", max_model_len=2048)
        gateway.serve([Served(Backend(url, "vllm"), [served])])
        async with front(gateway) as it:
            assert await cached_tokens(it, "ann", TEXT) == 0
            assert await cached_tokens(it, "bob", TEXT) > 500  # shared, as it is by default
            gateway.use_caches_per_owner(True)
            found = [await cached_tokens(it, owner, TEXT) for owner in ("ann", "bob", "ann", "bob")]
    assert found[:2] == [0, 0]
    assert min(found[2:]) > 500
