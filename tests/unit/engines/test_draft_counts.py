"""What engines report of their drafts, and what drafts cost by their own models of speed."""

from __future__ import annotations

import json
from dataclasses import replace

import aiohttp
import pytest
from tests.support.shown_gateways import SmallVllm

from stoker import engines
from stoker.application import (
    LaunchRequest,
    choose,
    imagined_machine,
    tuned_arguments,
    tuning,
)
from stoker.engines import Backend, Options, ProcessLaunch, learned_drafts
from stoker.engines.draft_counts import counts_in, draft_counts
from stoker.engines.llama_cpp import llama_drafts, llama_launch, xllamacpp_package
from stoker.engines.llama_cpp.llama_container import flags
from stoker.engines.llama_cpp.llama_drafts import KIND, NUMBER, draft_arguments
from stoker.engines.vllm import vllm_drafts
from stoker.models import find_known_model
from stoker.planning import Argument, Plan
from stoker.planning.draft_use import DraftCost, DraftCounts, DraftUse

#: As vLLM 0.32 with two API servers' engines and llama.cpp b11549 write them.
VLLM = b"""
# TYPE vllm:spec_decode_num_drafts_total counter
vllm:spec_decode_num_drafts_total{engine="0",model_name="m"} 821.0
vllm:spec_decode_num_drafts_total{engine="1",model_name="m"} 179.0
vllm:spec_decode_num_drafts_created{engine="0",model_name="m"} 1.7e+09
vllm:spec_decode_num_draft_tokens_total{engine="0",model_name="m"} 1640.0
vllm:spec_decode_num_draft_tokens_total{engine="1",model_name="m"} 360.0
vllm:spec_decode_num_accepted_tokens_total{engine="0",model_name="m"} 373.0
vllm:spec_decode_num_accepted_tokens_total{engine="1",model_name="m"} 27.0
vllm:spec_decode_num_accepted_tokens_per_pos_total{engine="0",model_name="m",position="0"} 279.0
"""
LLAMA = b"""
# TYPE llamacpp:spec_decode_num_draft_tokens_total counter
llamacpp:spec_decode_num_draft_tokens_total 1640
llamacpp:spec_decode_num_accepted_tokens_total 373
llamacpp:spec_decode_num_drafts_total 821
llamacpp:spec_decode_num_accepted_tokens_per_pos_total{position="0"} 279
"""
#: A machine of this kind that is this one.
HERE = replace(imagined_machine("RTX 4090"), here=True)
SERVER = replace(imagined_machine("RTX PRO 6000"), here=True)


def test_counts_of_all_copies_are_added_and_those_of_positions_are_not() -> None:
    assert counts_in(VLLM, "vllm:") == DraftCounts(1000, 2000, 400)
    assert counts_in(LLAMA, "llamacpp:") == DraftCounts(821, 1640, 373)


@pytest.mark.parametrize("metrics", [b"", LLAMA.partition(b"llamacpp:spec_decode_num_drafts")[0]])
def test_a_server_that_does_not_report_all_of_them_reports_none(metrics: bytes) -> None:
    assert counts_in(metrics, "llamacpp:") is None


async def test_a_server_without_counters_or_of_an_engine_without_drafts_has_no_counts() -> None:
    with SmallVllm() as server:
        async with aiohttp.ClientSession() as http:
            assert await draft_counts(http, Backend(server.url, "vllm")) is None
            assert await draft_counts(http, Backend(server.url, "openai")) is None
            with pytest.raises(aiohttp.ClientError):
                await draft_counts(http, Backend("http://127.0.0.1:9", "vllm"))


def of_llama() -> Plan:
    request = LaunchRequest(model="qwen3.8-27b", engine="llama.cpp", purpose="agent")
    return choose(request, HERE).plan


def of_vllm() -> Plan:
    request = LaunchRequest(model="qwen3.8-27b", engine="vllm", purpose="agent")
    return next(p for p in choose(request, SERVER).startable if vllm_drafts.DRAFTING.drafts(p))


@pytest.mark.usefixtures("home")
def test_the_cost_of_drafts_is_the_one_that_the_plan_was_made_with() -> None:
    plan = of_llama()
    drafting = llama_drafts.DRAFTING
    assert drafting.drafts(plan)
    cost = drafting.cost(plan, HERE.host, HERE.gpu)
    assert cost is not None and plan.undrafted_tokens_per_s is not None
    drafts = plan.argument(NUMBER)
    assert isinstance(drafts, int)
    as_planned = DraftCounts(1000, 1000 * drafts, round(1000 * (cost.tokens_per_step - 1)))
    gain = (plan.decode_tokens_per_s or 0) / plan.undrafted_tokens_per_s
    assert cost.gain(as_planned) == pytest.approx(gain, rel=0.01)


@pytest.mark.usefixtures("home")
def test_the_cost_of_vllms_own_layers_is_that_of_its_steps() -> None:
    plan = of_vllm()
    cost = vllm_drafts.DRAFTING.cost(plan, SERVER.host, SERVER.gpu)
    assert cost is not None
    number = json.loads(str(plan.argument("speculative_config")))["num_speculative_tokens"]
    as_planned = DraftCounts(1000, 1000 * number, round(1000 * (cost.tokens_per_step - 1)))
    # Published for Qwen3.8-27B on an RTX PRO 6000: 53 tokens/s without, and 78 with three.
    assert cost.gain(as_planned) == pytest.approx(78 / 53, rel=0.1)


