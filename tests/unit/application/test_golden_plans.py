"""What is planned for two dozen machines, kept as text that a person who knows the field reviewed.

A change of a plan shows up here as a difference. Look at it, and where it is better than before:
``STOKER_WRITE_GOLDEN=1 pytest tests/unit/application/test_golden_plans.py``.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from stoker.application import rank, ranking
from stoker.engines.vllm.vllm_speed import speed_under
from stoker.errors import StokerError
from stoker.host import Cpu, Host, Memory, find_gpu
from stoker.models import Purpose, known_models
from stoker.planning import Plan, Requirements, Traffic, candidates_of
from stoker.planning.requirements import NEEDS

GOLDEN = Path(__file__).parents[2] / "fixtures" / "plans"
GIB = 1024**3
#: File -> GPU, how many, cores, main memory in GiB.
HOSTS: dict[str, tuple[str | None, int, int, int]] = {
    "cpu-8gb": (None, 0, 4, 8),
    "cpu-16gb": (None, 0, 8, 16),
    "cpu-64gb": (None, 0, 16, 64),
    "rtx-3060-12gb": ("RTX 3060 12GB", 1, 8, 32),
    "rtx-4060-8gb": ("RTX 4060 8GB", 1, 8, 16),
    "rtx-4080-16gb": ("RTX 4080", 1, 8, 32),
    "rtx-4090-24gb": ("RTX 4090", 1, 16, 64),
    "rtx-5090-32gb": ("RTX 5090", 1, 16, 64),
    "2x-rtx-3090": ("RTX 3090", 2, 16, 64),
    "l40s": ("L40S", 1, 32, 128),
    "a100-40gb": ("A100 40GB", 1, 32, 128),
    "h100": ("H100", 1, 32, 256),
    "8x-h200": ("H200", 8, 128, 2048),
    "mi300x": ("MI300X", 1, 64, 512),
    "t4-16gb": ("T4", 1, 8, 32),
    "l4-24gb": ("L4", 1, 16, 64),
    "a10g-24gb": ("A10G", 1, 16, 64),
    "rtx-pro-6000-96gb": ("RTX PRO 6000", 1, 32, 128),
    "2x-l40s": ("L40S", 2, 32, 256),
    "4x-rtx-3090": ("RTX 3090", 4, 32, 128),
    "strix-halo-128gb": ("Ryzen AI Max+ 395 128GB", 1, 16, 128),
    "gb10-128gb": ("GB10", 1, 20, 128),
    "apple-16gb": ("Apple M4 16GB", 1, 10, 16),
    "apple-64gb": ("Apple M4 Max 64GB", 1, 16, 64),
}
PURPOSES: tuple[Purpose, ...] = ("agent", "chat", "completion")


pytestmark = pytest.mark.usefixtures("home")


def plans(name: str, purpose: Purpose, users: int = 1) -> list[Plan]:
    gpu, count, cores, memory_gib = HOSTS[name]
    spec = find_gpu(gpu) if gpu else None
    apple = spec is not None and spec.vendor == "apple"
    memory = Memory(memory_gib * GIB, int(0.85 * memory_gib * GIB))
    host = Host(
        system="Darwin" if apple else "Linux",
        arch="arm64" if apple else "x86_64",
        cpu=Cpu("Apple" if apple else "imagined", cores, cores, avx2=not apple),
        memory=memory,
        gpus=tuple(spec.gpu(index) for index in range(count)) if spec else (),
    )
    return rank(
        host, candidates_of(known_models()), Requirements(purpose=purpose, users=users), spec
    )


def described(name: str) -> str:
    blocks = []
    for purpose in PURPOSES:
        lines = [f"{purpose}:", *(_line(plan) for plan in plans(name, purpose)[:3])]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"


def _line(plan: Plan) -> str:
    memory = plan.memory
    assert plan.decode_tokens_per_s is not None
    assert plan.speed is not None
    return (
        f"  {plan.model.id} ({plan.model.quantization}) on {plan.engine}, {plan.gpus or 'no'} GPU: "
        f"context {plan.max_model_len}, {plan.parallel} at once, "
        f"cache {_cache(plan)}; "
        f"weights {memory.weights_bytes / GIB:.1f} + cache {memory.kv_cache_bytes / GIB:.1f} of "
        f"{memory.budget_bytes / GIB:.1f} GiB; {plan.decode_tokens_per_s:.0f} tokens/s, "
        f"first after {plan.speed.first_token_s.expected:.2g} s" + ("" if plan.usable else "; slow")
    )


def _cache(plan: Plan) -> str:
    if plan.engine == "vllm":
        return str(plan.argument("kv_cache_dtype") or "16 bit")
    return "16 bit" if plan.argument("cache_type_k") == 1 else "q8_0"


@pytest.mark.parametrize("name", HOSTS)
def test_the_plan_is_the_one_that_was_reviewed(name: str) -> None:
    path, now = GOLDEN / f"{name}.txt", described(name)
    if os.environ.get("STOKER_WRITE_GOLDEN"):
        path.write_text(now)
    assert now == path.read_text()


@pytest.mark.parametrize("name", HOSTS)
@pytest.mark.parametrize("purpose", PURPOSES)
def test_every_plan_stays_in_its_budget_and_gives_a_reason_for_each_argument(
    name: str, purpose: Purpose
) -> None:
    for plan in plans(name, purpose):
        assert plan.memory.total_bytes <= plan.memory.budget_bytes
        assert plan.memory.kv_cache_bytes > 0
        assert all(len(argument.reason) > 10 for argument in plan.arguments)
        assert plan.max_concurrency is None or plan.max_concurrency >= 1


def test_vllm_takes_no_more_than_is_free_once_its_own_context_is_there() -> None:
    """Measured: of an H100 with 18.7 GiB free by the driver, vLLM 0.26 finds 18.15 of 79.18."""
    spec = find_gpu("H100")
    gpu = replace(spec.gpu(0), memory_total_bytes=81559 * 2**20, memory_free_bytes=int(18.7 * GIB))
    host = Host(
        system="Linux",
        arch="x86_64",
        cpu=Cpu("imagined", 16, 16),
        memory=Memory(128 * GIB, 120 * GIB),
        gpus=(gpu,),
    )
    ranked = rank(host, candidates_of(known_models()), Requirements(), spec)
    shares = {p.argument("gpu_memory_utilization") for p in ranked if p.engine == "vllm"}
    assert shares == {0.22}
    assert 0.22 * 79.18 < 18.15


def test_a_plan_predicts_for_its_own_load_what_it_states() -> None:
    plan = next(p for p in plans("h100", "agent") if p.engine == "vllm")
    assert plan.speed is not None
    own = Traffic(plan.speed.concurrency, plan.speed.prompt_tokens, NEEDS["agent"].answer_tokens)
    own = replace(own, prefix_hit=NEEDS["agent"].prefix_hit)
    assert speed_under(plan, find_gpu("H100"), own) == plan.speed
    small = speed_under(plan, find_gpu("H100"), Traffic(1, 200, 32))
    assert small is not None
    assert small.first_token_s.expected < plan.speed.first_token_s.expected


@pytest.mark.parametrize("name", ["l4-24gb", "a10g-24gb"])
def test_a_small_card_of_a_datacenter_gets_four_bits_for_one_user_and_vllm_for_several(
    name: str,
) -> None:
    assert plans(name, "agent")[0].engine == "llama.cpp"
    assert {plan.engine for plan in plans(name, "agent", users=3)} == {"vllm"}


@pytest.mark.parametrize("name", ["strix-halo-128gb", "gb10-128gb"])
def test_an_agent_on_slow_memory_gets_a_mixture_that_is_quick_enough_for_it(name: str) -> None:
    first = plans(name, "agent")[0]
    assert first.model.architecture is not None
    assert first.model.architecture.experts is not None
    assert (first.decode_tokens_per_s or 0) >= NEEDS["agent"].comfortable_tokens_per_s


@pytest.mark.parametrize("name", HOSTS)
def test_the_weight_of_slowness_decides_no_first_choice_within_its_bounds(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = plans(name, "agent")[0].model
    for points in (6.0, 12.0):
        monkeypatch.setattr(ranking, "_SLOW_POINTS", points)
        assert plans(name, "agent")[0].model == chosen


def test_one_user_of_two_cards_gets_both_and_eight_bits_before_sixteen() -> None:
    """What two cards read in the time of one is half of it; a second copy would idle."""
    first = plans("2x-l40s", "agent")[0]
    assert (first.model.quantization, first.gpus) == ("fp8", 2)


@pytest.mark.parametrize("name", ["rtx-4090-24gb", "h100", "8x-h200"])
def test_more_users_never_get_a_longer_context_of_the_same_model(name: str) -> None:
    few = {p.model.id: p for p in plans(name, "agent", users=3)}
    many = {p.model.id: p for p in plans(name, "agent", users=60)}
    shared = few.keys() & many.keys()
    assert shared
    for model in shared:
        if few[model].gpus == many[model].gpus and few[model].engine == many[model].engine:
            assert many[model].max_model_len <= few[model].max_model_len


@pytest.mark.parametrize(
    ("name", "purpose", "users"), [("rtx-5090-32gb", "chat", 300), ("8x-h200", "agent", 700)]
)
def test_requests_at_once_have_room_in_the_cache(name: str, purpose: Purpose, users: int) -> None:
    for plan in plans(name, purpose, users=users):
        if plan.usable and plan.most_at_once is not None:
            assert plan.speed is not None
            assert plan.most_at_once >= plan.speed.concurrency


def test_more_than_a_server_takes_at_once_is_refused_with_what_it_has_room_for() -> None:
    with pytest.raises(StokerError) as refused:
        plans("8x-h200", "agent", users=3000)
    assert "has room for" in refused.value.why
    assert "of 1,000 at once" in refused.value.why


def test_a_named_model_is_planned_with_the_context_that_fits() -> None:
    """The model that people with 8 GB began with: agents want more than its own limit."""
    spec = find_gpu("RTX 4060 8GB")
    forms = [
        form
        for form in candidates_of(known_models())
        if form.model.id == "TheBloke/deepseek-coder-6.7B-instruct-AWQ"
    ]
    memory = Memory(16 * GIB, 13 * GIB)
    host = Host("Linux", "x86_64", Cpu("imagined", 8, 8, avx2=True), memory, gpus=(spec.gpu(0),))
    [plan] = rank(host, forms, Requirements(purpose="agent", named=True), spec)
    assert 8_192 <= plan.max_model_len < 16_384
