"""How much hardware a number of developers needs, what it costs, and how sure that is.

Plans come from ``choose``, what a fleet does from ``sizing.simulate``, and prices from
``sizing.cost``: this module puts them together.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

from stoker.application.capacity_options import (
    MOST_DESKTOP_DEVELOPERS,
    CapacityOptions,
    find_options,
)
from stoker.application.capacity_request import CapacityRequest
from stoker.application.choice import choose
from stoker.application.event_stream import as_events
from stoker.application.launch_request import LaunchRequest, imagined_machine
from stoker.errors import StokerError
from stoker.generator_result import GeneratorResult
from stoker.planning import Plan
from stoker.sizing import (
    OFFICE_DAY,
    ArrivingRequest,
    Estimate,
    Fleet,
    SimulationResult,
    Workload,
    draw_requests,
    simulate,
)
from stoker.sizing.correction import Correction, corrected, fast_end, slow_end
from stoker.sizing.cost import (
    MonthlyCost,
    Terms,
    TokenVolume,
    api_cost_usd,
    monthly_cost,
    why_not_priced,
)
from stoker.sizing.demand import Demand, busiest, least_replicas
from stoker.sizing.search import Measured, Option, SearchResult, Sized, Targets, search

#: The busiest time lasts; what comes before fills the caches: most sessions are under way then.
_PEAK_S, _WARM_UP_S = 2700.0, 900.0
_DAY_S, _DAY_WARM_UP_S, _DAY_PARTS = 8 * 3600.0, 900.0, 48
#: Fleets are simulated in equal parts of this many active developers: larger ones smooth out more,
#: so a part is a little worse than the whole.
_SEATS_OF_A_PART = 24
_WORKING_DAYS_PER_MONTH = 260 / 12
#: Of a recorded trace, the hour with the most tokens counts as the busiest time.
_TRACE_S = 3600.0
#: TraceLab's mean answer (``sizing.workload``), for how long one keeps its developer waiting.
_USUAL_ANSWER_TOKENS = 523
#: Times the load, for the curve and for what breaks first.
_LOADS = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0)
_CROWDS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
#: A team that one server serves, before there are replicas.
_TEAM = 25
#: A more expensive model is named from this many points of quality on.
_BETTER_POINTS = 5.0
#: A developer's own machine in the first phase: what is common, not what is best.
_LAPTOP = "RTX 4060 Laptop 8GB"


@dataclass(frozen=True, slots=True)
class SizingProgress:
    """How far the sizing of a request is."""

    #: The share that is done, from 0 to 1.
    share: float
    #: What is done now.
    what: str


@dataclass(frozen=True, slots=True)
class LoadPoint:
    """What the recommended servers do under another load."""

    developers: int
    measured: Measured
    cached_share: float
    preemptions: int
    mean_waiting: float


@dataclass(frozen=True, slots=True)
class CrowdPoint:
    """What another number of developers needs of the recommended servers."""

    developers: int
    servers: int
    usd_per_month: float
    api_usd_per_month: float


@dataclass(frozen=True, slots=True)
class Breaking:
    """What fails first when more developers come to the servers that just suffice."""

    #: The most developers with which the targets were kept, and the fewest with which not.
    kept: int
    missed: int | None
    target: str
    cause: str


@dataclass(frozen=True, slots=True)
class Sureness:
    """Servers needed if the planner is as far off as its range goes; ``None``: never enough."""

    fast: int | None
    slow: int | None


@dataclass(frozen=True, slots=True)
class CapacityReport:
    """The answer."""

    request: CapacityRequest
    options: CapacityOptions
    search: SearchResult
    best: Sized
    #: The busiest time with all servers at work, the spare ones too.
    normal: Measured
    #: By kind of request at the busiest time, with the spare servers gone: 95th percentiles.
    kinds: dict[str, tuple[float | None, float | None]]
    #: A working day with all servers.
    day: SimulationResult
    volume: TokenVolume
    cost: MonthlyCost
    #: The same servers on the other terms; ``None`` where a price is not known.
    other_cost: MonthlyCost | None
    api_usd_per_month: float
    loads: tuple[LoadPoint, ...]
    crowds: tuple[CrowdPoint, ...]
    breaking: Breaking
    sureness: Sureness
    #: The least hardware for a model that is clearly better; ``None`` where there is none.
    better: Sized | None
    #: One server for a team, without a spare one, and how many developers it is for.
    team: Sized | None
    team_developers: int
    #: What a developer's own machine runs; ``None`` where nothing fits.
    laptop: Plan | None

    @property
    def usd_per_developer(self) -> float:
        """A month, for each developer that it is sized for."""
        return self.cost.total_usd / self.request.sized_developers

    @property
    def usd_per_million_tokens(self) -> float:
        """All tokens of prompts and answers, cached ones too."""
        return self.cost.total_usd / max(1.0, self.volume.total) * 1e6

    @property
    def api_usd_per_million_tokens(self) -> float:
        """The same tokens from the cloud API."""
        return self.api_usd_per_month / max(1.0, self.volume.total) * 1e6


def size(request: CapacityRequest) -> Generator[SizingProgress, None, CapacityReport]:
    """The least hardware for a request, with everything that explains it.

    Raises ``UsageError`` for what is not known, and ``StokerError`` where no option keeps the
    targets: with what comes nearest, and what that costs.
    """
    yield SizingProgress(0.0, "planning")
    request = _for_data_centre(request)
    work = _Work(request)
    options = find_options(request)
    found = yield from as_events(
        lambda share: SizingProgress(0.05 + 0.5 * share, "searching"),
        work.searching(options.options, request.sized_developers),
    )
    if not options.options:
        raise _nothing_fits(request, options)
    if found.best is None:
        raise _infeasible(request, found)
    return (yield from _report(work, options, found, found.best))


def compare(request: CapacityRequest) -> tuple[CapacityOptions, SearchResult]:
    """All that could serve a request, and what of it keeps the targets, the cheapest first."""
    options = find_options(request)
    return options, _Work(request).search(options.options, request.sized_developers)


def _for_data_centre(request: CapacityRequest) -> CapacityRequest:
    """Many developers are not served from a machine under a desk."""
    if request.sized_developers <= MOST_DESKTOP_DEVELOPERS:
        return request
    return replace(request, costs=request.costs.in_racks())


class _Work:
    """One request's simulations."""

    def __init__(self, request: CapacityRequest) -> None:
        self.request = request
        #: By option's copy, its number, developers and correction: searches meet the same again.
        self._measured: dict[tuple[object, int, int, Correction], Measured] = {}

    def searching(
        self,
        options: Sequence[Option],
        developers: int,
        *,
        targets: Targets | None = None,
        correction: Correction | None = None,
        least: int = 1,
    ) -> Generator[float, None, SearchResult]:
        """The cheapest of ``options`` for ``developers``. Yields the share that is done."""
        request = self.request
        if correction is not None:
            request = replace(request, correction=request.correction.times(correction))
        demand = _demand(request, developers)
        return search(
            options,
            targets or request.targets,
            lambda option, servers: self._measure(request, option, servers, developers),
            self.price,
            lambda option: max(least, _least_servers(request, option, demand)),
        )

    def search(
        self,
        options: Sequence[Option],
        developers: int,
        *,
        targets: Targets | None = None,
        correction: Correction | None = None,
        least: int = 1,
    ) -> SearchResult:
        """``searching`` to its end."""
        found = self.searching(
            options, developers, targets=targets, correction=correction, least=least
        )
        return GeneratorResult(found).read()

    def _measure(
        self, request: CapacityRequest, option: Option, servers: int, developers: int
    ) -> Measured:
        replicas = servers * option.replicas_per_server
        key = (option.copy, replicas, developers, request.correction)
        if key not in self._measured:
            self._measured[key] = measured(peak(request, option, servers, developers))
        return self._measured[key]

    def price(self, option: Option, servers: int) -> float | None:
        """A month of ``servers`` that are busy throughout the working hours."""
        request = self.request
        busy = _DAY_S / 3600 * _WORKING_DAYS_PER_MONTH / request.costs.hours_per_month.value
        cost = monthly_cost(option.server, servers, request.terms, request.costs, busy)
        return None if cost is None else cost.total_usd


