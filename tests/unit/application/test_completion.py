"""What completes code beside the model that chats, on machines of every kind, and what it costs."""

from __future__ import annotations

import pytest
from tests.unit.application.test_one_choice import bare

from stoker import engines
from stoker.application import Choice, HostFacts, LaunchRequest, choose, imagined_machine
from stoker.application.completion import AUTO
from stoker.errors import StokerError, UsageError

GPU_8_GB = imagined_machine("RTX 4060 8GB")
GPU_24_GB = imagined_machine("RTX 4090")
CPU_16_GB = HostFacts(bare(8, 16), here=False)

pytestmark = pytest.mark.usefixtures("home")


def chosen(machine: HostFacts, completion: str = AUTO, model: str | None = None) -> Choice:
    return choose(LaunchRequest(model, completion=completion), machine)


def why(choice: Choice) -> tuple[str, ...]:
    assert choice.completion is not None
    return choice.completion.reasons


def test_without_the_option_nothing_completes() -> None:
    assert choose(LaunchRequest(), GPU_8_GB).completion is None


def test_on_a_gpu_of_8_gb_which_the_chat_fills_it_is_on_the_cpu() -> None:
    assert why(chosen(GPU_8_GB)) == (
        "Completion: qwen2.5-coder-0.5b (Q4_K_M) on llama.cpp on the CPU, beside the chat's model: "
        "766 MiB.",
        "The chat keeps its model and its context of 32,768 tokens, and writes about 22 instead of "
        "37 tokens/s while a suggestion is computed.",
    )


def test_on_a_gpu_of_24_gb_a_chat_that_fills_it_loses_nothing_to_one_on_the_cpu() -> None:
    assert why(chosen(GPU_24_GB)) == (
        "Completion: qwen2.5-coder-0.5b (Q4_K_M) on llama.cpp on the CPU, beside the chat's model: "
        "766 MiB.",
        "The chat keeps its model and its context of 32,768 tokens.",
    )


def test_on_a_cpu_with_16_gb_it_costs_speed_while_it_works() -> None:
    assert why(chosen(CPU_16_GB)) == (
        "Completion: qwen2.5-coder-0.5b (Q4_K_M) on llama.cpp on the CPU, beside the chat's model: "
        "766 MiB.",
        "The chat keeps its model and its context of 32,768 tokens, and writes about 19 instead of "
        "31 tokens/s while a suggestion is computed.",
    )


def test_where_the_gpu_has_room_it_takes_a_small_part_of_it() -> None:
    choice = chosen(imagined_machine("H100"), model="qwen3-14b")
    assert choice.completion is not None and choice.completion.plan is not None
    plan = choice.completion.plan
    assert plan.gpus == 1 and plan.usable
    assert plan.memory.total_bytes < 0.2 * 80e9


@pytest.mark.parametrize("machine", [GPU_8_GB, GPU_24_GB, CPU_16_GB], ids=["8gb", "24gb", "cpu"])
def test_auto_leaves_the_chat_as_it_is_where_something_small_fits_beside_it(
    machine: HostFacts,
) -> None:
    alone, beside = choose(LaunchRequest(), machine).plan, chosen(machine).plan
    assert (beside.model, beside.max_model_len, beside.parallel) == (
        alone.model,
        alone.max_model_len,
        alone.parallel,
    )


def test_a_chat_model_that_completes_quickly_needs_none_beside_it() -> None:
    choice = chosen(GPU_24_GB, model="qwen2.5-coder-7b")
    assert choice.completion is not None
    assert choice.completion.uses_chat_model and choice.completion.plan is None
    assert choice.plans == (choice.plan,)


def test_an_engine_without_slots_takes_completions_first() -> None:
    alone = choose(LaunchRequest("qwen2.5-coder-7b"), GPU_24_GB).plan
    plan = chosen(GPU_24_GB, model="qwen2.5-coder-7b").plan
    assert (plan.engine, plan.completion_slots) == ("vllm", 0)
    assert alone.argument("scheduling-policy") is None
    assert plan.argument("scheduling-policy") == "priority"
    order = engines.lookup("vllm").completion_order
    assert order is not None
    assert (order.fields(alone), order.fields(plan)) == ({}, {"priority": -1})


def test_a_chat_model_in_an_engine_with_slots_gets_one_more_for_completion() -> None:
    request = LaunchRequest("qwen2.5-coder-7b", engine="llama.cpp", completion=AUTO)
    alone = choose(LaunchRequest("qwen2.5-coder-7b", engine="llama.cpp"), GPU_24_GB).plan
    choice = choose(request, GPU_24_GB)
    assert (choice.plan.completion_slots, choice.plan.parallel) == (1, alone.parallel + 1)
    assert choice.plan.max_model_len == alone.max_model_len
    assert choice.completion is not None and choice.completion.cost is not None
    assert choice.completion.cost.memory_bytes > 0


def test_a_chat_model_that_would_complete_slowly_gets_a_small_one_beside_it() -> None:
    choice = chosen(CPU_16_GB, model="qwen2.5-coder-7b")
    assert choice.completion is not None and choice.completion.plan is not None
    assert choice.completion.plan.model.served_name == "qwen2.5-coder-0.5b"


def test_the_model_that_chats_may_be_named_for_completion() -> None:
    choice = chosen(CPU_16_GB, "qwen2.5-coder-1.5b", model="qwen2.5-coder-1.5b")
    assert choice.completion is not None and choice.completion.uses_chat_model
    assert choice.plan.completion_slots == 1


def test_a_large_one_that_is_named_makes_the_chat_smaller_and_reports_it() -> None:
    alone, choice = choose(LaunchRequest(), GPU_8_GB).plan, chosen(GPU_8_GB, "qwen2.5-coder-7b")
    assert choice.completion is not None and choice.completion.cost is not None
    assert choice.completion.cost.instead_of == alone.model.served_name
    expected = f"{choice.plan.model.served_name} instead of {alone.model.served_name}"
    assert expected in why(choice)[1]


def test_a_model_without_the_form_is_refused_with_two_that_have_it() -> None:
    with pytest.raises(UsageError) as refused:
        chosen(GPU_24_GB, "qwen3-8b")
    both = "--completion qwen2.5-coder-0.5b or --completion qwen2.5-coder-1.5b"
    assert both in refused.value.problem.fix


def test_one_that_is_named_and_does_not_fit_is_refused() -> None:
    with pytest.raises(StokerError, match="does not fit"):
        chosen(CPU_16_GB, "qwen2.5-coder-14b")


def test_where_no_memory_is_left_the_chat_goes_alone_and_the_choice_reports_it() -> None:
    choice = chosen(HostFacts(bare(2, 2), here=False))
    assert choice.plans == (choice.plan,)
    assert why(choice)[0].startswith("Completion: none. No memory is left")


def test_a_slow_one_states_its_speed() -> None:
    choice = chosen(HostFacts(bare(2, 4), here=False))
    assert why(choice)[-1].startswith("Suggestions are slow here: about 114 tokens/s")


def test_what_is_downloaded_is_both() -> None:
    choice = chosen(CPU_16_GB)
    assert len(choice.plans) == 2
    alone = choose(LaunchRequest(), CPU_16_GB)
    assert choice.download_bytes > alone.download_bytes
