"""What completes code beside the model that chats, and what that costs the chat.

The chat's model does it where it can and is quick enough. Else a small model stands beside it: the
best that leaves the chat as it is. Where none does, the chat gives way, at a cost that is named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from stoker import engines, models
from stoker.application.launch_request import HostFacts, LaunchRequest
from stoker.application.offers import with_facts
from stoker.errors import StokerError, UsageError
from stoker.host import Gpu
from stoker.planning import Plan, Requirements
from stoker.planning.formatting import GIB, MIB, size

if TYPE_CHECKING:
    from stoker.application.choice import Choice

AUTO = "auto"
#: Larger models are for chats: beside one, a suggestion must be quick before it is clever.
_MOST_PARAMETERS = 3_500_000_000
#: Room for what stands around the cursor and for chunks of other files; 1,500 tokens are usual.
_CONTEXT_TOKENS = 8_192
#: The parts of the GPUs' memory that completion is planned in: of all of it, an engine that pages
#: its cache would take all. A small model never needs the larger parts; one that is named may.
_GPU_PARTS = (0.15, 0.3, 0.5)
_LEAST_GPU_PART_BYTES = 2 * GIB
#: What a further process takes of a GPU beside its plan: its context and compute buffers.
_GPU_PROCESS_BYTES = 400 * MIB
#: What the chat keeps of its speed while a suggestion is computed. GPUs take turns between two
#: processes. One on the CPU stands back (``completion_niceness.COMPLETION_NICENESS``) and
#: yet takes bandwidth: 0.54 and 0.83 were measured on 2 busy cores, with SmolLM2-135M beside
#: Qwen2.5-Coder-0.5B (``benchmarks/completion_beside_chat.py``).
_GPU_SPEED_KEPT, _CPU_SPEED_KEPT = 0.5, 0.6


@dataclass(frozen=True, slots=True)
class CompletionCost:
    """What the chat gives for completion."""

    #: Memory that completion takes, in bytes.
    memory_bytes: int
    #: Tokens by which the chat's context is shorter.
    context_tokens: int
    #: The chat's model without completion, where it is another one.
    instead_of: str | None
    #: The chat's tokens a second alone, and while a suggestion is computed; ``None``: not known.
    tokens_per_s_alone: float | None
    tokens_per_s_beside: float | None


@dataclass(frozen=True, slots=True)
class CompletionChoice:
    """What was chosen for code completion."""

    #: The engine beside the chat's; ``None`` where the chat's completes, or nothing does.
    plan: Plan | None
    uses_chat_model: bool
    #: ``None`` where nothing completes.
    cost: CompletionCost | None
    reasons: tuple[str, ...]


_Choose = Callable[[LaunchRequest, HostFacts], "Choice"]


def with_completion(choice: Choice, choose: _Choose, requirements: Requirements) -> Choice:
    """The choice with what its request asks for beside it.

    ``choose`` is the choice of a model alone, ``requirements`` what the chat was planned for.
    Raises ``StokerError`` where the model that is named for completion can't be had beside it.
    """
    wanted = choice.request.completion
    if wanted is None or choice.problem is not None:
        return choice
    found = _CompletionSearch(choice, choose, requirements)
    return found.auto() if wanted == AUTO else found.named(wanted)


class _CompletionSearch:
    """The ways to complete code beside one choice."""

    def __init__(self, choice: Choice, choose: _Choose, requirements: Requirements) -> None:
        self._choice = choice
        self._choose = choose
        self._requirements = requirements
        self._alone = choice.plan

    def auto(self) -> Choice:
        """The best that costs the chat nothing; else what costs the least."""
        own = self._by_chat_model() if self._can_complete() else None
        if own is not None and not self._shrinks(own):
            return self._with_chat_model(own)
        plans = self._small_models(None)
        free = self._without_cost(plans)
        if free is not None:
            return free
        if own is not None:
            return self._with_chat_model(own)
        if not plans:
            return self._without("No model that completes code can be started beside it.")
        try:
            return self._at_a_cost(plans)
        except StokerError as problem:
            return self._without(f"No memory is left for one beside it: {problem.what}")

    def named(self, name: str) -> Choice:
        """With the model of that name. Raises ``StokerError`` where it can't be beside the chat."""
        plans = self._small_models(name)
        if plans[0].model.served_name == self._alone.model.served_name:
            return self._with_chat_model(self._by_chat_model())
        return self._without_cost(plans) or self._at_a_cost(plans)

    def _without_cost(self, plans: Sequence[Plan]) -> Choice | None:
        """The first of the plans that leaves the chat as it is."""
        for plan in plans:
            chat = self._replanned(self._rest(plan))
            if chat is not None and not self._shrinks(chat):
                return self._beside(plan, chat)
        return None

    def _at_a_cost(self, plans: Sequence[Plan]) -> Choice:
        """The least of the plans beside the chat's model with less, or beside a smaller one.

        Raises ``StokerError`` where nothing that chats fits beside it.
        """
        by_size = sorted(plans, key=lambda plan: plan.memory.total_bytes)
        for plan in by_size:
            chat = self._replanned(self._rest(plan))
            if chat is not None and chat.usable >= self._alone.usable:
                return self._beside(plan, chat)
        request = replace(self._choice.request, completion=None)
        return self._beside(by_size[0], self._choose(request, self._rest(by_size[0])).plan)

    def _small_models(self, name: str | None) -> list[Plan]:
        """Plans of what completes code, the best first: on all that the machine has, then its CPU.

        Those that are quick enough come before others. Raises ``StokerError`` where the model of
        that ``name`` can't complete, or nothing of it can be started.
        """
        found: list[Plan] = []
        problem: StokerError | None = None
        for machine in self._places(name):
            try:
                found += self._completing(name, machine)
            except StokerError as error:
                problem = error
        if name is not None and not found and problem is not None:
            raise problem
        quick = [plan for plan in found if plan.usable]
        slow = sorted(
            (plan for plan in found if not plan.usable),
            key=lambda plan: -(plan.prefill_tokens_per_s or 0.0),
        )
        return [*quick, *slow]

    def _places(self, name: str | None) -> Iterator[HostFacts]:
        """Parts of the machine, the smaller first, and at last its CPU."""
        here = self._choice.machine
        if not here.host.gpus:
            yield here
            return
        for part in _GPU_PARTS if name is not None else _GPU_PARTS[:1]:
            gpus = tuple(_part(gpu, part, unified=_is_unified(here)) for gpu in here.host.gpus)
            yield replace(here, host=replace(here.host, gpus=gpus))
        yield replace(here, host=replace(here.host, gpus=()), gpu=None)

    def _completing(self, name: str | None, machine: HostFacts) -> list[Plan]:
        """Raises ``StokerError`` where nothing that completes code can be started there."""
        asked = self._choice.request
        request = LaunchRequest(
            model=name,
            purpose="completion",
            context=_CONTEXT_TOKENS,
            parallel=max(1, -(-asked.users // 3)),
            users=asked.users,
            offline=asked.offline,
            python=asked.python,
            native=asked.native,
            failed=asked.failed,
        )
        try:
            choice = self._choose(request, machine)
        except UsageError:  # the model may have been made for less
            choice = self._choose(replace(request, context=None), machine)
        if name is None:
            return [plan for plan in choice.startable if self._is_small(plan)]
        known = with_facts(choice.plan.model).known
        if known is not None and "completion" not in known.purposes:
            raise _can_not_complete(choice.plan.model.id)
        return [choice.plan]

    def _is_small(self, plan: Plan) -> bool:
        parameters = plan.model.parameters
        other = plan.model.served_name != self._alone.model.served_name
        return other and parameters is not None and parameters <= _MOST_PARAMETERS

    def _can_complete(self) -> bool:
        """Whether the catalogue holds the chat's model fit for it, and it is quick enough."""
        candidate = with_facts(self._alone.model)
        planner = engines.lookup(self._alone.engine).planner
        if planner is None or candidate.known is None or not candidate.serves("completion"):
            return False
        machine = self._choice.machine
        needed = replace(
            self._requirements, purpose="completion", context=None, parallel=None, users=1
        )
        try:
            plan = planner.plan(machine.host, candidate, needed, machine.gpu)
        except StokerError:
            return False
        return plan is not None and plan.usable

    def _by_chat_model(self) -> Plan:
        """The chat's plan with a slot for completion where its engine has slots, or an order."""
        return self._with_slot() or self._with_order()

    def _with_order(self) -> Plan:
        """The chat's plan, with completions before chats where its engine can order them."""
        order = engines.lookup(self._alone.engine).completion_order
        if order is None or self._alone.argument(order.argument.name) is not None:
            return self._alone
        return replace(self._alone, arguments=(*self._alone.arguments, order.argument))

    def _with_slot(self) -> Plan | None:
        if engines.lookup(self._alone.engine).slot_field is None:
            return None
        return self._replanned(self._choice.machine, completion_slots=1)

    def _rest(self, plan: Plan) -> HostFacts:
        """The machine without the memory that ``plan`` takes."""
        machine, taken = self._choice.machine, plan.memory.total_bytes
        if not plan.gpus:
            memory = machine.host.memory
            left = max(0, memory.available_bytes - taken)
            return replace(
                machine, host=replace(machine.host, memory=replace(memory, available_bytes=left))
            )
        each = (taken + _GPU_PROCESS_BYTES) // len(machine.host.gpus)
        unified = _is_unified(machine)
        gpus = tuple(
            replace(
                gpu,
                memory_free_bytes=_less(gpu.memory_free_bytes or gpu.memory_total_bytes, each),
                # Of memory that it shares with the CPU, a plan reads the whole.
                memory_total_bytes=_less(gpu.memory_total_bytes, each if unified else 0),
            )
            for gpu in machine.host.gpus
        )
        return replace(machine, host=replace(machine.host, gpus=gpus))

    def _replanned(self, machine: HostFacts, completion_slots: int = 0) -> Plan | None:
        """The chat's own model on ``machine``; ``None`` where it does not fit there."""
        planner = engines.lookup(self._alone.engine).planner
        if planner is None:
            return None
        needed = replace(self._requirements, completion_slots=completion_slots, named=True)
        candidate = with_facts(self._alone.model)
        try:
            return planner.plan(machine.host, candidate, needed, machine.gpu)
        except StokerError:
            return None

    def _shrinks(self, chat: Plan) -> bool:
        """Whether this plan of the chat's is less than it has alone."""
        alone = self._alone
        slower = (chat.decode_tokens_per_s or 0) < 0.98 * (alone.decode_tokens_per_s or 0)
        slots = chat.parallel - chat.completion_slots
        return chat.max_model_len < alone.max_model_len or slots < alone.parallel or slower

    def _beside(self, plan: Plan, chat: Plan) -> Choice:
        apart = not plan.gpus and self._is_all_on_gpus(chat)
        kept = 1.0 if apart else _GPU_SPEED_KEPT if plan.gpus else _CPU_SPEED_KEPT
        cost = self._cost(chat, plan.memory.total_bytes, kept)
        where = "the GPU" if plan.gpus else "the CPU"
        lines = [
            f"Completion: {plan.model.served_name} ({plan.model.quantization}) on {plan.engine}, "
            f"beside it on {where}: {size(cost.memory_bytes)}.",
            _chat_words(chat, cost),
        ]
        if not plan.usable and plan.prefill_tokens_per_s:
            lines.append(
                f"Suggestions are slow here: about {plan.prefill_tokens_per_s:,.0f} tokens/s of "
                "new text are read before one. Where a file was read before, only what was typed "
                "since is new."
            )
        return self._with(chat, CompletionChoice(plan, False, cost, tuple(lines)))

    def _is_all_on_gpus(self, chat: Plan) -> bool:
        """Whether no layer of it is left to the CPU."""
        gpus = self._choice.machine.host.gpus
        total = sum(gpu.memory_total_bytes or 0 for gpu in gpus)
        return chat.gpus > 0 and chat.memory.total_bytes <= total

    def _with_chat_model(self, chat: Plan) -> Choice:
        added = max(0, chat.memory.total_bytes - self._alone.memory.total_bytes)
        kept = _GPU_SPEED_KEPT if chat.gpus else _CPU_SPEED_KEPT
        cost = self._cost(chat, added, kept)
        slot = f", in a slot of its own: {size(added)}" if chat.completion_slots else ""
        lines = (
            f"Completion: {chat.model.served_name}, the chat's model, completes code too{slot}.",
            _chat_words(chat, cost),
        )
        return self._with(chat, CompletionChoice(None, True, cost, lines))

    def _without(self, why: str) -> Choice:
        return self._with(
            self._alone, CompletionChoice(None, False, None, (f"Completion: none. {why}",))
        )

    def _cost(self, chat: Plan, memory_bytes: int, kept: float) -> CompletionCost:
        alone = self._alone
        other = chat.model.served_name != alone.model.served_name
        speed = chat.decode_tokens_per_s
        return CompletionCost(
            memory_bytes=memory_bytes,
            context_tokens=max(0, alone.max_model_len - chat.max_model_len),
            instead_of=alone.model.served_name if other else None,
            tokens_per_s_alone=speed,
            tokens_per_s_beside=speed * kept if speed else None,
        )

    def _with(self, chat: Plan, completion: CompletionChoice) -> Choice:
        others = tuple(
            plan
            for plan in self._choice.startable
            if plan.model.served_name != chat.model.served_name
        )
        return replace(self._choice, startable=(chat, *others), completion=completion)


def _part(gpu: Gpu, part: float, *, unified: bool) -> Gpu:
    """The GPU with no more free memory than this part of it."""
    total = gpu.memory_total_bytes
    if total is None:
        return gpu
    most = max(int(part * total), _LEAST_GPU_PART_BYTES)
    free = min(gpu.memory_free_bytes or total, most)
    # Of memory that it shares with the CPU, a plan reads the whole.
    return replace(
        gpu, memory_free_bytes=free, memory_total_bytes=min(total, most) if unified else total
    )


def _is_unified(machine: HostFacts) -> bool:
    return machine.gpu is not None and machine.gpu.unified


def _less(known: int | None, taken: int) -> int | None:
    return None if known is None else max(0, known - taken)


def _chat_words(chat: Plan, cost: CompletionCost) -> str:
    """What it costs the chat, in one sentence."""
    if cost.instead_of is not None:
        kept = f"The chat's model is {chat.model.served_name} instead of {cost.instead_of}"
    elif cost.context_tokens:
        before = chat.max_model_len + cost.context_tokens
        kept = f"The chat's context is {chat.max_model_len:,} tokens instead of {before:,}"
    else:
        kept = f"The chat keeps its model and its context of {chat.max_model_len:,} tokens"
    alone, beside = cost.tokens_per_s_alone, cost.tokens_per_s_beside
    if alone is None or beside is None or beside == alone:
        return f"{kept}."
    return (
        f"{kept}, and writes about {beside:.0f} instead of {alone:.0f} tokens/s while a suggestion "
        "is computed."
    )


def _can_not_complete(model: str) -> UsageError:
    able = [
        known.name
        for known in models.known_models()
        if "completion" in known.purposes and not known.avoid
    ]
    return UsageError(
        f"{model} does not complete code between two texts.",
        "It was not trained on a fill-in-the-middle form.",
        f"Use one that was, such as --completion {able[0]} or --completion {able[1]}.",
    )
