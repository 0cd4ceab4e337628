"""What hardware costs a month, bought or rented, and the same tokens from a cloud API. Pure.

Every price has a date and a source (``data/costs.toml``, ``data/gpus.toml``). A price that is not
known makes no number: ``monthly_cost`` returns ``None``, and the hardware stays out of rankings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal

import msgspec

from stoker.data.facts import load_table
from stoker.errors import UsageError
from stoker.host import GpuSpec

Terms = Literal["bought", "rented"]

_Positive = Annotated[float, msgspec.Meta(gt=0, le=1e9)]
_Amount = Annotated[float, msgspec.Meta(ge=0, le=1e9)]
_Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
_Text = Annotated[str, msgspec.Meta(max_length=1000)]
#: The date of a price that the user gives.
_OWN = "your own"


class CostFact(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One number of the price list, its date and its source."""

    value: _Positive
    date: _Text = _OWN
    source: _Text = ""


class HostOffer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What GPUs are built into: its price and power without them."""

    name: _Text
    #: Names of GPUs, or kinds of them (``datacenter``).
    gpus: tuple[_Text, ...]
    #: With how many GPUs it is sold.
    sizes: tuple[Annotated[int, msgspec.Meta(ge=1, le=64)], ...]
    usd: _Amount
    power_w: _Amount
    rack: bool = True
    date: _Text = _OWN
    source: _Text = ""


class ApiPrice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a cloud API charges for a million tokens, in US dollars."""

    name: _Text
    input_per_million: _Amount
    output_per_million: _Amount
    #: ``None``: it charges cached tokens like others.
    cached_input_per_million: _Amount | None = None
    #: Input that is written to the cache; ``None``: it is charged like other input.
    cache_write_per_million: _Amount | None = None
    date: _Text = _OWN
    source: _Text = ""


class GpuPrice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The user's own price for one kind of GPU, in US dollars."""

    usd: _Amount | None = None
    usd_per_hour: _Amount | None = None
    date: _Text = _OWN
    source: _Text = ""


class CostTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All prices beside those that come with each GPU."""

    months: CostFact
    hours_per_month: CostFact
    electricity: CostFact
    pue: CostFact
    rack: CostFact
    gpu_idle_share: CostFact
    gpu_busy_share: CostFact
    hosts: tuple[HostOffer, ...]
    apis: tuple[ApiPrice, ...]
    #: The user's own prices, by the name of a GPU.
    gpus: Mapping[str, GpuPrice] = {}

    def host_of(self, gpu: GpuSpec, count: int) -> HostOffer | None:
        """What ``count`` of that GPU are built into; ``None`` where none is known."""
        for host in self.hosts:
            if {gpu.name, gpu.kind} & set(host.gpus):
                if count in host.sizes:
                    return host
                if gpu.name in host.gpus:
                    return None  # a GPU that is named is sold in nothing else
        return None

    def in_racks(self) -> CostTable:
        """Without desktop machines, unless the user added them."""
        kept = tuple(host for host in self.hosts if host.rack or host.date == _OWN)
        return msgspec.structs.replace(self, hosts=kept)

    def price_of(self, gpu: GpuSpec) -> CostFact | None:
        """What one GPU costs: the user's own price, else the middle of what it is offered for."""
        own = self.gpus.get(gpu.name)
        if own is not None and own.usd is not None:
            return CostFact(own.usd, own.date, own.source)
        if gpu.price is None:
            return None
        middle = (gpu.price.low_usd + gpu.price.high_usd) / 2
        return CostFact(middle, gpu.price.date, gpu.price.source)

    def rent_of(self, gpu: GpuSpec) -> CostFact | None:
        """What one GPU costs an hour."""
        own = self.gpus.get(gpu.name)
        if own is not None and own.usd_per_hour is not None:
            return CostFact(own.usd_per_hour, own.date, own.source)
        if gpu.rent is None:
            return None
        return CostFact(gpu.rent.usd_per_hour, gpu.rent.date, gpu.rent.source)


@dataclass(frozen=True, slots=True)
class GpuServer:
    """One kind of machine: a number of GPUs of one kind."""

    gpu: GpuSpec
    gpus: int

    @property
    def label(self) -> str:
        """``4 x L40S 48GB``."""
        return f"{self.gpus} x {self.gpu.label}"


@dataclass(frozen=True, slots=True)
class MonthlyCost:
    """What some servers cost a month, in US dollars."""

    terms: Terms
    #: The rent; or the price of GPUs and hosts divided by the months in which it is paid off.
    hardware_usd: float
    #: 0 where the rent includes it.
    electricity_usd: float
    rack_usd: float
    #: What they draw, with the cooling; estimated for rented ones as well. ``None``: not known.
    energy_kwh: float | None
    #: What has to be paid at the beginning.
    capital_usd: float = 0.0

    @property
    def total_usd(self) -> float:
        """All of it."""
        return self.hardware_usd + self.electricity_usd + self.rack_usd


