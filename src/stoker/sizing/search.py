"""The least hardware that keeps its targets, and what came second. Pure.

What a fleet does under a workload comes from outside, as a function: ``Measure``. More servers are
never worse, so the least number of them is found by doubling and halving; and an option whose least
conceivable cost is above what was found already is never simulated. What copies of a model missed
on servers of one size, as few of them miss on servers of another.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field

from stoker.planning import Plan
from stoker.sizing.cost import GpuServer
from stoker.sizing.estimates import Estimate
from stoker.sizing.fleet import Replica

#: Doubling the servers has to bring the nearest target closer by this share, or more of them are
#: taken not to help.
_LEAST_GAIN = 0.02
#: What comes nearest is reported with the fewest servers that are within this share of the best.
_NEAR = 0.05
#: Points of quality within which models count as equally good: the estimates are no better.
_SAME_POINTS = 2.0
#: Up to this many servers the fewest are found exactly, beyond it to within one part in as many:
#: the planner's range is wider.
_EXACT_SERVERS = 64
#: No fleet is searched beyond this many servers.
_MOST_SERVERS = 4096


@dataclass(frozen=True, slots=True)
class Targets:
    """What the fleet has to keep: 95th percentiles in seconds, at the busiest time."""

    first_token_s: float
    token_s: float
    #: Servers that may fail at the same time without a target being missed: 1 is N+1.
    spare_servers: int = 1


@dataclass(frozen=True, slots=True)
class Option:
    """One way to serve: a plan on a kind of server that has room for one or several copies."""

    server: GpuServer
    plan: Plan
    #: One copy of it, as the simulation knows it.
    replica: Replica

    @property
    def replicas_per_server(self) -> int:
        """How many copies of the plan one server runs."""
        return max(1, self.server.gpus // max(1, self.plan.gpus))

    @property
    def copy(self) -> tuple[str, Replica]:
        """What one copy is, on servers of any size."""
        return self.server.gpu.label, self.replica


@dataclass(frozen=True, slots=True)
class Measured:
    """What a fleet does at the busiest time."""

    #: 95th percentiles, in seconds, with how sure they are.
    first_token_s: Estimate
    token_s: Estimate
    #: The share of the time in which the replicas were at work.
    busy: float = 0.0

    def shortfall(self, targets: Targets) -> float:
        """How many times the target the worse of the two figures is: at most 1 keeps both."""
        return max(
            self.first_token_s.value / targets.first_token_s, self.token_s.value / targets.token_s
        )

    def missed(self, targets: Targets) -> str:
        """The target that is further off."""
        first = self.first_token_s.value / targets.first_token_s
        return "first_token" if first >= self.token_s.value / targets.token_s else "token"


#: What a number of servers of an option's kind do, all of them at work.
Measure = Callable[[Option, int], Measured]
#: What a number of servers of an option's kind cost a month in dollars; ``None`` where not known.
Price = Callable[[Option, int], float | None]
#: Servers that an option needs at the very least, whatever its scheduling does.
LeastServers = Callable[[Option], int]


@dataclass(frozen=True, slots=True)
class Sized:
    """An option with as many servers as it needs, or the nearest number where none suffices."""

    option: Option
    #: The fewest that keep the targets.
    needed: int
    #: With the spare ones.
    servers: int
    #: Of all of them.
    usd_per_month: float
    #: With ``needed`` servers: when the spare ones are gone.
    measured: Measured

    @property
    def replicas(self) -> int:
        """Copies of the model on all servers."""
        return self.servers * self.option.replicas_per_server


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What was found, the cheapest first: one for each GPU, or for each model on the only GPU."""

    sized: tuple[Sized, ...] = ()
    #: What misses a target with any number of servers, the nearest first.
    failed: tuple[Sized, ...] = ()
    #: What no price is known for.
    unpriced: tuple[Option, ...] = ()
    #: How many options were looked at, and how many of them simulated.
    options: int = 0
    simulated: int = 0

    @property
    def best(self) -> Sized | None:
        """The least hardware that keeps the targets."""
        return self.sized[0] if self.sized else None

    @property
    def runner_up(self) -> Sized | None:
        """The cheapest on another GPU, or with another model on the only one."""
        return self.sized[1] if len(self.sized) > 1 else None


def search(
    options: Sequence[Option],
    targets: Targets,
    measure: Measure,
    price: Price,
    least_servers: LeastServers = lambda _option: 1,
) -> Generator[float, None, SearchResult]:
    """The cheapest way to keep ``targets``, with its runner-up.

    Yields the share of the options that are done, from 0 to 1.
    """
    priced = [option for option in options if price(option, 1) is not None]
    by_gpu = len({option.server.gpu.label for option in priced}) > 1
    run = _Search(targets, measure, price, by_gpu)
    least = {id(option): least_servers(option) for option in priced}
    # At one cost the better or quicker one goes first: then the others need no look.
    order = sorted(priced, key=lambda option: (run.cost(option, least[id(option)]), _rank(option)))
    simulated = 0
    for done, option in enumerate(order):
        fewest = run.least(option, least[id(option)])
        if fewest is None or run.cost(option, fewest) >= run.bound_usd(option):
            continue
        yield done / len(order)
        simulated += 1
        run.size(option, fewest)
    yield 1.0
    known = {id(option) for option in priced}
    return SearchResult(
        tuple(sorted(run.sized.values(), key=_merit)),
        tuple(sorted(run.failed, key=lambda one: one.measured.shortfall(targets))),
        tuple(option for option in options if id(option) not in known),
        len(options),
        simulated,
    )


