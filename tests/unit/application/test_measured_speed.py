"""What a start and a benchmark measured corrects later plans on this machine, within bounds."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from stoker import paths
from stoker.application import LaunchRequest, choose, imagined_machine, measured_speed
from stoker.host import Cpu
from stoker.planning import Plan
from stoker.planning.requirements import NEEDS

pytestmark = pytest.mark.usefixtures("home")

#: A machine of this kind that is this one.
HERE = replace(imagined_machine("H100"), here=True)
HOST = HERE.host
NEED = NEEDS["agent"]


def plans() -> list[Plan]:
    return list(choose(LaunchRequest(purpose="agent"), HERE).startable)


def of_vllm(found: list[Plan]) -> list[Plan]:
    return [plan for plan in found if plan.engine == "vllm" and plan.gpus == 1]


def rate(plan: Plan) -> float:
    assert plan.decode_tokens_per_s is not None
    return plan.decode_tokens_per_s


def test_a_benchmark_corrects_its_model_wholly_and_others_on_the_engine_by_half() -> None:
    first, second, *_ = of_vllm(plans())
    measured_speed.remember(first, HOST, token=1.44, first_token=2.0)
    same, other = measured_speed.corrected([first, second], HOST, NEED)
    assert rate(same) == pytest.approx(rate(first) / 1.44)
    assert rate(other) == pytest.approx(rate(second) / 1.2)
    assert same.speed is not None
    assert first.speed is not None
    assert same.speed.first_token_s.high == pytest.approx(2 * first.speed.first_token_s.high)
    assert "Measured here" in same.reasons[-1]
    assert "stoker bench" in same.reasons[-1]
    assert "by half" in other.reasons[-1]


def test_the_choice_on_this_machine_is_corrected_and_one_for_another_is_not() -> None:
    first = of_vllm(plans())[0]
    measured_speed.remember(first, HOST, token=1.5)
    (here,) = [p for p in plans() if p.model == first.model and p.engine == "vllm"]
    assert rate(here) == pytest.approx(rate(first) / 1.5)
    elsewhere = choose(LaunchRequest(purpose="agent"), replace(HERE, here=False)).startable
    assert next(p for p in elsewhere if p.model == first.model).corrected_by == (1.0, 1.0)
    other_host = replace(HOST, cpu=Cpu("another", 4, 8, avx2=True))
    assert measured_speed.corrected([first], other_host, NEED) == [first]


def test_a_model_that_proved_too_slow_is_no_longer_the_first_choice() -> None:
    here = replace(imagined_machine("L40S"), here=True)
    request = LaunchRequest(purpose="agent")
    first = choose(request, here).plan
    measured_speed.remember(first, here.host, token=2.4)
    now = choose(request, here)
    assert now.plan.model != first.model
    measured = next(p for p in now.startable if p.model == first.model)
    assert rate(measured) < rate(now.plan) < rate(first)


def test_no_correction_is_larger_than_the_bound() -> None:
    first = of_vllm(plans())[0]
    measured_speed.remember(first, HOST, token=100.0, first_token=0.001)
    (bounded,) = measured_speed.corrected([first], HOST, NEED)
    assert bounded.corrected_by == pytest.approx((1 / 2.5, 2.5))


def test_a_measurement_of_a_corrected_plan_counts_from_the_prediction() -> None:
    first = of_vllm(plans())[0]
    measured_speed.remember(first, HOST, token=1.2)
    (once,) = measured_speed.corrected([first], HOST, NEED)
    measured_speed.remember(once, HOST, token=1.1)
    (twice,) = measured_speed.corrected([first], HOST, NEED)
    assert rate(twice) == pytest.approx(rate(first) / 1.32)


def test_answers_after_starts_count_until_there_is_a_benchmark() -> None:
    first = of_vllm(plans())[0]
    assert measured_speed.predictor(first, HOST) is not None
    for _ in range(3):
        measured_speed.remember_answer(first, HOST, 200, 50.0)
    (after_up,) = measured_speed.corrected([first], HOST, NEED)
    assert rate(after_up) < rate(first)
    assert "stoker up" in after_up.reasons[-1]
    measured_speed.remember(first, HOST, token=1.0)
    measured_speed.remember_answer(first, HOST, 200, 50.0)
    (after_bench,) = measured_speed.corrected([first], HOST, NEED)
    assert rate(after_bench) == pytest.approx(rate(first))


def test_one_slow_answer_changes_nothing() -> None:
    first = of_vllm(plans())[0]
    measured_speed.remember_answer(first, HOST, 200, 1.0)
    assert measured_speed.corrected([first], HOST, NEED) == [first]
    for _ in range(2):
        measured_speed.remember_answer(first, HOST, 200, rate(first))
    (after,) = measured_speed.corrected([first], HOST, NEED)
    assert rate(after) > rate(first) / 1.3  # 2.5 would be what the slow one alone shows


def test_answers_of_long_ago_are_dropped() -> None:
    first = of_vllm(plans())[0]
    for tokens_per_s in (*[1.0] * 5, *[rate(first)] * 3):
        measured_speed.remember_answer(first, HOST, 200, tokens_per_s)
    (after,) = measured_speed.corrected([first], HOST, NEED)
    assert rate(after) > rate(first) / 1.3


def test_commands_that_end_at_once_all_keep_what_they_measured() -> None:
    found = of_vllm(plans())[:6]
    assert len(found) == 6
    with ThreadPoolExecutor(6) as pool:
        done = [pool.submit(measured_speed.remember, plan, HOST, token=1.5) for plan in found]
        for one in done:
            one.result()
    assert not any("by half" in p.reasons[-1] for p in measured_speed.corrected(found, HOST, NEED))


def test_a_short_answer_changes_nothing() -> None:
    first = of_vllm(plans())[0]
    measured_speed.remember_answer(first, HOST, 5, 50.0)
    assert measured_speed.corrected([first], HOST, NEED) == [first]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        *(("1.5", "-1"), ("1.5", "0"), ("1.5", "1e300"), ("1.5", '"x"'), ("1.5", "["), ("{", "3")),
        *(("1.5", '1.5,"more":' + "[" * 100_000), ("vllm", "\udcff")),
    ],
)
def test_a_damaged_file_changes_nothing_and_is_written_again(old: str, new: str) -> None:
    first = of_vllm(plans())[0]
    measured_speed.remember(first, HOST, token=1.5)
    file = paths.config_dir() / "measured.json"
    damaged = file.read_text().replace(old, new, 1)
    assert damaged != file.read_text()
    file.write_bytes(damaged.encode(errors="surrogateescape"))
    assert measured_speed.corrected([first], HOST, NEED) == [first]
    measured_speed.remember(first, HOST, token=1.5)
    assert measured_speed.corrected([first], HOST, NEED) != [first]


def test_what_was_measured_can_be_forgotten() -> None:
    first = of_vllm(plans())[0]
    measured_speed.remember(first, HOST, token=1.5)
    assert measured_speed.forget()
    assert not measured_speed.forget()
    assert measured_speed.corrected([first], HOST, NEED) == [first]
