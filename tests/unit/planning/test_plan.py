"""A plan's fingerprint decides whether a running deployment is the one asked for."""

from __future__ import annotations

from dataclasses import replace

from stoker.models import Model
from stoker.planning import Argument, MemoryPrediction, Plan

PLAN = Plan(
    model=Model(id="m", format="gguf", origin="file", served_name="m"),
    engine="llama.cpp",
    max_model_len=2048,
    parallel=1,
    arguments=(Argument("n_ctx", 2048, "small"),),
    memory=MemoryPrediction(1, 2, 3, 10),
)


def test_reasons_do_not_change_the_fingerprint() -> None:
    other = replace(PLAN, arguments=(Argument("n_ctx", 2048, "another reason"),))
    assert other.fingerprint == PLAN.fingerprint


def test_an_argument_is_found_in_either_spelling() -> None:
    flag = replace(PLAN, arguments=(Argument("kv-cache-dtype", "fp8", "set with --engine-arg"),))
    assert flag.argument("kv_cache_dtype") == "fp8"
    assert PLAN.argument("n_ctx") == 2048
    assert PLAN.argument("kv_cache_dtype") is None


def test_an_argument_changes_the_fingerprint() -> None:
    other = replace(PLAN, arguments=(Argument("n_ctx", 4096, "small"),))
    assert other.fingerprint != PLAN.fingerprint
