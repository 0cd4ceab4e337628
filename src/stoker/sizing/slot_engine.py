"""llama.cpp's server with its slots, simulated: which slot a prompt goes to, what is in a batch.

The rules, from ``tools/server/server-context.cpp``:

1. A request goes to the idle slot whose tokens share most with its prompt, if that is more than
   ``slot_prompt_similarity`` of the prompt; else to the slot that was idle longest. Where no slot
   is idle, it waits.
2. A slot that would lose more than half of its tokens is saved to the host's prompt cache first,
   and what the cache holds of the new prompt is loaded if it is more. The oldest is dropped.
3. A batch has one token of each slot that writes, then the prompts in the order of the slots, up
   to ``n_batch`` tokens.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from stoker.sizing.decoders import Decoders
from stoker.sizing.fleet import LlamaCppReplica
from stoker.sizing.in_flight import InFlight
from stoker.sizing.step_span import StepSpan, span_of
from stoker.sizing.workload import ArrivingRequest

_ENDLESS = 1 << 60
#: A slot that keeps less of its tokens is saved to the host's cache first.
_LEAST_KEPT = 0.5


@dataclass(frozen=True, slots=True)
class HeldPrompt:
    """The tokens that a slot or the host's cache holds: the last request's, with its answer."""

    request: ArrivingRequest
    tokens: int

    def shared_tokens(self, other: ArrivingRequest) -> int:
        """Tokens at the beginning that a prompt has in common with this one."""
        if self.request.session == other.session:
            return min(self.tokens, other.prompt_tokens)
        if self.request.head == other.head:
            return min(self.request.head_tokens, other.head_tokens, self.tokens)
        return 0


class SlotEngine:
    """One llama.cpp server. ``start`` begins steps, ``finish`` ends them."""

    def __init__(self, settings: LlamaCppReplica) -> None:
        self.settings = settings
        self.preemptions = 0
        self.waiting: deque[InFlight] = deque()
        self._slots: list[InFlight | None] = [None] * settings.n_slots
        self._held: list[HeldPrompt | None] = [None] * settings.n_slots
        self._idle_since_s = [-1.0] * settings.n_slots
        self._host_cache: list[HeldPrompt] = []
        self._decoders = Decoders(1)
        self._restore_s = 0.0
        self._admitted = 0
        self._span: StepSpan | None = None

    def refuses(self, one: InFlight) -> bool:
        """Whether llama.cpp answers 400: the prompt is longer than a slot."""
        return one.request.prompt_tokens >= self.settings.n_ctx

    def add(self, one: InFlight) -> None:
        """Queue a request. Its answer ends with the slot's context at the latest."""
        one.goal = min(one.goal, self.settings.n_ctx)
        self.waiting.append(one)

    def load(self) -> int:
        """Requests that wait or run."""
        return len(self.waiting) + self._busy()

    def start(self, now_s: float) -> float | None:
        """Begin steps, and return when they end; ``None`` where there is nothing to do."""
        while self.waiting and None in self._slots:
            self._occupy(self.waiting.popleft(), now_s)
        if not self._busy():
            return None
        self._span = self._span_from(now_s)
        return self._span.end_s()

    def interrupt(self, at_s: float) -> float | None:
        """A request came: end with this step if a slot is idle. Returns the new end, if so."""
        span = self._span
        if span is None or span.steps == 1 or None not in self._slots:
            return None
        return span.end_s() if span.cut_at(at_s) else None

    def finish(self, now_s: float) -> list[InFlight]:
        """End the steps that were begun, and return the requests that are done with them."""
        span, self._span = self._span, None
        if span is None:
            return []
        done = self._decoders.advance(span.steps)
        done += self._end_prompts(now_s, span.steps)
        for one in done:
            slot = self._slots.index(one)
            self._slots[slot] = None
            self._held[slot] = HeldPrompt(one.request, one.computed)
            self._idle_since_s[slot] = now_s
        return done

    def _busy(self) -> int:
        return len(self._slots) - self._slots.count(None)

    # --- the slots

    def _occupy(self, one: InFlight, now_s: float) -> None:
        slot, shared = self._slot_for(one.request)
        held = self._held[slot]
        if held and shared < _LEAST_KEPT * held.tokens and self.settings.cache_ram_tokens:
            shared = self._swap(slot, held, one.request, shared)
        one.admitted_s = now_s
        self._admitted += 1
        one.order = self._admitted
        one.computed = min(shared, one.known - 1)
        one.cached_tokens = one.computed
        self._slots[slot] = one

    def _slot_for(self, request: ArrivingRequest) -> tuple[int, int]:
        """The idle slot for a prompt, and how many tokens it shares with it."""
        idle = [i for i, one in enumerate(self._slots) if one is None]
        shared = {i: h.shared_tokens(request) if (h := self._held[i]) else 0 for i in idle}
        best = max(idle, key=lambda i: (shared[i], -i))
        if shared[best] <= self.settings.slot_prompt_similarity * request.prompt_tokens:
            best = min(idle, key=lambda i: (self._idle_since_s[i], i))
        return best, shared[best]

    def _swap(self, slot: int, held: HeldPrompt, request: ArrivingRequest, shared: int) -> int:
        """Save what a slot holds to the host's cache, and load what that has of the prompt."""
        cache = self._host_cache
        cache[:] = [c for c in cache if c.request.session != held.request.session]
        cache.append(held)
        found = max(cache, key=lambda c: c.shared_tokens(request))
        more = found.shared_tokens(request)
        if more > shared:
            cache.remove(found)
            shared = more
            self._restore_s += self.settings.restore_token_s * found.tokens
        while cache and sum(c.tokens for c in cache) > self.settings.cache_ram_tokens:
            del cache[0]
        return shared

    # --- the batches

    def _span_from(self, now_s: float) -> StepSpan:
        left = self.settings.n_batch - self._decoders.count
        prompts: list[InFlight] = []
        for one in self._slots:
            if one is None or one.end_step > 0:
                continue
            one.chunk = min(one.known - one.computed, left)
            left -= one.chunk
            if one.chunk:
                prompts.append(one)
        more_s, self._restore_s = self._restore_s, 0.0
        steps = 1 if more_s else _steps_alike(self._decoders, prompts)
        times = self.settings.step_times
        return span_of(times, self._decoders, prompts, now_s, steps, more_s)

    def _end_prompts(self, now_s: float, steps: int) -> list[InFlight]:
        done: list[InFlight] = []
        for one in self._slots:
            if one is None or one.end_step or not one.chunk:
                continue
            one.computed += steps * one.chunk
            one.chunk = 0
            if one.computed < one.known:
                continue
            one.known += 1
            one.first_s = now_s
            if one.known >= one.goal:
                done.append(one)
            else:
                self._decoders.join(one)
        return done


def _steps_alike(decoders: Decoders, prompts: list[InFlight]) -> int:
    """Steps from this one on that all have the same batch."""
    if len(prompts) > 1:
        return 1
    steps = decoders.steps_to_end() or _ENDLESS
    for one in prompts:
        steps = min(steps, max(1, (one.known - one.computed - 1) // one.chunk))
    return steps