# --- simulations ---------------------------------------------------------------------------------


def peak(
    request: CapacityRequest, option: Option, servers: int, developers: int
) -> SimulationResult:
    """The busiest time of a number of developers on a number of servers."""
    replicas = servers * option.replicas_per_server
    replica = corrected(option.replica, request.correction)
    if request.trace:
        arrivals = _arrivals(request, developers, busiest_only=True)
        end_s = arrivals[-1].at_s + 1.0
        fleet = Fleet([replica] * replicas)
        return simulate(arrivals, fleet, end_s, seed=request.seed, warm_up_s=end_s / 4)
    load, count = _part(request.workload(developers), replicas)
    load = replace(load, max_context_tokens=option.plan.max_model_len)
    fleet = Fleet([replica] * count)
    return simulate(load, fleet, _PEAK_S, seed=request.seed, warm_up_s=_WARM_UP_S)


def day(request: CapacityRequest, option: Option, servers: int) -> tuple[SimulationResult, float]:
    """A working day, or all of the recorded time; and how many such parts the fleet has."""
    replica = corrected(option.replica, request.correction)
    replicas, developers = servers * option.replicas_per_server, request.sized_developers
    if request.trace:
        arrivals = _arrivals(request, developers, busiest_only=False)
        end_s = arrivals[-1].at_s + 1.0
        fleet = Fleet([replica] * replicas)
        return simulate(
            arrivals, fleet, end_s, seed=request.seed, warm_up_s=0.0, slices=_DAY_PARTS
        ), 1.0
    load, count = _part(request.workload(developers, OFFICE_DAY), replicas)
    load = replace(load, max_context_tokens=option.plan.max_model_len)
    result = simulate(
        load,
        Fleet([replica] * count),
        _DAY_S,
        seed=request.seed,
        warm_up_s=_DAY_WARM_UP_S,
        slices=_DAY_PARTS,
    )
    return result, developers / load.developers


