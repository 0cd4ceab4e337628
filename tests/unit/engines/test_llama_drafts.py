"""A model drafts with its own head where that is known to pay, from the memory that is left."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from stoker.application import imagined_machine
from stoker.engines.llama_cpp.llama_container import flags
from stoker.engines.llama_cpp.llama_drafts import (
    KIND,
    LEAST_GAIN,
    MTP,
    NUMBER,
    best_drafts,
    can_draft,
    most_drafts,
    token_s,
    tokens_per_step,
)
from stoker.engines.llama_cpp.llama_memory import LlamaCache, llama_memory
from stoker.engines.llama_cpp.llama_plan import plan_llama
from stoker.engines.llama_cpp.llama_speed import LlamaSpeed, llama_speed
from stoker.engines.ollama.ollama_plan import plan_ollama
from stoker.host import Cpu, Memory, find_gpu
from stoker.models import Model, find_known_model
from stoker.planning import Candidate, Plan, Requirements

MIB, GIB, GB = 1024**2, 1024**3, 10**9


def candidate(name: str) -> Candidate:
    known, _ = find_known_model(name)
    forms = [form for form in known.weights if form.format == "gguf"]
    form = next((form for form in forms if form.mtp_head), forms[0])
    return Candidate(known.model(form), known)


DENSE = candidate("qwen3.8-27b")


def planned(
    gpu: str | None, one: Candidate = DENSE, requirements: Requirements | None = None
) -> Plan:
    machine = imagined_machine(gpu or "RTX 4090")
    memory = Memory(256 * GIB, 200 * GIB)
    host = machine.host if gpu else replace(machine.host, gpus=(), memory=memory)
    wanted = requirements or Requirements(purpose="agent", named=True)
    return plan_llama(host, one, wanted, machine.gpu if gpu else None)


def plain(one: Candidate = DENSE) -> Candidate:
    return replace(one, model=replace(one.model, has_mtp_head=False))


def speed(gpu: str, gigabytes: float) -> LlamaSpeed:
    model = replace(DENSE.model, weights_bytes=int(gigabytes * GB))
    return llama_speed(Cpu("any", 8, 8, avx2=True), find_gpu(gpu), model, gpu_share=1.0)


@pytest.mark.parametrize(
    ("gpu", "gigabytes", "drafts", "without", "drafting"),
    [
        # https://github.com/sudoingX/qwen38-mtp: Qwen3.8-27B, tokens/s without and with drafts.
        # Not here: those of an RTX PRO 6000, an R9700, a V100 and some of a 4090 and a 5090, whose
        # gains are up to a third smaller.
        ("RTX 3090", 16.8, 2, 43.9, 79.6),
        ("RTX 3090", 16.8, 2, 41.3, 63.5),
        ("RTX 3090", 16.8, 3, 31.3, 52.9),
        ("RTX 5090", 16.8, 2, 76.9, 155.5),
        ("RTX 5090", 19.5, 2, 66.3, 129.4),
        ("RTX 5090", 22.5, 2, 61.9, 130.0),
        ("RTX 5090", 19.5, 4, 66.3, 144.2),
        ("RX 7900 XTX", 16.8, 2, 41.0, 76.9),
        ("RX 7900 XTX", 16.8, 3, 41.0, 85.4),
        ("RTX A6000", 16.8, 2, 26.7, 52.5),
        ("Ryzen AI Max+ 395", 16.8, 2, 11.5, 23.7),
    ],
)
def test_drafts_bring_about_as_much_as_published(
    gpu: str, gigabytes: float, drafts: int, without: float, drafting: float
) -> None:
    predicted = speed(gpu, gigabytes)
    gain = token_s(predicted, 1, 0) / token_s(predicted, 1, drafts)
    assert gain == pytest.approx(drafting / without, rel=0.15)


def test_one_token_is_certain_and_each_further_one_less_likely() -> None:
    steps = [tokens_per_step(drafts) for drafts in range(5)]
    assert steps[0] == 1
    more = [later - earlier for earlier, later in pairwise(steps)]
    assert all(0 < later < earlier < 1 for earlier, later in pairwise(more))


def test_a_plan_that_drafts_is_quicker_and_gives_its_reason() -> None:
    plan, without = planned("RTX 3090"), planned("RTX 3090", plain())
    assert plan.argument(KIND) == MTP
    assert plan.argument(NUMBER) in (1, 2, 3)
    assert without.argument(KIND) is None
    assert plan.speed is not None
    assert without.speed is not None
    assert without.speed.token_s.expected / plan.speed.token_s.expected > LEAST_GAIN
    assert plan.prefill_tokens_per_s is not None
    assert without.prefill_tokens_per_s is not None
    assert plan.prefill_tokens_per_s < without.prefill_tokens_per_s  # the head reads it, too
    reason = next(a.reason for a in plan.arguments if a.name == KIND)
    assert "tokens/s instead of" in reason
    assert "published" in reason


def test_drafts_take_memory_that_is_left_and_no_usual_context() -> None:
    plan, without = planned("RTX 3090"), planned("RTX 3090", plain())
    assert plan.max_model_len == without.max_model_len
    assert plan.parallel == without.parallel
    assert plan.gpus == without.gpus == 1
    assert without.memory.total_bytes < plan.memory.total_bytes < plan.memory.device_bytes  # type: ignore[operator]


@pytest.mark.parametrize(
    ("gpu", "one", "requirements"),
    [
        (None, DENSE, None),  # a CPU
        ("Apple M3 Ultra 96GB", DENSE, None),
        ("RTX 3060 12GB", DENSE, None),  # a part of the layers is on the CPU
        ("RTX 5090", plain(), None),  # no head in the file
        ("RTX 5090", candidate("qwen3.6-35b-a3b"), None),
        ("RTX 5090", DENSE, Requirements(purpose="completion", named=True)),
    ],
)
def test_nothing_is_drafted_where_it_is_not_known_to_pay(
    gpu: str | None, one: Candidate, requirements: Requirements | None
) -> None:
    assert planned(gpu, one, requirements).argument(KIND) is None


def test_a_mixture_drafts_nothing_although_its_file_has_the_head() -> None:
    mixture = candidate("qwen3.6-35b-a3b")
    shape = replace(mixture.model.architecture, family="qwen35moe")  # type: ignore[type-var]
    with_head = replace(mixture.model, has_mtp_head=True, architecture=shape)
    assert can_draft(with_head)
    assert planned("RTX 5090", replace(mixture, model=with_head)).argument(KIND) is None


def test_an_architecture_without_a_graph_of_the_head_drafts_nothing() -> None:
    shape = replace(DENSE.model.architecture, family="exaone4")  # type: ignore[type-var]
    assert can_draft(DENSE.model)
    assert not can_draft(replace(DENSE.model, architecture=shape))


def test_ollama_drafts_nothing() -> None:
    machine = imagined_machine("RTX 5090")
    requirements = Requirements(purpose="agent", named=True)
    plan = plan_ollama(machine.host, DENSE, requirements, machine.gpu)
    without = plan_ollama(machine.host, plain(), requirements, machine.gpu)
    assert plan.speed == without.speed
    assert plan.memory == without.memory


def test_many_requests_at_once_leave_drafts_less_to_bring() -> None:
    predicted = speed("RTX 3090", 16.8)
    gains = [token_s(predicted, n, 0) / token_s(predicted, n, 2) for n in (1, 2, 4, 8)]
    assert gains == sorted(gains, reverse=True)
    assert best_drafts(DENSE.model, predicted, 1)[0] == 3
    assert best_drafts(DENSE.model, predicted, 16) == []


def test_a_head_of_several_blocks_drafts_one_token_with_each() -> None:
    shape = replace(DENSE.model.architecture, num_mtp_layers=2)  # type: ignore[type-var]
    assert most_drafts(replace(DENSE.model, architecture=shape)) == 2
    assert most_drafts(DENSE.model) == 3


def taken(model: Model, drafts: int) -> float:
    cache = LlamaCache(131_072, 1, 512, "q8_0", drafts)
    return llama_memory(model, cache, 100 * GB).total_bytes / MIB


def test_each_draft_keeps_one_more_state_of_the_recurrent_layers() -> None:
    # "+150 MiB per draft step": https://github.com/sudoingX/qwen38-mtp/pull/85
    model = replace(DENSE.model, weights_bytes=17 * GB)
    assert taken(model, 3) - taken(model, 2) == pytest.approx(150, rel=0.05)
    # The head's weights, its cache of 131,072 tokens in 16 bits and its buffers: published are
    # 0.9 to 1.1 GB with two drafts (pulls 5 and 53), less than what is planned.
    assert 900 < taken(model, 2) - taken(model, 0) < 1_700


def test_a_measured_head_is_not_loaded_where_nothing_drafts() -> None:
    model = replace(DENSE.model, weights_bytes=17 * GB, mtp_head_bytes=400 * MIB)
    cache = LlamaCache(8192, 1, 512)
    assert llama_memory(model, cache, 1).weights_bytes == 17 * GB - 400 * MIB
    assert llama_memory(model, replace(cache, drafts=1), 1).weights_bytes == 17 * GB


def test_the_image_gets_drafts_as_flags_of_llama_server() -> None:
    given = flags([a for a in planned("RTX 3090").arguments if a.name.startswith("speculative")])
    assert given[:3] == ("--spec-type", "draft-mtp", "--spec-draft-n-max")
    assert given[3] in ("1", "2", "3")
