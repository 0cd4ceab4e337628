"""How many tokens llama.cpp reads at once, so that it soon sees who has left."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.application import rank
from stoker.engines.llama_cpp.llama_batch import LEAST_BATCH, batch_on_cpu
from stoker.host import Cpu, Host, Memory, find_gpu
from stoker.models import Model, find_known_model, known_models
from stoker.planning import Plan, Requirements, candidates_of
from stoker.planning.quantization import weights_bytes

GIB = 1024**3
GGUF = [
    replace(form.model, weights_bytes=weights_bytes(form.model))
    for form in candidates_of(known_models())
    if form.model.format == "gguf"
]

pytestmark = pytest.mark.usefixtures("home")


def cpu(cores: int) -> Cpu:
    return Cpu("any", cores, cores, avx2=True)


def planned(name: str, cores: int, gpu: str | None = None) -> Plan:
    spec = find_gpu(gpu) if gpu else None
    gpus = () if spec is None else (spec.gpu(),)
    host = Host("Linux", "x86_64", cpu(cores), Memory(64 * GIB, 55 * GIB), gpus=gpus)
    requirements = Requirements(purpose="agent", engine="llama.cpp", named=True)
    return rank(host, candidates_of([find_known_model(name)[0]]), requirements, spec)[0]


def test_on_a_cpu_a_batch_takes_about_a_second() -> None:
    plan = planned("qwen2.5-coder-0.5b", cores=2)
    assert (plan.argument("n_batch"), plan.argument("n_ubatch")) == (64, 64)
    reason = next(a.reason for a in plan.arguments if a.name == "n_batch")
    assert "takes about 1.0 s" in reason
    assert "Stop" in reason


def test_on_a_gpu_a_batch_is_as_long_as_llama_cpp_makes_it() -> None:
    plan = planned("qwen2.5-coder-0.5b", cores=2, gpu="RTX 4080")
    assert (plan.argument("n_batch"), plan.argument("n_ubatch")) == (2048, 512)


@given(st.sampled_from(GGUF), st.integers(1, 64))
def test_a_batch_is_longer_than_two_seconds_only_where_it_is_the_least(
    model: Model, cores: int
) -> None:
    batch = batch_on_cpu(cpu(cores), model)
    assert batch.n_ubatch <= batch.n_batch
    assert batch.batch_s is not None
    assert batch.batch_s <= 2 or batch.n_batch == LEAST_BATCH


@given(st.sampled_from(GGUF), st.integers(1, 63))
def test_more_cores_never_make_a_batch_smaller(model: Model, cores: int) -> None:
    assert batch_on_cpu(cpu(cores), model).n_batch <= batch_on_cpu(cpu(cores + 1), model).n_batch
