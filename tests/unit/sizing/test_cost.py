"""What hardware costs a month: from dated prices, and no number where one is missing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.errors import UsageError
from stoker.host import GpuSpec, HourlyRent, PriceRange, find_gpu, known_gpus
from stoker.sizing.cost import (
    ApiPrice,
    GpuServer,
    TokenVolume,
    api_cost_usd,
    monthly_cost,
    shipped_costs,
    why_not_priced,
    with_own,
)

pytestmark = pytest.mark.usefixtures("home")

CARD = GpuSpec(
    "Card",
    "nvidia",
    "datacenter",
    power_w=400,
    price=PriceRange(9_000, 11_000, "2026", "https://example.com"),
    rent=HourlyRent(2.0, "2026", "https://example.com"),
)
ROUND: dict[str, Any] = {
    "months": 40,
    "hours_per_month": 700,
    "electricity": 0.2,
    "pue": 1.5,
    "rack": 100,
    "gpu_idle_share": 0.1,
    "gpu_busy_share": 0.9,
    "hosts": [
        {"name": "box", "gpus": ["datacenter"], "sizes": [2], "usd": 20_000, "power_w": 200.0}
    ],
}
COSTS = with_own(shipped_costs(), ROUND)


def test_bought_servers_cost_their_price_over_the_months_their_energy_and_their_rack() -> None:
    cost = monthly_cost(GpuServer(CARD, 2), 3, "bought", COSTS, busy=0.5)
    assert cost is not None
    assert cost.capital_usd == 3 * (2 * 10_000 + 20_000)
    assert cost.hardware_usd == cost.capital_usd / 40
    # Half busy is half way between 10 % and 90 % of 400 W; the box draws its 200 W all the time.
    assert cost.energy_kwh == pytest.approx(3 * (2 * 200 + 200) * 1.5 / 1000 * 700)
    assert cost.electricity_usd == pytest.approx(3 * (2 * 200 + 200) * 1.5 / 1000 * 700 * 0.2)
    assert cost.rack_usd == pytest.approx(3 * 1.0 * 100)
    assert cost.total_usd == cost.hardware_usd + cost.electricity_usd + cost.rack_usd


def test_rented_servers_cost_their_hours_and_nothing_at_the_beginning() -> None:
    cost = monthly_cost(GpuServer(CARD, 2), 3, "rented", COSTS)
    assert cost is not None
    assert cost.total_usd == 2.0 * 2 * 3 * 700
    assert (cost.capital_usd, cost.electricity_usd, cost.rack_usd) == (0, 0, 0)
    assert cost.energy_kwh is not None


def test_what_stands_under_a_desk_pays_no_rack_and_no_cooling() -> None:
    desk = with_own(COSTS, {"hosts": [{**ROUND["hosts"][0], "rack": False}]})
    cost = monthly_cost(GpuServer(CARD, 2), 1, "bought", desk, busy=0)
    assert cost is not None
    assert cost.rack_usd == 0
    assert cost.energy_kwh == pytest.approx((2 * 40 + 200) / 1000 * 700)


@pytest.mark.parametrize(
    ("gpu", "count", "terms", "why"),
    [
        (replace(CARD, price=None), 2, "bought", "its price is not known"),
        (replace(CARD, rent=None), 2, "rented", "its rent is not known"),
        (replace(CARD, power_w=None), 2, "bought", "its power is not known"),
        (CARD, 64, "bought", "no server with 64 of it is in the price list"),
    ],
)
def test_a_price_that_is_not_known_makes_no_number(
    gpu: GpuSpec, count: int, terms: Any, why: str
) -> None:
    assert monthly_cost(GpuServer(gpu, count), 1, terms, COSTS) is None
    assert why_not_priced(GpuServer(gpu, count), terms, COSTS) == why


def test_gpus_that_are_sold_on_boards_of_eight_have_no_price_in_other_numbers() -> None:
    h100 = find_gpu("H100")
    assert monthly_cost(GpuServer(h100, 8), 1, "bought", shipped_costs()) is not None
    assert monthly_cost(GpuServer(h100, 2), 1, "bought", shipped_costs()) is None
    assert monthly_cost(GpuServer(h100, 2), 1, "rented", shipped_costs()) is not None


@given(
    servers=st.integers(1, 50),
    busy=st.floats(0, 1),
    gpu=st.sampled_from([gpu for gpu in known_gpus() if gpu.price and gpu.power_w]),
    terms=st.sampled_from(["bought", "rented"]),
)
def test_more_servers_and_more_work_never_cost_less(
    servers: int, busy: float, gpu: GpuSpec, terms: Any
) -> None:
    def total(count: int, share: float) -> float:
        cost = monthly_cost(GpuServer(gpu, 8), count, terms, shipped_costs(), share)
        return cost.total_usd if cost else 0.0

    assert total(servers, busy) <= total(servers + 1, busy)
    assert total(servers, busy / 2) <= total(servers, busy)


def test_an_api_charges_what_is_new_as_written_and_what_is_cached_as_read() -> None:
    api = ApiPrice("any", 2.0, 10.0, cached_input_per_million=0.2, cache_write_per_million=2.5)
    assert api_cost_usd(TokenVolume(10e6, 9e6, 0.5e6), api) == pytest.approx(2.5 + 1.8 + 5.0)
    plain = ApiPrice("any", 2.0, 10.0)
    assert api_cost_usd(TokenVolume(10e6, 9e6, 0.5e6), plain) == pytest.approx(20.0 + 5.0)


def test_the_users_own_price_of_a_gpu_counts_before_the_catalogues() -> None:
    own = with_own(COSTS, {"gpus": {"Card": {"usd": 5_000, "usd_per_hour": 1}}})
    bought = monthly_cost(GpuServer(CARD, 2), 1, "bought", own)
    rented = monthly_cost(GpuServer(CARD, 2), 1, "rented", own)
    assert bought is not None
    assert rented is not None
    assert bought.capital_usd == 2 * 5_000 + 20_000
    assert rented.total_usd == 2 * 700


@pytest.mark.parametrize(
    "own",
    [
        {"electricity": -1},
        {"electricity": float("nan")},
        {"electricity": "cheap"},
        {"electricty": 0.2},
        {"gpus": {"H100": {"usd": -1}}},
        {"gpus": 7},
        {"hosts": [{"name": "box"}]},
        {"apis": [{"name": "x", "input_per_million": -2, "output_per_million": 1}]},
        {"hosts": 3},
    ],
)
def test_a_price_list_that_cannot_be_one_is_refused(own: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="price list"):
        with_own(shipped_costs(), own)


def test_every_shipped_price_has_a_date_and_a_source() -> None:
    costs = shipped_costs()
    facts = [getattr(costs, name) for name in ("electricity", "pue", "rack", "gpu_idle_share")]
    for fact in (*facts, *costs.hosts, *costs.apis):
        assert "20" in fact.date
        assert fact.source.startswith("http")
    for gpu in known_gpus():
        if gpu.rent is not None:
            assert 0 < gpu.rent.usd_per_hour < 100
            assert gpu.rent.date.startswith("20")
            assert gpu.rent.source.startswith("https://")