def monthly_cost(
    server: GpuServer, servers: int, terms: Terms, costs: CostTable, busy: float = 1.0
) -> MonthlyCost | None:
    """What ``servers`` of that kind cost a month; ``None`` where a price is not known.

    ``busy``: the share of all hours in which the GPUs are at work, which decides the energy.
    """
    if terms == "rented":
        rent = costs.rent_of(server.gpu)
        if rent is None:
            return None
        hardware = rent.value * server.gpus * servers * costs.hours_per_month.value
        return MonthlyCost(terms, hardware, 0.0, 0.0, _energy_kwh(server, servers, costs, busy))
    host, price = costs.host_of(server.gpu, server.gpus), costs.price_of(server.gpu)
    energy = _energy_kwh(server, servers, costs, busy)
    if host is None or price is None or energy is None:
        return None
    capital = servers * (price.value * server.gpus + host.usd)
    most_kw = servers * ((server.gpu.power_w or 0) * server.gpus + host.power_w) / 1000
    return MonthlyCost(
        terms,
        capital / costs.months.value,
        energy * costs.electricity.value,
        most_kw * costs.rack.value if host.rack else 0.0,
        energy,
        capital,
    )


def why_not_priced(server: GpuServer, terms: Terms, costs: CostTable) -> str:
    """Which price is missing, as the end of a sentence; empty where none is."""
    if terms == "rented":
        return "" if costs.rent_of(server.gpu) else "its rent is not known"
    if costs.price_of(server.gpu) is None:
        return "its price is not known"
    if costs.host_of(server.gpu, server.gpus) is None:
        return f"no server with {server.gpus} of it is in the price list"
    return "" if server.gpu.power_w else "its power is not known"


def _energy_kwh(server: GpuServer, servers: int, costs: CostTable, busy: float) -> float | None:
    """What they draw in a month, between the idle and the busy power of their GPUs."""
    host = costs.host_of(server.gpu, server.gpus)
    if server.gpu.power_w is None:
        return None
    idle, full = costs.gpu_idle_share.value, costs.gpu_busy_share.value
    watts = server.gpus * server.gpu.power_w * (idle + (full - idle) * min(1.0, busy))
    cooling = costs.pue.value if host is None or host.rack else 1.0
    watts = (watts + (host.power_w if host else 0.0)) * cooling
    return servers * watts / 1000 * costs.hours_per_month.value


@dataclass(frozen=True, slots=True)
class TokenVolume:
    """Tokens of a month."""

    prompt: float
    #: Those of the prompts that a prefix cache holds already.
    cached: float
    output: float

    @property
    def total(self) -> float:
        """Prompts and answers."""
        return self.prompt + self.output


def api_cost_usd(volume: TokenVolume, api: ApiPrice) -> float:
    """What the same tokens cost from a cloud API.

    What is not cached yet is charged as written to the cache, where that has a price: without
    caching, the long prompts of agents would cost far more.
    """
    written, cached = api.cache_write_per_million, api.cached_input_per_million
    new = volume.prompt - volume.cached
    dollars = new * (api.input_per_million if written is None else written)
    dollars += volume.cached * (api.input_per_million if cached is None else cached)
    return (dollars + volume.output * api.output_per_million) / 1e6


@cache
def shipped_costs() -> CostTable:
    """Stoker's own price list."""
    return msgspec.convert(load_table("costs"), CostTable)


def with_own(costs: CostTable, own: Mapping[str, Any]) -> CostTable:
    """``costs`` with the user's prices before them.

    A number may stand for itself (``electricity = 0.30``). Raises ``UsageError`` where a price
    can't be one, or has a name that the list does not have.
    """
    table = {key: _fact(key, value) for key, value in own.items()}
    merged: dict[str, Any] = {**msgspec.to_builtins(costs), **table}
    for name in ("hosts", "apis"):
        merged[name] = [*_rows(table.get(name, ())), *msgspec.to_builtins(getattr(costs, name))]
    gpus = table.get("gpus", {})
    if isinstance(gpus, Mapping):
        merged["gpus"] = {**msgspec.to_builtins(costs.gpus), **gpus}
    try:
        return msgspec.convert(merged, CostTable)
    except (msgspec.ValidationError, TypeError, ValueError) as error:
        raise UsageError(
            "The price list can't be used.",
            f"{error}.",
            "Write it in the form of Stoker's own costs.toml: amounts of US dollars, 0 or more.",
        ) from error


def _fact(key: str, value: Any) -> Any:
    bare = isinstance(value, (int, float)) and not isinstance(value, bool)
    return {"value": value} if bare and key not in ("hosts", "apis", "gpus") else value


def _rows(value: Any) -> Sequence[Any]:
    return value if isinstance(value, (list, tuple)) else [value]