def _rank(option: Option) -> tuple[int, float]:
    """At equal cost the better model comes first, and of equally good ones the lighter weights."""
    return -round(option.plan.score / _SAME_POINTS), option.replica.step_times.read_s


def _merit(sized: Sized) -> tuple[float, tuple[int, float]]:
    return round(sized.usd_per_month, 2), _rank(sized.option)


@dataclass(slots=True)
class _Search:
    """One search: what was found so far."""

    targets: Targets
    measure: Measure
    price: Price
    #: Whether answers differ by their GPU; else by their model.
    by_gpu: bool
    sized: dict[str, Sized] = field(default_factory=dict)
    failed: list[Sized] = field(default_factory=list)
    #: By copy, which servers of all sizes share: the most replicas of it that missed a target;
    #: infinite where more don't help.
    missed: dict[tuple[str, Replica], float] = field(default_factory=dict)

    def least(self, option: Option, bound: int) -> int | None:
        """Servers that an option needs at least, by what its copies did on servers of other sizes;
        ``None`` where no number of them is enough."""
        missed = self.missed.get(option.copy, 0)
        if math.isinf(missed):
            return None
        return max(bound, int(missed) // option.replicas_per_server + 1)

    def bound_usd(self, option: Option) -> float:
        """What an option has to cost less than to be of interest: the second best so far, and what
        is known of its own kind."""
        costs = sorted(one.usd_per_month for one in self.sized.values())
        second = costs[1] if len(costs) > 1 else math.inf
        own = self.sized.get(self.kind(option))
        return second if own is None else min(second, own.usd_per_month)

    def kind(self, option: Option) -> str:
        """What makes two options different answers."""
        return option.server.gpu.label if self.by_gpu else option.plan.model.served_name

    def cost(self, option: Option, needed: int) -> float:
        """A month of ``needed`` servers and the spare ones."""
        return self.price(option, needed + self.targets.spare_servers) or math.inf

    def size(self, option: Option, least: int) -> None:
        """Find the fewest servers of one option, as long as it may be of interest."""
        tried: dict[int, Measured] = {}
        needed = self._fewest(option, least, tried)
        if needed is None:
            return
        sized = self._sized(option, needed, tried[needed])
        best = self.sized.get(self.kind(option))
        if best is None or _merit(sized) < _merit(best):
            self.sized[self.kind(option)] = sized

    def _fewest(self, option: Option, least: int, tried: dict[int, Measured]) -> int | None:
        """The fewest servers that keep the targets; ``None`` where none do, or too dearly."""
        most = self._most_of_interest(option, least)
        if most is None:
            span = self._doubled(option, least, tried)
        else:
            # One look at the dearest fleet of interest rules out most options.
            span = (least - 1, most) if self._try(option, most, tried) <= 1 else None
        if span is None:
            return None
        below, servers = span
        while servers - below > max(1, servers // _EXACT_SERVERS):
            middle = (below + servers) // 2
            if self._try(option, middle, tried) <= 1:
                servers = middle
            else:
                below = middle
        return servers

    def _most_of_interest(self, option: Option, least: int) -> int | None:
        """The most servers that cost less than the bound, which ``least`` do; ``None`` where
        nothing bounds the cost yet."""
        bound_usd = self.bound_usd(option)
        if math.isinf(bound_usd):
            return None
        fits, too_dear = least, least + 1
        while self.cost(option, too_dear) < bound_usd and too_dear < _MOST_SERVERS:
            fits, too_dear = too_dear, 2 * too_dear
        while too_dear - fits > 1:
            middle = (fits + too_dear) // 2
            if self.cost(option, middle) < bound_usd:
                fits = middle
            else:
                too_dear = middle
        return fits

    def _doubled(
        self, option: Option, least: int, tried: dict[int, Measured]
    ) -> tuple[int, int] | None:
        """Numbers of servers that miss and that keep the targets; ``None`` where none do."""
        below, servers, before = least - 1, least, math.inf
        while (shortfall := self._try(option, servers, tried)) > 1:
            if shortfall > before * (1 - _LEAST_GAIN) or servers >= _MOST_SERVERS:
                self.failed.append(self._nearest(option, tried))
                self.missed[option.copy] = math.inf
                return None
            before, below, servers = shortfall, servers, 2 * servers
        return below, servers

    def _try(self, option: Option, servers: int, tried: dict[int, Measured]) -> float:
        tried[servers] = self.measure(option, servers)
        shortfall = tried[servers].shortfall(self.targets)
        if shortfall > 1:
            replicas = servers * option.replicas_per_server
            self.missed[option.copy] = max(replicas, self.missed.get(option.copy, 0))
        return shortfall

    def _nearest(self, option: Option, tried: dict[int, Measured]) -> Sized:
        """The fewest servers, among those tried, that come about as near as the most."""
        near = {count: measured.shortfall(self.targets) for count, measured in tried.items()}
        limit = min(near.values()) * (1 + _NEAR)
        count = min(count for count, shortfall in near.items() if shortfall <= limit)
        return self._sized(option, count, tried[count])

    def _sized(self, option: Option, needed: int, measured: Measured) -> Sized:
        servers = needed + self.targets.spare_servers
        return Sized(option, needed, servers, self.cost(option, needed), measured)
