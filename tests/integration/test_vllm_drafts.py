"""The drafts that a real vLLM counts are read as it counts them, also while it answers."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import aiohttp
import pytest
from tests.support import vllm_cpu

from stoker.engines import Backend, lookup
from stoker.engines.draft_counts import draft_counts

pytestmark = pytest.mark.vllm

#: A lookup in the prompt: the model of the test has no layers that draft.
LOOKUP = {"method": "ngram", "num_speculative_tokens": 3, "prompt_lookup_max": 2}
REPEATS = "one two three four five six seven eight. " * 12


async def complete(http: aiohttp.ClientSession, url: str, tokens: int) -> int:
    body = {"model": "smollm2", "prompt": REPEATS, "max_tokens": tokens, "temperature": 0}
    async with http.post(f"{url}/v1/completions", json={**body, "ignore_eos": True}) as answer:
        return int((await answer.json())["usage"]["completion_tokens"])


async def test_vllms_counts_are_read_and_do_not_wait_for_an_answer(tmp_path: Path) -> None:
    plan = vllm_cpu.plan(speculative_config=json.dumps(LOOKUP))
    drafting = lookup("vllm").drafting
    assert drafting is not None and drafting.drafts(plan)
    with vllm_cpu.running(tmp_path / "vllm.log", plan) as url:
        backend = Backend(url, "vllm")
        async with aiohttp.ClientSession() as http:
            before = await draft_counts(http, backend)
            assert before is not None and before.steps == 0
            written = await complete(http, url, 100)
            counts = await draft_counts(http, backend)
            assert counts is not None
            # A step adds its own token, and those of its drafts that were right.
            assert 0 < counts.accepted <= counts.drafted <= 3 * counts.steps
            assert counts.steps + counts.accepted <= written
            assert counts.steps > 10
            answering = asyncio.create_task(complete(http, url, 400))
            while (during := await draft_counts(http, backend)) == counts:
                assert not answering.done()
            assert not answering.done()
            assert during is not None and during.steps > counts.steps
            await answering
