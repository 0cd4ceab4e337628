"""The least hardware that keeps its targets: checked against looking at everything."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.generators import returned

from stoker.host import GpuSpec
from stoker.models import Model
from stoker.planning import MemoryPrediction, Plan
from stoker.sizing import StepTimes, VllmReplica
from stoker.sizing.cost import GpuServer
from stoker.sizing.estimates import Estimate
from stoker.sizing.search import Measured, Option, Price, SearchResult, Targets
from stoker.sizing.search import search as searching

TARGETS = Targets(first_token_s=2.0, token_s=0.05)


def search(*arguments: Any) -> SearchResult:
    return returned(searching(*arguments))


def option(
    gpu: str, model: str, *, gpus: int = 1, tensor_parallel: int = 1, score: float = 70
) -> Option:
    found = Model(id=f"org/{model}", format="safetensors", origin="hub", served_name=model)
    plan = Plan(
        model=found,
        engine="vllm",
        max_model_len=32_768,
        parallel=16,
        arguments=(),
        memory=MemoryPrediction(1, 2, 3, 10),
        gpus=tensor_parallel,
        score=score,
    )
    replica = VllmReplica(StepTimes(step_s=0.01, read_s=0.01, token_s=1e-4), 500_000)
    return Option(GpuServer(GpuSpec(gpu, "nvidia", "datacenter"), gpus), plan, replica)


def measured(first_token_s: float, token_s: float) -> Measured:
    exact = [Estimate(value, value, value) for value in (first_token_s, token_s)]
    return Measured(exact[0], exact[1])


class Fleet:
    """Servers whose waits fall with their number, to a floor; it counts how often it is asked."""

    def __init__(self, load: dict[str, float], floor: float = 0.5) -> None:
        self.load, self.floor, self.asked = load, floor, 0

    def __call__(self, one: Option, servers: int) -> Measured:
        self.asked += 1
        load = self.load[one.server.gpu.name] / servers / one.replicas_per_server
        return measured(self.floor + 1.5 * load, 0.02 + 0.03 * min(1.0, load))


def prices(by_gpu: Mapping[str, float]) -> Price:
    return lambda one, servers: (
        by_gpu[one.server.gpu.name] * servers * one.server.gpus
        if one.server.gpu.name in by_gpu
        else None
    )


def found(
    options: list[Option],
    load: dict[str, float],
    usd: dict[str, float],
    targets: Targets = TARGETS,
) -> SearchResult:
    return search(options, targets, Fleet(load), prices(usd))


def test_the_fewest_servers_that_keep_both_targets_and_a_spare_one() -> None:
    result = found([option("A", "m")], {"A": 6.3}, {"A": 100})
    assert result.best is not None
    assert (result.best.needed, result.best.servers, result.best.replicas) == (7, 8, 8)
    assert result.best.usd_per_month == 800
    assert result.runner_up is None


def test_a_server_runs_as_many_copies_as_it_has_room_for() -> None:
    result = found([option("A", "m", gpus=8, tensor_parallel=2)], {"A": 6.3}, {"A": 100})
    assert result.best is not None
    assert (result.best.needed, result.best.replicas) == (2, 12)


def test_the_cheapest_wins_and_the_runner_up_is_on_another_gpu() -> None:
    options = [option("A", "m"), option("A", "m", gpus=2), option("B", "m"), option("A", "n")]
    result = found(options, {"A": 4, "B": 2}, {"A": 100, "B": 300})
    assert [one.option for one in result.sized] == [options[0], options[2]]


def test_where_there_is_one_gpu_the_runner_up_is_another_model() -> None:
    options = [option("A", "m"), option("A", "m", gpus=2), option("A", "n", score=60)]
    result = found(options, {"A": 4}, {"A": 100})
    assert [one.option for one in result.sized] == [options[0], options[2]]


def test_at_equal_cost_the_better_model_wins() -> None:
    options = [option("A", "worse", score=60), option("A", "better", score=80)]
    best = found(options, {"A": 3}, {"A": 100}).best
    assert best is not None
    assert best.option.plan.model.served_name == "better"


def test_a_target_that_nothing_meets_reports_what_comes_nearest_and_what_it_costs() -> None:
    slow = replace(TARGETS, first_token_s=0.4)
    result = search(
        [option("A", "m"), option("B", "m")],
        slow,
        Fleet({"A": 1, "B": 4}),
        prices({"A": 100, "B": 100}),
    )
    assert result.best is None
    nearest = result.failed[0]
    assert nearest.measured.shortfall(slow) > 1
    assert nearest.measured.first_token_s.value < 0.6
    assert nearest.usd_per_month == 100 * nearest.servers


def test_what_has_no_price_is_left_out_and_listed() -> None:
    options = [option("A", "m"), option("unpriced", "m")]
    result = found(options, {"A": 1, "unpriced": 1}, {"A": 100})
    assert result.unpriced == (options[1],)
    assert [one.option for one in result.sized] == [options[0]]


def test_options_that_cannot_be_cheaper_are_never_simulated() -> None:
    options = [option(gpu, "m") for gpu in "ABCDEFGH"]
    fleet = Fleet(dict.fromkeys("ABCDEFGH", 8.0))
    usd = {gpu: 100.0 * 3**number for number, gpu in enumerate("ABCDEFGH")}
    result = search(options, TARGETS, fleet, prices(usd), lambda _option: 8)
    assert (result.options, result.simulated) == (8, 2)
    assert fleet.asked == 2


@given(
    load=st.lists(st.floats(0.1, 40), min_size=3, max_size=3),
    usd=st.lists(st.integers(1, 1000), min_size=3, max_size=3),
    spare=st.integers(0, 2),
)
def test_it_finds_what_looking_at_everything_finds(
    load: list[float], usd: list[int], spare: int
) -> None:
    targets = replace(TARGETS, spare_servers=spare)
    fleet, price = Fleet(dict(zip("ABC", load, strict=True))), dict(zip("ABC", usd, strict=True))
    options = [option(gpu, "m", gpus=gpus) for gpu, gpus in itertools.product("ABC", (1, 2, 4))]
    costs = [
        next(
            prices(price)(one, count + spare) or 0.0
            for count in range(1, 100)
            if fleet(one, count).shortfall(targets) <= 1
        )
        for one in options
    ]
    best = search(options, targets, fleet, prices(price)).best
    assert best is not None
    assert best.usd_per_month == min(costs)


@given(load=st.floats(0.1, 100), factor=st.floats(1, 3))
def test_more_load_and_stricter_targets_never_cost_less(load: float, factor: float) -> None:
    def cost(amount: float, targets: Targets) -> float:
        best = found([option("A", "m")], {"A": amount}, {"A": 100}, targets).best
        assert best is not None
        return best.usd_per_month

    stricter = replace(TARGETS, first_token_s=0.5 + 1.5 / factor)
    assert cost(load, TARGETS) <= cost(load * factor, TARGETS)
    assert cost(load, TARGETS) <= cost(load, stricter)


@pytest.mark.parametrize(("figures", "missed"), [((3, 0.05), "first_token"), ((2, 0.2), "token")])
def test_the_target_that_is_further_off_is_named(figures: tuple[float, float], missed: str) -> None:
    assert measured(*figures).missed(TARGETS) == missed


def sizes(gpu: str, model: str, *counts: int) -> list[Option]:
    """One copy on servers of several sizes, as ``find_options`` makes them."""
    first = option(gpu, model)
    return [replace(first, server=replace(first.server, gpus=count)) for count in counts]


def test_a_copy_that_no_number_of_servers_helps_is_tried_on_servers_of_one_size_only() -> None:
    hopeless = replace(TARGETS, first_token_s=0.4)
    result = search(sizes("A", "m", 1, 2, 4, 8), hopeless, Fleet({"A": 1}), prices({"A": 100}))
    assert (result.options, result.simulated, len(result.failed)) == (4, 1, 1)


def test_one_look_at_the_dearest_fleet_of_interest_rules_an_option_out() -> None:
    asked: list[str] = []
    fleet = Fleet({"A": 4, "B": 4, "C": 4000})

    def measure(one: Option, servers: int) -> Measured:
        asked.append(one.server.gpu.name)
        return fleet(one, servers)

    options = [option("A", "m"), option("B", "m"), option("C", "m")]
    usd = prices({"A": 100, "B": 101, "C": 102})
    result = search(options, TARGETS, measure, usd)
    assert [one.option for one in result.sized] == options[:2]
    assert asked.count("C") == 1


def test_the_fewest_of_many_servers_are_found_to_within_a_sixty_fourth() -> None:
    best = found([option("A", "m")], {"A": 1000.3}, {"A": 100}).best
    assert best is not None
    assert 1001 <= best.needed <= 1001 * (1 + 1 / 64)
