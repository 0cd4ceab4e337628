"""The one choice: ``stoker up`` starts it, ``stoker plan`` and ``stoker models --fits`` show it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from stoker import engines
from stoker.application import measured_memory, measured_speed, tuned_arguments
from stoker.application.completion import with_completion
from stoker.application.completion_choice import CompletionChoice
from stoker.application.launch_request import HostFacts, LaunchRequest
from stoker.application.offers import Offer, candidates
from stoker.application.ranking import is_better, rank, reordered
from stoker.engines import learned_drafts
from stoker.errors import StokerError
from stoker.models import Model, Purpose
from stoker.planning import Candidate, Plan, Requirements
from stoker.planning.requirements import need_of


@dataclass(frozen=True, slots=True)
class BlockedPlan:
    """A plan that ``stoker up`` can't start on the machine, and why."""

    plan: Plan
    obstacle: StokerError


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen for a request, and what it was chosen from."""

    request: LaunchRequest
    machine: HostFacts
    #: What it was planned for: as asked for, or what the machine is good for.
    purpose: Purpose | None
    #: What can be started, the best first, one for each model.
    startable: tuple[Plan, ...]
    #: What can't be, the best first.
    blocked: tuple[BlockedPlan, ...] = ()
    #: Why nothing can be started, where that is so.
    problem: StokerError | None = None
    #: What completes code beside it; ``None`` where that was not asked for.
    completion: CompletionChoice | None = None

    @property
    def plan(self) -> Plan:
        """What ``stoker up`` starts. Raises ``StokerError`` where it can start nothing."""
        if self.problem is not None:
            raise self.problem
        return self.startable[0]

    @property
    def runner_up(self) -> Plan | None:
        """The second best that can be started."""
        return self.startable[1] if len(self.startable) > 1 else None

    @property
    def preferred(self) -> tuple[BlockedPlan, ...]:
        """What can't be started and would be chosen if it could be, the best first."""
        if not self.startable:
            return self.blocked
        return tuple(b for b in self.blocked if is_better(b.plan, self.startable[0]))

    @property
    def download_bytes(self) -> int:
        """What has to be downloaded of the chosen models; estimated where a size is not known."""
        return sum(map(download_bytes, self.plans))

    @property
    def plans(self) -> tuple[Plan, ...]:
        """What is started: the chosen one, and what completes code beside it."""
        beside = self.completion.plan if self.completion else None
        return (self.plan,) if beside is None else (self.plan, beside)


def download_bytes(plan: Plan) -> int:
    """What a start of ``plan`` downloads of its model: nothing where the files are there."""
    if plan.model.path is not None:
        return 0
    return plan.model.weights_bytes or plan.memory.weights_bytes * max(1, plan.gpus)


def choose(request: LaunchRequest, machine: HostFacts) -> Choice:
    """The best that can be started for ``request`` on ``machine``, with what else there is.

    Without a purpose it is chosen for agent mode where something here is quick enough for that,
    else for questions and answers. Raises ``UsageError`` where what is asked for can't be, and
    ``StokerError`` where nothing fits, on any engine and from any source.
    """
    choice = _chosen(request, machine)
    if request.completion is None or not choice.startable:
        return choice
    requirements = replace(_requirements(request, machine), purpose=choice.purpose)
    return with_completion(choice, _chosen, requirements)


def _chosen(request: LaunchRequest, machine: HostFacts) -> Choice:
    """The best of all, alone on the machine."""
    offers = candidates(request, machine)
    open_ = [offer.candidate for offer in offers if offer.obstacle is None]
    requirements = _requirements(request, machine)
    purpose, plans, problem = _best(_purposes(request), machine, requirements, open_)
    requirements = replace(requirements, purpose=purpose)
    blocked = _blocked(machine, requirements, [offer for offer in offers if offer.obstacle])
    if problem is None:
        # What `stoker tune` found holds on the machine where it was found.
        startable = tuned_arguments.applied(plans, machine.host) if machine.here else tuple(plans)
        startable = tuple(_without_costly_drafts(plan, requirements) for plan in startable)
        return Choice(request, machine, purpose, startable, tuple(blocked))
    if not blocked:
        raise problem
    # What was named, or all there is, can't be started: a better reason than "nothing to choose".
    suited = [candidate for candidate in open_ if candidate.engine is not None]
    stopped = problem if suited else blocked[0].obstacle
    return Choice(request, machine, purpose, (), tuple(blocked), stopped)


def _without_costly_drafts(plan: Plan, requirements: Requirements) -> Plan:
    """The plan without drafts that `stoker tune` found before they turned out to cost."""
    drafting = engines.lookup(plan.engine).drafting
    if drafting is None or not requirements.why_no_drafts(plan.engine, plan.model):
        return plan
    return drafting.without(plan)


def _best(
    purposes: Sequence[Purpose | None],
    machine: HostFacts,
    requirements: Requirements,
    offered: Sequence[Candidate],
) -> tuple[Purpose | None, list[Plan], StokerError | None]:
    """The purpose that the machine is good for, and the plans for it, or why there are none."""
    problem: StokerError | None = None
    for purpose in purposes:
        try:
            plans = _ranked(machine, replace(requirements, purpose=purpose), offered)
        except StokerError as error:
            problem = error
            continue
        if plans[0].usable or purpose == purposes[-1]:
            return purpose, plans, None
    return purposes[-1], [], problem


def _purposes(request: LaunchRequest) -> tuple[Purpose | None, ...]:
    if request.purpose is not None:
        return (request.purpose,)
    return (None,) if request.every_model else ("agent", None)


def _ranked(
    machine: HostFacts, requirements: Requirements, offered: Sequence[Candidate]
) -> list[Plan]:
    plans = rank(machine.host, offered, requirements, machine.gpu)
    if not machine.here:
        return plans
    # What was measured holds on the machine where it was.
    return reordered(measured_speed.corrected(plans, machine.host, need_of(requirements)))


def _requirements(request: LaunchRequest, machine: HostFacts) -> Requirements:
    """What is asked of plans, but for the purpose; reads what was measured on the machine."""
    return Requirements(
        users=request.users,
        context=request.context,
        parallel=request.parallel,
        tensor_parallel=request.tensor_parallel,
        engine=request.engine,
        cpu_only_engines=machine.cpu_only_engines,
        named=request.model is not None or request.every_model,
        measured_bytes=measured_memory.of(machine.host) if machine.here else {},
        costly_drafts=learned_drafts.of(machine.host) if machine.here else {},
    )


def _blocked(
    machine: HostFacts, requirements: Requirements, offers: Sequence[Offer]
) -> list[BlockedPlan]:
    """Plans for what can't be started: for what it would be good for."""
    obstacles = {_key(offer.candidate.model, offer.candidate.engine): offer for offer in offers}
    try:
        plans = _ranked(machine, requirements, [offer.candidate for offer in offers])
    except StokerError:
        return []
    found = []
    for plan in plans:
        obstacle = obstacles[_key(plan.model, plan.engine)].obstacle
        if obstacle is not None:
            found.append(BlockedPlan(plan, obstacle))
    return found


def _key(model: Model, engine: str | None) -> tuple[str, str | None, str | None]:
    return model.id.casefold(), model.quantization or None, engine
