"""vLLM's scheduler (V1, as of 0.32), simulated: which request processes how many tokens in a step.

The rules, from ``vllm/v1/core/sched/scheduler.py`` with first come, first served:

1. A step has ``max_num_batched_tokens`` tokens to give. Requests that run come first, in the order
   of their admission: one token each, or the next chunk of a prompt.
2. Where blocks are missing, the request that was admitted last loses its own and goes back to the
   front of the queue; no request is admitted in such a step.
3. Then requests are admitted from the front of the queue while tokens are left, fewer than
   ``max_num_seqs`` run, and the whole prompt has room beside what the cache holds of it already
   (``scheduler_reserve_full_isl``).

So at most one prompt is ever in the middle of its chunks, and it was admitted last. With
asynchronous scheduling the next step is scheduled while one runs, so a request that comes meanwhile
joins the one after that. Not simulated are that such a step knows the end of an answer one step
late, speculative decoding, and models whose layers keep different windows.
"""

from __future__ import annotations

from collections import deque

from stoker.sizing.decoders import Decoders
from stoker.sizing.fleet import VllmReplica
from stoker.sizing.in_flight import InFlight
from stoker.sizing.request_blocks import RequestBlocks
from stoker.sizing.step_span import StepSpan, span_of

_ENDLESS = 1 << 60