def measured(result: SimulationResult) -> Measured:
    """What counts against the targets."""
    never = Estimate(math.inf, math.inf, math.inf)
    first, token = result.first_token_s, result.token_s
    busy = sum(result.utilisation) / len(result.utilisation)
    return Measured(first.p95 if first else never, token.p95 if token else never, busy)


def _part(load: Workload, replicas: int) -> tuple[Workload, int]:
    """An equal part of a large fleet with its share of the developers: work for one simulation."""
    parts = max(1, min(replicas, math.ceil(load.seats / _SEATS_OF_A_PART)))
    count = replicas // parts
    # Rounded so that a part never has more replicas for its developers than the whole has.
    developers = math.ceil(load.developers * count / replicas)
    return replace(load, developers=developers), count


def _arrivals(
    request: CapacityRequest, developers: int, *, busiest_only: bool
) -> list[ArrivingRequest]:
    """The recorded arrivals, quicker or slower for another number of developers."""
    factor = developers / request.developers
    chosen = busiest(request.trace, _TRACE_S, _TRACE_S / 3) if busiest_only else request.trace
    return [one._replace(at_s=one.at_s / factor) for one in chosen]


def _demand(request: CapacityRequest, developers: int) -> Demand:
    """What so many ask for while they wait as long as the targets allow."""
    if request.trace:
        arrivals = _arrivals(request, developers, busiest_only=True)
        return Demand.of(arrivals, arrivals[-1].at_s + 1.0)
    load = request.workload(developers)
    few = replace(load, developers=min(developers, math.ceil(_SEATS_OF_A_PART / load.active_share)))
    targets = request.targets
    answer_s = targets.first_token_s + _USUAL_ANSWER_TOKENS * targets.token_s
    drawn = Demand.of(draw_requests(few, _PEAK_S, request.seed, answer_s=answer_s), _PEAK_S)
    return drawn.times(developers / few.developers)


def _least_servers(request: CapacityRequest, option: Option, demand: Demand) -> int:
    times = corrected(option.replica, request.correction).step_times
    replicas = least_replicas(demand, times, request.targets.token_s)
    return math.ceil(replicas / option.replicas_per_server)


