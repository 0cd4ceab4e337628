"""vLLM's scheduler (V1, as of 0.32), simulated: which request processes how many tokens in a step.

The rules, from ``vllm/v1/core/sched/scheduler.py`` with first come, first served:

1. A step has ``max_num_batched_tokens`` tokens to give. Requests that run come first, in the order
   of their admission: one token each, or the next chunk of a prompt.
2. Where blocks are missing, the request that was admitted last loses its own and goes back to the
   front of the queue; no request is admitted in such a step.
3. Then requests are admitted from the front of the queue while tokens are left, fewer than
   ``max_num_seqs`` run, and the whole prompt has room beside what the cache holds of it already
   (``scheduler_reserve_full_isl``).

So at most one prompt is ever in the middle of its chunks, and it was admitted last. Not simulated
are asynchronous scheduling, which shifts what a step knows by one step, speculative decoding, and
models whose layers keep different windows.
"""

from __future__ import annotations

from collections import deque

from stoker.sizing.decoders import Decoders
from stoker.sizing.fleet import VllmReplica
from stoker.sizing.in_flight import InFlight
from stoker.sizing.prefix_cache import Piece, PrefixCache
from stoker.sizing.step_span import StepSpan

_ENDLESS = 1 << 60


class VllmEngine:
    """One server. ``start`` begins steps, ``finish`` ends them; in between time passes."""

    def __init__(self, settings: VllmReplica, longest_span: int = _ENDLESS) -> None:
        self.settings = settings
        self.cache = PrefixCache(settings.blocks - 1)
        self.waiting: deque[InFlight] = deque()
        self.running: dict[InFlight, None] = {}
        self.preemptions = 0
        self._block = settings.block_size
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
        self.waiting.append(one)

    def load(self) -> int:
        """Requests that wait or run."""
        return len(self.waiting) + len(self.running)

    def used_share(self) -> float:
        """The share of the cache's blocks that requests hold."""
        return 1 - self.cache.free / self.cache.blocks

    def start(self, now_s: float) -> float | None:
        """Begin steps, and return when they end; ``None`` where there is nothing to do."""
        if not self.waiting and not self.running:
            return None
        self._schedule(now_s)
        self._span = self._span_from(now_s)
        return self._span.end_s()

    def interrupt(self, at_s: float) -> float | None:
        """A request came: end with this step if it can join then. Returns the new end, if so."""
        span = self._span
        if span is None or span.steps == 1 or not self._could_admit():
            return None
        return span.end_s() if span.cut_at(at_s) else None

    def finish(self, now_s: float) -> list[InFlight]:
        """End the steps that were begun, and return the requests that are done with them."""
        span, self._span = self._span, None
        if span is None:
            return []
        if span.steps > 1:
            self._take_for_further(span.steps - 1)
        done = self._decoders.advance(span.steps)
        done += self._end_prefills(now_s, span.steps)
        for one in done:
            self._release(one)
            del self.running[one]
        return done

    # --- what runs in a step

    def _schedule(self, now_s: float) -> None:
        budget = self.settings.max_num_batched_tokens - self._decoders.count
        need = self._decoders.new_blocks(1)
        for one in self._prefills:
            one.chunk = min(one.known - one.computed, budget)
            need += self._blocks_for(one.computed + one.chunk) - self._blocks_for(one.computed)
            budget -= one.chunk
        self._preempted = need > self.cache.free
        if self._preempted:
            self._preempt_and_take()
            return
        self.cache.take(need)
        for one in self._prefills:
            self._own_blocks(one, one.computed + one.chunk)
        while budget > 0 and self.waiting and len(self.running) < self.settings.max_num_seqs:
            used = self._admit(self.waiting[0], budget, now_s)
            if not used:
                break
            budget -= used

    def _admit(self, one: InFlight, budget: int, now_s: float) -> int:
        """Let the first of the queue run. Returns the tokens that it processes, 0 if it can't."""
        pieces, free = self._match(one)
        hit = pieces[-1][2] if pieces else 0
        if self._blocks_for(one.known) - hit + free > self.cache.free:
            return 0
        self.waiting.popleft()
        self.cache.hold(one.holding, pieces)
        one.computed = hit * self._block
        if one.admitted_s is None:
            one.admitted_s = now_s
            one.cached_tokens = one.computed
        one.chunk = min(one.known - one.computed, budget)
        self.cache.take(self._blocks_for(one.computed + one.chunk) - hit)
        self._own_blocks(one, one.computed + one.chunk)
        self._admitted += 1
        one.order = self._admitted
        self.running[one] = None
        self._prefills.append(one)
        return one.chunk

    def _match(self, one: InFlight) -> tuple[list[Piece], int]:
        """The blocks that the cache holds of a prompt. Its last token is always processed."""
        if not self.settings.prefix_caching:
            return [], 0
        request = one.request
        limit = (one.known - 1) // self._block
        head = (request.head, request.head_tokens // self._block)
        return self.cache.match((head, (request.session, limit)), limit)

    def _own_blocks(self, one: InFlight, tokens: int) -> None:
        """Note the blocks that a request has for its first ``tokens``; full ones are known."""
        holding = one.holding
        holding.open_blocks = self._blocks_for(tokens) - holding.cached
        if self.settings.prefix_caching:
            full = tokens // self._block
            head = one.request.head_tokens // self._block
            self.cache.learn(holding, one.request.head, min(full, head))
            self.cache.learn(holding, one.request.session, full)

    def _preempt_and_take(self) -> None:
        """One step in which blocks are missing, request by request as vLLM goes through them."""
        order = list(self.running)
        at = 0
        while at < len(order):
            one = order[at]
            computed = one.computed if one.chunk else self._decoders.step + one.offset
            end = computed + (one.chunk or 1)
            need = self._blocks_for(end) - self._blocks_for(computed)
            while need > self.cache.free and order[-1] is not one:
                self._preempt(order.pop())
            if need > self.cache.free:
                self._preempt(order.pop())
                return
            self.cache.take(need)
            if one.chunk:
                self._own_blocks(one, end)
            at += 1

    def _preempt(self, one: InFlight) -> None:
        if one.chunk:
            self._prefills.remove(one)
        else:
            self._decoders.leave(one)
        self._release(one)
        del self.running[one]
        one.computed = one.chunk = 0
        one.preemptions += 1
        self.preemptions += 1
        self.waiting.appendleft(one)

    def _release(self, one: InFlight) -> None:
        self._own_blocks(one, one.computed)
        self.cache.release(one.holding)

    # --- how long it takes, and for how many steps it stays so

    def _span_from(self, now_s: float) -> StepSpan:
        times, decoders = self.settings.step_times, self._decoders
        chunk, scores = 0, 0.0
        for one in self._prefills:
            chunk += one.chunk
            scores += one.chunk * (one.computed + one.chunk / 2)
        first_s = (
            times.batch_s(decoders.count, chunk)
            + times.cache_token_s * decoders.tokens
            + times.attention_s * scores
        )
        growth_s = times.cache_token_s * decoders.count + times.attention_s * chunk * chunk
        return StepSpan(now_s, first_s, growth_s, self._steps_alike(chunk))

    def _steps_alike(self, chunk: int) -> int:
        """Steps from this one on that all have the same batch."""
        if self._preempted or len(self._prefills) > 1:
            return 1
        steps = self._decoders.steps_to_end() or _ENDLESS
        steps = min(steps, self._longest_span)
        for one in self._prefills:
            steps = min(steps, max(1, (one.known - one.computed - 1) // chunk))
        return steps if self._has_room(steps, chunk) else self._most_steps(steps, chunk)

    def _has_room(self, steps: int, chunk: int) -> bool:
        """Whether the blocks for ``steps`` steps are there, of which the first has its own."""
        return self._further_blocks(steps - 1, chunk) <= self.cache.free

    def _most_steps(self, steps: int, chunk: int) -> int:
        low, high = 1, steps
        while high - low > 1:
            middle = (low + high) // 2
            if self._has_room(middle, chunk):
                low = middle
            else:
                high = middle
        return low

    def _further_blocks(self, steps: int, chunk: int) -> int:
        """Blocks that ``steps`` more steps like this one need."""
        need = self._decoders.new_blocks(steps + 1) - self._decoders.new_blocks(1)
        for one in self._prefills:
            end = one.computed + chunk
            need += self._blocks_for(end + steps * chunk) - self._blocks_for(end)
        return need

    def _take_for_further(self, steps: int) -> None:
        chunk = self._prefills[0].chunk if self._prefills else 0
        self.cache.take(self._further_blocks(steps, chunk))
        for one in self._prefills:
            self._own_blocks(one, one.computed + (steps + 1) * chunk)

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

    def _could_admit(self) -> bool:
        """Whether a request that comes now could join the next step, were the steps cut short."""
        return (
            not self._prefills
            and len(self.running) < self.settings.max_num_seqs
            and self._decoders.count < self.settings.max_num_batched_tokens
            # A single one that waits was not there when this step was scheduled.
            and len(self.waiting) <= 1
        )

    def _blocks_for(self, tokens: int) -> int:
        return -(-tokens // self._block)