class VllmEngine:
    """One server. ``start`` begins steps, ``finish`` ends them; in between time passes."""

    def __init__(self, settings: VllmReplica, longest_span: int = _ENDLESS) -> None:
        self.settings = settings
        self._blocks = RequestBlocks(settings)
        self.cache = self._blocks.cache
        self.waiting: deque[InFlight] = deque()
        #: Came while a step ran, when the next one was scheduled already.
        self._late: list[InFlight] = []
        self.running: dict[InFlight, None] = {}
        self.preemptions = 0
        self._decoders = Decoders(settings.block_size)
        #: Those that process their prompts in this step; the last may have more chunks to come.
        self._prefills: list[InFlight] = []
        self._admitted = 0
        self._preempted = False
        self._longest_span = longest_span
        self._span: StepSpan | None = None

    def refuses(self, one: InFlight) -> bool:
        """Whether vLLM answers 400: the prompt leaves no room for an answer."""
        return one.request.prompt_tokens >= self.settings.max_model_len

    def add(self, one: InFlight) -> None:
        """Queue a request. Its answer ends with the context window at the latest."""
        one.goal = min(one.goal, self.settings.max_model_len)
        late = self.settings.async_scheduling and self._span is not None
        (self._late if late else self.waiting).append(one)

    def load(self) -> int:
        """Requests that wait or run."""
        return len(self._late) + len(self.waiting) + len(self.running)

    def start(self, now_s: float) -> float | None:
        """Begin steps, and return when they end; ``None`` where there is nothing to do."""
        if not self.running and not self.waiting:
            self._let_late_ones_queue()
        if not self.waiting and not self.running:
            return None
        self._schedule(now_s)
        steps = 1 if self._late else self._steps_alike()
        self._let_late_ones_queue()
        times = self.settings.step_times
        self._span = span_of(times, self._decoders, self._prefills, now_s, steps)
        return self._span.end_s()

    def _let_late_ones_queue(self) -> None:
        self.waiting.extend(self._late)
        self._late.clear()

    def interrupt(self, at_s: float) -> float | None:
        """A request came: end with this step if it can join then. Returns the new end, if so."""
        span = self._span
        if span is None or span.is_last_at(at_s):
            return None
        full = len(self.running) == self.settings.max_num_seqs or bool(self._prefills)
        # A second one in the queue shows that the first was there already and has no room.
        if full or len(self.waiting) + len(self._late) > 1:
            # These steps go on, and the next ones are not scheduled before the last of them.
            self._let_late_ones_queue()
            return None
        return span.end_s() if span.cut_at(at_s) else None

    def finish(self, now_s: float) -> list[InFlight]:
        """End the steps that were begun, and return the requests that are done with them."""
        span, self._span = self._span, None
        if span is None:
            return []
        if span.steps > 1:
            self.cache.take(self._further_blocks(span.steps - 1))
            for one in self._prefills:
                self._blocks.own(one, one.computed + span.steps * one.chunk)
        done = self._decoders.advance(span.steps)
        done += self._end_prefills(now_s, span.steps)
        for one in done:
            self._blocks.release(one)
            del self.running[one]
        return done

    # --- what runs in a step

    def _schedule(self, now_s: float) -> None:
        budget = self.settings.max_num_batched_tokens - self._decoders.count
        need = self._decoders.new_blocks(1)
        for one in self._prefills:
            one.chunk = min(one.known - one.computed, budget)
            need += self._blocks.count(one.computed + one.chunk) - self._blocks.count(one.computed)
            budget -= one.chunk
        self._preempted = need > self.cache.free
        if self._preempted:
            self._preempt_and_take()
            return
        self.cache.take(need)
        for one in self._prefills:
            self._blocks.own(one, one.computed + one.chunk)
        while budget > 0 and self.waiting and len(self.running) < self.settings.max_num_seqs:
            used = self._admit(self.waiting[0], budget, now_s)
            if not used:
                break
            budget -= used

    def _admit(self, one: InFlight, budget: int, now_s: float) -> int:
        """Start the queue's first request. Returns the tokens that it processes, 0 if it can't."""
        pieces, free = self._blocks.match(one)
        hit = pieces[-1][2] if pieces else 0
        if self._blocks.count(one.known) - hit + free > self.cache.free:
            return 0
        self.waiting.popleft()
        self.cache.hold(one.holding, pieces)
        one.computed = hit * self.settings.block_size
        if one.admitted_s is None:
            one.admitted_s = now_s
            one.cached_tokens = one.computed
        one.chunk = min(one.known - one.computed, budget)
        self.cache.take(self._blocks.count(one.computed + one.chunk) - hit)
        self._blocks.own(one, one.computed + one.chunk)
        self._admitted += 1
        one.order = self._admitted
        self.running[one] = None
        self._prefills.append(one)
        return one.chunk

    def _preempt_and_take(self) -> None:
        """One step in which blocks are missing, request by request as vLLM goes through them."""
        order = list(self.running)
        at = 0
        while at < len(order):
            one = order[at]
            computed = one.computed if one.chunk else self._decoders.step + one.offset
            end = computed + (one.chunk or 1)
            need = self._blocks.count(end) - self._blocks.count(computed)
            while need > self.cache.free and order[-1] is not one:
                self._preempt(order.pop())
            if need > self.cache.free:
                self._preempt(order.pop())
                return
            self.cache.take(need)
            if one.chunk:
                self._blocks.own(one, end)
            at += 1

    def _preempt(self, one: InFlight) -> None:
        if one.chunk:
            self._prefills.remove(one)
        else:
            self._decoders.leave(one)
        self._blocks.release(one)
        del self.running[one]
        one.computed = one.chunk = 0
        one.preemptions += 1
        self.preemptions += 1
        self.waiting.appendleft(one)

    def _steps_alike(self) -> int:
        """Steps from this one on that all have the same batch, and blocks enough."""
        if self._preempted or len(self._prefills) > 1:
            return 1
        steps = min(self._decoders.steps_to_end() or _ENDLESS, self._longest_span)
        for one in self._prefills:
            steps = min(steps, max(1, (one.known - one.computed - 1) // one.chunk))
        low, high = 1, steps + 1
        # Most often there is room for all of them.
        middle = steps
        while high - low > 1:
            if self._further_blocks(middle - 1) <= self.cache.free:
                low = middle
            else:
                high = middle
            middle = (low + high) // 2
        return low

    def _further_blocks(self, steps: int) -> int:
        """Blocks that ``steps`` more steps like the one under way need."""
        need = self._decoders.new_blocks(steps + 1) - self._decoders.new_blocks(1)
        for one in self._prefills:
            end = one.computed + one.chunk
            need += self._blocks.count(end + steps * one.chunk) - self._blocks.count(end)
        return need

    def _end_prefills(self, now_s: float, steps: int) -> list[InFlight]:
        """Let those whose prompt is processed write on. Returns those that are done already."""
        done: list[InFlight] = []
        rest: list[InFlight] = []
        for one in self._prefills:
            one.computed += steps * one.chunk
            if one.computed < one.known:
                rest.append(one)
                continue
            one.chunk = 0
            one.known += 1
            if one.first_s is None:
                one.first_s = now_s
            if one.known >= one.goal:
                done.append(one)
            else:
                self._decoders.join(one)
        self._prefills = rest
        return done