# --- the report ----------------------------------------------------------------------------------


def _report(
    work: _Work, options: CapacityOptions, found: SearchResult, best: Sized
) -> Generator[SizingProgress, None, CapacityReport]:
    request, option, developers = work.request, best.option, work.request.sized_developers
    yield SizingProgress(0.55, "simulating a working day")
    of_day, parts = day(request, option, best.servers)
    volume = _volume(of_day, parts)
    cost = _cost(request, best, request.terms, of_day)
    if cost is None:
        raise _infeasible(request, found)  # what has no price is never the best
    other: Terms = "rented" if request.terms == "bought" else "bought"
    normal = peak(request, option, best.servers, developers)
    yield SizingProgress(0.6, "raising the load")
    loads = tuple(
        _load_point(request, best, max(1, round(developers * factor))) for factor in _LOADS
    )
    yield SizingProgress(0.75, "counting servers for fewer and more developers")
    api_usd = api_cost_usd(volume, request.costs.apis[0])
    crowds = _crowds(work, best, api_usd / developers)
    yield SizingProgress(0.85, "asking how sure that is")
    sureness = _sureness(work, best)
    yield SizingProgress(0.9, "looking at better models and a team's server")
    team_developers = min(_TEAM, developers)
    return CapacityReport(
        request=request,
        options=options,
        search=found,
        best=best,
        normal=measured(normal),
        kinds=_kinds(peak(request, option, best.needed, developers)),
        day=of_day,
        volume=volume,
        cost=cost,
        other_cost=_cost(request, best, other, of_day),
        api_usd_per_month=api_usd,
        loads=loads,
        crowds=crowds,
        breaking=_breaking(request, best, loads),
        sureness=sureness,
        better=_better(work, options.options, best),
        team=work.search(
            options.options, team_developers, targets=replace(request.targets, spare_servers=0)
        ).best,
        team_developers=team_developers,
        laptop=_laptop(request),
    )


def _volume(of_day: SimulationResult, parts: float) -> TokenVolume:
    """Tokens of a month of such days."""
    counted = of_day.duration_s - of_day.warm_up_s
    times = parts * _DAY_S / counted * _WORKING_DAYS_PER_MONTH
    cached = of_day.prompt_tokens - of_day.prefilled_tokens
    return TokenVolume(of_day.prompt_tokens * times, cached * times, of_day.output_tokens * times)


def _cost(
    request: CapacityRequest, best: Sized, terms: Terms, of_day: SimulationResult
) -> MonthlyCost | None:
    hours = _DAY_S / 3600 * _WORKING_DAYS_PER_MONTH / request.costs.hours_per_month.value
    busy = sum(of_day.utilisation) / len(of_day.utilisation) * hours
    return monthly_cost(best.option.server, best.servers, terms, request.costs, busy)


def _kinds(result: SimulationResult) -> dict[str, tuple[float | None, float | None]]:
    return {
        kind: (
            one.first_token_s.p95.value if one.first_token_s else None,
            one.token_s.p95.value if one.token_s else None,
        )
        for kind, one in result.by_kind.items()
    }


def _load_point(request: CapacityRequest, best: Sized, developers: int) -> LoadPoint:
    result = peak(request, best.option, best.needed, developers)
    return LoadPoint(
        developers,
        measured(result),
        result.cached_share.value,
        result.preemptions,
        result.mean_waiting,
    )


def _crowds(work: _Work, best: Sized, api_usd_per_developer: float) -> tuple[CrowdPoint, ...]:
    """Servers and costs by the number of developers: never fewer servers for more developers."""
    points, least = [], 1
    for factor in _CROWDS:
        developers = max(1, round(work.request.sized_developers * factor))
        found = work.search([best.option], developers, least=least).best if factor != 1 else best
        if found is None:
            break
        least = found.needed
        api_usd = api_usd_per_developer * developers
        points.append(CrowdPoint(developers, found.servers, found.usd_per_month, api_usd))
    return tuple(points)


