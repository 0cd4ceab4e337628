"""A choice with what completes code beside it: what that is, and what it costs the chat."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from stoker.planning import Plan
from stoker.planning.formatting import size

if TYPE_CHECKING:
    from stoker.application.choice import Choice

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


class CompletionChoices:
    """The choices that there are for one model that chats."""

    def __init__(self, choice: Choice) -> None:
        self._choice = choice
        self._alone = choice.plan

    def beside(self, plan: Plan, chat: Plan) -> Choice:
        """``plan`` completes code in an engine of its own, and ``chat`` is what the chat keeps."""
        apart = not plan.gpus and self._is_all_on_gpus(chat)
        kept = 1.0 if apart else _GPU_SPEED_KEPT if plan.gpus else _CPU_SPEED_KEPT
        cost = self._cost(chat, plan.memory.total_bytes, kept)
        where = "the GPU" if plan.gpus else "the CPU"
        lines = [
            f"Completion: {plan.model.served_name} ({plan.model.quantization}) on {plan.engine} on "
            f"{where}, beside the chat's model: {size(cost.memory_bytes)}.",
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

    def with_chat_model(self, chat: Plan) -> Choice:
        """The chat's model, planned as ``chat``, completes code too."""
        added = max(0, chat.memory.total_bytes - self._alone.memory.total_bytes)
        kept = _GPU_SPEED_KEPT if chat.gpus else _CPU_SPEED_KEPT
        cost = self._cost(chat, added, kept)
        slot = f", in its own slot: {size(added)}" if chat.completion_slots else ""
        lines = (
            f"Completion: {chat.model.served_name}, the chat's model, completes code too{slot}.",
            _chat_words(chat, cost),
        )
        return self._with(chat, CompletionChoice(None, True, cost, lines))

    def without(self, why: str) -> Choice:
        """Nothing completes code, and ``why``."""
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