@pytest.mark.parametrize(
    "value", ['{"method": "eagle3", "num_speculative_tokens": 3}', "{", "[]", '{"method": "mtp"}']
)
def test_the_cost_of_what_is_not_known_is_not_known(value: str) -> None:
    plan = replace(of_vllm(), arguments=(Argument("speculative_config", value, ""),))
    assert vllm_drafts.DRAFTING.cost(plan, SERVER.host, SERVER.gpu) is None
    ngram = of_llama().with_arguments([Argument(KIND, "ngram-mod", "")])
    assert llama_drafts.DRAFTING.drafts(ngram)
    assert llama_drafts.DRAFTING.cost(ngram, HERE.host, HERE.gpu) is None


@pytest.mark.usefixtures("home")
def test_a_plan_without_its_drafts_has_the_speed_without() -> None:
    plan = of_llama()
    without = llama_drafts.DRAFTING.without(plan)
    assert without.argument(KIND) is None and without.argument(NUMBER) is None
    assert without.decode_tokens_per_s == plan.undrafted_tokens_per_s
    assert without.speed is not None and without.decode_tokens_per_s is not None
    assert 1 / without.speed.token_s.expected == pytest.approx(without.decode_tokens_per_s)
    assert not vllm_drafts.DRAFTING.drafts(vllm_drafts.DRAFTING.without(of_vllm()))


def test_llama_cpp_counts_drafts_only_where_it_drafts() -> None:
    if not xllamacpp_package.installed():
        pytest.skip("xllamacpp is not installed")
    plan = replace(of_llama(), model=find_known_model("qwen3.8-27b")[0].model())

    def given(plan: Plan) -> dict[str, object]:
        launch = llama_launch.launch(plan, port=1, key="k", options=Options())
        assert isinstance(launch, ProcessLaunch)
        return {a.name: a.value for a in launch.arguments}

    assert given(plan)["endpoint_metrics"] is True
    assert "endpoint_metrics" not in given(llama_drafts.DRAFTING.without(plan))
    assert flags([Argument("endpoint_metrics", True, "")]) == ("--metrics",)


USE = DraftUse(DraftCounts(2100, 4200, 840), DraftCost(0.65, 2.44))


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("engine", ["llama.cpp", "vllm"])
def test_later_plans_on_this_machine_have_no_drafts_that_cost_and_give_the_reason(
    engine: str,
) -> None:
    machine, plan = (HERE, of_llama()) if engine == "llama.cpp" else (SERVER, of_vllm())
    drafting = engines.lookup(engine).drafting
    assert drafting is not None
    learned_drafts.remember(plan, machine.host, USE)
    request = LaunchRequest(model=plan.model.id, engine=plan.engine, purpose="agent")

    def same(here: bool) -> Plan:
        found = choose(request, replace(machine, here=here)).startable
        return next(p for p in found if p.model.id == plan.model.id)

    assert not drafting.drafts(same(here=True))
    (reason,) = [r for r in same(here=True).reasons if r.startswith("Measured here on")]
    assert "1.40 tokens a step with 2.0 drafts, 2,100 steps: about 0.61 x the speed" in reason
    assert drafting.drafts(same(here=False))
    learned_drafts.allow(plan, machine.host)
    assert drafting.drafts(same(here=True))


@pytest.mark.usefixtures("home")
def test_what_drafts_cost_on_another_machine_or_with_another_model_changes_nothing() -> None:
    plan = of_llama()
    learned_drafts.remember(plan, SERVER.host, USE)
    learned_drafts.remember(replace(plan, model=replace(plan.model, id="another")), HERE.host, USE)
    assert of_llama().arguments == plan.arguments
    assert learned_drafts.forget()
    assert not learned_drafts.forget()


@pytest.mark.usefixtures("home")
def test_drafts_that_tune_found_before_they_cost_are_left_out() -> None:
    plan = of_llama()
    bare = llama_drafts.DRAFTING.without(plan)
    learned_drafts.remember(plan, HERE.host, USE)
    later = of_llama()
    tuned = tuned_arguments.found(
        tuned_arguments.Tuned(), bare, bare.with_arguments(draft_arguments(2, "")), 1.2
    )
    tuned_arguments.remember(later, HERE.host, tuned)
    assert not llama_drafts.DRAFTING.drafts(of_llama())
    # A later run that finds other arguments only does not bring them back.
    threads = [Argument("cpuparams.n_threads", 1, "")]
    tuning._allow_drafts(plan, plan.with_arguments(threads), HERE.host)
    assert not llama_drafts.DRAFTING.drafts(of_llama())
    tuning._allow_drafts(bare, bare.with_arguments(draft_arguments(2, "")), HERE.host)
    assert llama_drafts.DRAFTING.drafts(of_llama())
    assert learned_drafts.are_faster(plan, HERE.host)
