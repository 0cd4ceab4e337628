"""What completes code beside the model that chats, and what that costs the chat.

The chat's model does it where it can and is quick enough. Else a small model stands beside it: the
best that leaves the chat as it is. Where none does, the chat gives way, at a cost that is named.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from stoker import engines, models
from stoker.application.completion_choice import CompletionChoices
from stoker.application.launch_request import HostFacts, LaunchRequest
from stoker.application.machine_parts import parts_of, rest_of
from stoker.application.offers import with_facts
from stoker.errors import StokerError, UsageError
from stoker.planning import Plan, Requirements

if TYPE_CHECKING:
    from stoker.application.choice import Choice

AUTO = "auto"
#: Larger models are for chats: beside one, a suggestion must be quick before it is clever.
_MOST_PARAMETERS = 3_500_000_000
#: Room for what stands around the cursor and for chunks of other files; 1,500 tokens are usual.
_CONTEXT_TOKENS = 8_192
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
        self._choices = CompletionChoices(choice)

    def auto(self) -> Choice:
        """The best that costs the chat nothing; else what costs the least."""
        own = self._by_chat_model() if self._can_complete() else None
        if own is not None and not self._shrinks(own):
            return self._choices.with_chat_model(own)
        plans = self._small_models(None)
        free = self._without_cost(plans)
        if free is not None:
            return free
        if own is not None:
            return self._choices.with_chat_model(own)
        if not plans:
            return self._choices.without(
                "No model that completes code can be started beside the chat's."
            )
        try:
            return self._at_a_cost(plans)
        except StokerError as problem:
            return self._choices.without(f"No memory is left for a second model: {problem.what}")

    def named(self, name: str) -> Choice:
        """With the model of that name. Raises ``StokerError`` where it can't be beside the chat."""
        plans = self._small_models(name)
        if plans[0].model.served_name == self._alone.model.served_name:
            return self._choices.with_chat_model(self._by_chat_model())
        return self._without_cost(plans) or self._at_a_cost(plans)

    def _without_cost(self, plans: Sequence[Plan]) -> Choice | None:
        """The first of the plans that leaves the chat as it is."""
        for plan in plans:
            chat = self._replanned(rest_of(self._choice.machine, plan))
            if chat is not None and not self._shrinks(chat):
                return self._choices.beside(plan, chat)
        return None

    def _at_a_cost(self, plans: Sequence[Plan]) -> Choice:
        """The least of the plans beside the chat's model with less, or beside a smaller one.

        Raises ``StokerError`` where nothing that chats fits beside it.
        """
        by_size = sorted(plans, key=lambda plan: plan.memory.total_bytes)
        for plan in by_size:
            chat = self._replanned(rest_of(self._choice.machine, plan))
            if chat is not None and chat.usable >= self._alone.usable:
                return self._choices.beside(plan, chat)
        request = replace(self._choice.request, completion=None)
        return self._choices.beside(
            by_size[0], self._choose(request, rest_of(self._choice.machine, by_size[0])).plan
        )

    def _small_models(self, name: str | None) -> list[Plan]:
        """Plans of what completes code, the best first: on all that the machine has, then its CPU.

        Those that are quick enough come before others. Raises ``StokerError`` where the model of
        that ``name`` can't complete, or nothing of it can be started.
        """
        found: list[Plan] = []
        problem: StokerError | None = None
        for machine in parts_of(self._choice.machine, all_sizes=name is not None):
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
