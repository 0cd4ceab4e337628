"""Where llama.cpp computes, by the arguments of its plan."""

from __future__ import annotations

import pytest
from tests.unit.server.scripted_engine import PLAN

from stoker.engines.llama_cpp.llama_experts import ARGUMENT as EXPERTS
from stoker.engines.llama_cpp.llama_launch import computes_on_cpu, runs_on_gpu
from stoker.planning import Argument


@pytest.mark.parametrize(
    ("arguments", "on_gpu", "on_cpu"),
    [
        ({"n_gpu_layers": 0}, False, True),
        ({"n_gpu_layers": 12}, True, True),
        ({"n_gpu_layers": -1}, True, False),
        ({"n_gpu_layers": -1, EXPERTS: "blk"}, True, True),
    ],
    ids=["no GPU", "some layers", "all layers", "all but experts"],
)
def test_what_is_left_to_the_cpu(
    arguments: dict[str, int | str], on_gpu: bool, on_cpu: bool
) -> None:
    plan = PLAN.with_arguments(Argument(name, value, "") for name, value in arguments.items())
    assert (runs_on_gpu(plan), computes_on_cpu(plan)) == (on_gpu, on_cpu)