def _sureness(work: _Work, best: Sized) -> Sureness:
    """How many servers it takes at both ends of the planner's range."""
    developers, speed = work.request.sized_developers, best.option.plan.speed
    fast = work.search([best.option], developers, correction=fast_end(speed)).best
    slow = work.search(
        [best.option], developers, correction=slow_end(speed), least=best.needed
    ).best
    return Sureness(fast.servers if fast else None, slow.servers if slow else None)


def _breaking(request: CapacityRequest, best: Sized, loads: Sequence[LoadPoint]) -> Breaking:
    """Which target is missed first as developers come, and what in the servers causes it."""
    targets = request.targets
    kept = max(
        (one.developers for one in loads if one.measured.shortfall(targets) <= 1),
        default=request.sized_developers,
    )
    first = next((one for one in loads if one.developers > kept), None)
    if first is None:
        return Breaking(kept, None, "", "")
    # Half way, three times: the number of developers to within a sixteenth of the step.
    low, high = kept, first
    for _ in range(3):
        middle = _load_point(request, best, (low + high.developers) // 2)
        if middle.measured.shortfall(targets) <= 1:
            low = middle.developers
        else:
            high = middle
    return Breaking(low, high.developers, high.measured.missed(targets), _cause(loads[0], high))


#: From where on evictions, a queue and a full server are named as causes.
_LOST_SHARE, _QUEUE, _FULL = 0.02, 1.0, 0.9


def _cause(calm: LoadPoint, late: LoadPoint) -> str:
    """What in the servers makes requests wait: ``cache``, ``queue``, ``compute`` or ``batch``."""
    if late.preemptions or late.cached_share < calm.cached_share - _LOST_SHARE:
        return "cache"
    if late.mean_waiting > _QUEUE:
        return "queue"
    return "compute" if late.measured.busy > _FULL else "batch"


def _better(work: _Work, options: Sequence[Option], best: Sized) -> Sized | None:
    """The least hardware for a clearly better model, where the request leaves the model open."""
    least = best.option.plan.score + _BETTER_POINTS
    finer = [option for option in options if option.plan.score >= least]
    return work.search(finer, work.request.sized_developers).best if finer else None


def _laptop(request: CapacityRequest) -> Plan | None:
    try:
        return choose(LaunchRequest(purpose=request.purpose), imagined_machine(_LAPTOP)).plan
    except StokerError:
        return None


# --- where there is no answer --------------------------------------------------------------------


def _nothing_fits(request: CapacityRequest, options: CapacityOptions) -> StokerError:
    if options.problem is not None:
        return options.problem
    return StokerError(
        "There is nothing to compare.",
        f"The catalogue has no GPU with a price on the terms {request.terms!r}.",
        "Give prices: --prices FILE. Or name the GPUs: --gpu L40S:4",
    )


def _infeasible(request: CapacityRequest, found: SearchResult) -> StokerError:
    """What comes nearest and what it costs; or that no price is known."""
    if not found.failed:
        servers = {option.server.label: option.server for option in found.unpriced}
        reasons = [
            f"{label}: {why_not_priced(server, request.terms, request.costs)}"
            for label, server in list(servers.items())[:3]
        ]
        return StokerError(
            "Nothing that was asked for has a price, so nothing can be compared.",
            f"{'; '.join(reasons)}.",
            "Try the other terms (--rented or --bought), other --gpu, or give --prices FILE.",
        )
    near, targets = found.failed[0], request.targets
    first, token = near.measured.first_token_s.value, near.measured.token_s.value
    return StokerError(
        "No hardware that was compared keeps these targets, however much of it there is.",
        f"Nearest: {near.servers} servers with {near.option.server.label} and "
        f"{near.option.plan.model.served_name} ({near.option.plan.model.quantization}), at "
        f"${near.usd_per_month:,.0f} a month: 95 of 100 first tokens within {first:.2f} s "
        f"(target {targets.first_token_s:g} s) and {1000 * token:.0f} ms a token "
        f"(target {1000 * targets.token_s:g} ms).",
        "Ask for less (--slo ttft=..,tpot=..), for a smaller --model or a lower --quality, or "
        "for other GPUs.",
    )
