"""Run the benchmark: each shape of request, cold and cached, at rising concurrency.

The first rung sends one request at a time. Its duration sets the rate of the others: on the rung
for ``c`` at once, requests are due at the rate at which ``c`` would be under way if the server
answered each as fast as a single one (Little's law). They are sent when they are due, whether or
not the server keeps up.

Two endpoints take turns, in an order that is reversed each time, so that changes on the machine
affect both alike.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace

from stoker.checks.bench.arrival_schedule import Arrivals, schedule
from stoker.checks.bench.load_generator import Halt, LoadClient, Send, open_loop, session
from stoker.checks.bench.request_timing import CUT_OFF, NOT_SENT, Timing
from stoker.checks.bench.statistics import Summary, summarise
from stoker.checks.bench.workloads import (
    SHAPES,
    USUAL_ANSWER_TOKENS,
    USUAL_TOKENS,
    Request,
    Shape,
    Wording,
    request,
)
from stoker.engines import Backend
from stoker.errors import StokerError

#: The first guess of how many characters a token has, before the server has counted any.
_CHARS_PER_TOKEN = 3.5
#: Prompt tokens of the request that measures how fast the server reads. No prompt of the benchmark
#: is shorter, unless the user asks for one.
_PROBE_TOKENS, _PROBE_ANSWER_TOKENS = 256, 8
#: Reading one uncached prompt may take this share of the available time.
_READ_SHARE = 0.01
#: The share of a cached prompt that is read; an engine without a prefix cache reads it all.
_CACHED_READS = 0.25
#: Bounds of the requests on each rung, which depend on the time.
_MOST_REQUESTS, _LEAST_REQUESTS = 64, 4
#: On a server that is too slow for those: a few for each shape rather than none for the last.
_FEWEST_REQUESTS = 2
#: Prompt tokens of all rungs of an endpoint together, since prompts may cost money.
_MOST_PROMPT_TOKENS = 1_000_000
#: Where requests were sent later than this, the report has a note: this machine was busy.
_LATE_S = 0.05
#: The share of the context window for the prompt: an agent's grows, and the answer needs room.
_CONTEXT_SHARE = 0.6
#: A server may keep a prefix in each of its slots, and each slot needs a request to warm it.
_MOST_WARM = 16


@dataclass(frozen=True, slots=True)
class BenchTarget:
    """A server to measure, and which of its models."""

    backend: Backend
    model: str
    #: Its context window in tokens; ``None`` where the server does not advertise it.
    max_model_len: int | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """What to measure. ``None`` stands for as much as the time allows."""

    shapes: tuple[Shape, ...] = SHAPES
    #: ``False``: cold, no prefix is in a cache. ``True``: cached.
    cached: tuple[bool, ...] = (False, True)
    concurrency: tuple[int, ...] = (1, 2, 4)
    #: Requests per second, instead of the rungs above the first.
    rate_per_s: float | None = None
    arrivals: Arrivals = "poisson"
    #: Requests on each rung.
    requests: int | None = None
    #: Time for each endpoint.
    seconds: float = 100.0
    prompt_tokens: int | None = None
    max_tokens: int | None = None
    seed: int = 0

    def answer_tokens(self, shape: Shape) -> int:
        """Tokens to ask for."""
        return self.max_tokens or USUAL_ANSWER_TOKENS[shape]


@dataclass(frozen=True, slots=True)
class Rung:
    """One endpoint under one load."""

    #: Which of the endpoints.
    endpoint: int
    shape: Shape
    cached: bool
    #: Requests that would be under way at once if each were answered as quickly as one alone.
    concurrency: float
    #: Requests per second that were due; ``None`` where one was sent at a time.
    offered_per_s: float | None
    summary: Summary
    rounds: tuple[tuple[Timing, ...], ...]

    @property
    def timings(self) -> list[Timing]:
        """All requests."""
        return [timing for timings in self.rounds for timing in timings]


@dataclass(frozen=True, slots=True)
class BenchReport:
    """What was measured, and what was not."""

    endpoints: tuple[BenchTarget, ...]
    settings: Settings
    rungs: tuple[Rung, ...]
    #: What is missing and why, and what affects the figures.
    notes: tuple[str, ...]
    interrupted: bool = False


@dataclass(frozen=True, slots=True)
class _Probe:
    """What a request showed about an endpoint and a shape."""

    full_answers: bool
    chars_per_token: float
    #: Seconds to read a token of the prompt, and to write one of the answer.
    read_s: float
    write_s: float


@dataclass(slots=True)
class _Run:
    """The state of a running benchmark."""

    endpoints: Sequence[BenchTarget]
    sends: Sequence[Send]
    settings: Settings
    halt: Halt
    probes: dict[Shape, list[_Probe]] = field(default_factory=dict)
    prompt_tokens: dict[Shape, int] = field(default_factory=dict)
    requests: int = 0
    rungs: list[Rung] = field(default_factory=list)
    #: Names of rungs that were left out to have time for the other shapes.
    left_out: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def wording(self, endpoint: int, shape: Shape) -> Wording:
        """The requests of a shape for an endpoint: the same text for each of them."""
        text, own = self.probes[shape][0], self.probes[shape][endpoint]
        return Wording(
            shape,
            self.endpoints[endpoint].model,
            int(self.prompt_tokens[shape] * text.chars_per_token),
            self.settings.answer_tokens(shape),
            self.settings.seed,
            own.full_answers,
        )


def time_limit(endpoints: Sequence[BenchTarget], settings: Settings) -> Halt:
    """What ends a benchmark when its time is up, counted from now in the running event loop."""
    return Halt(settings.seconds * len(endpoints))


async def bench(
    endpoints: Sequence[BenchTarget], settings: Settings, halt: Halt
) -> AsyncIterator[Rung | BenchReport]:
    """Measure one endpoint, or two in turns, until ``halt``: each rung, and at last the report.

    Raises ``StokerError`` where an endpoint answers no shape at all.
    """
    async with session() as http:
        sends = [LoadClient(http, endpoint.backend).send for endpoint in endpoints]
        async for event in sweep(endpoints, sends, settings, halt):
            yield event


async def sweep(
    endpoints: Sequence[BenchTarget], sends: Sequence[Send], settings: Settings, halt: Halt
) -> AsyncIterator[Rung | BenchReport]:
    """``bench`` with the function that sends a request, for each endpoint; it opens no session."""
    run = _Run(endpoints, sends, settings, halt)
    for shape in settings.shapes:
        await _probe_all(run, shape)
    if not run.probes and not halt.by_user:
        raise StokerError(
            "No shape of request could be measured.",
            " ".join(run.notes),
            "Check the address, the key and the model: stoker test URL shows what works.",
        )
    _fit_the_time(run)
    climbs = [(shape, cached) for shape in run.probes for cached in settings.cached]
    for index, (shape, cached) in enumerate(climbs):
        async for rung in _climb(run, shape, cached, _share_s(run, climbs[index:])):
            run.rungs.append(rung)
            yield rung
    _add_notes(run)
    yield BenchReport(tuple(endpoints), settings, tuple(run.rungs), tuple(run.notes), halt.by_user)


def _add_notes(run: _Run) -> None:
    if run.left_out:
        run.notes.append(
            f"Left out, to have time for every shape: {', '.join(run.left_out)} at once. "
            "Raise --seconds to measure them."
        )
    late_s = max((rung.summary.sent_late_s for rung in run.rungs), default=0.0)
    if late_s > _LATE_S:
        run.notes.append(
            f"Requests were sent up to {1000 * late_s:.0f} ms late, because this machine was busy. "
            "The times include that delay."
        )


# --- probing -------------------------------------------------------------------------------------


async def _probe_all(run: _Run, shape: Shape) -> None:
    probes = []
    for number, endpoint in enumerate(run.endpoints):
        found = await _probe(run, number, shape)
        if isinstance(found, str):
            where = f" by {endpoint.backend.url}" if len(run.endpoints) > 1 else ""
            run.notes.append(
                f"{shape} was not measured: the request was not answered{where} ({found})."
            )
            return
        probes.append(found)
    run.probes[shape] = probes


async def _probe(run: _Run, endpoint: int, shape: Shape) -> _Probe | str:
    """Probe a shape. Returns the failure as text where it is not answered."""
    chars = int((run.settings.prompt_tokens or _PROBE_TOKENS) * _CHARS_PER_TOKEN)
    tokens = min(_PROBE_ANSWER_TOKENS, run.settings.answer_tokens(shape))
    first = Wording(shape, run.endpoints[endpoint].model, chars, tokens, run.settings.seed)
    failure = ""
    for full_answers in (True, False):
        wording = replace(first, full_answers=full_answers)
        # The first request after a start is slow on some engines, so the second one counts.
        for attempt in range(2):
            asked = request(wording, secrets.token_hex(8), attempt)
            timing = (await open_loop(run.sends[endpoint], [asked], [0.0], run.halt))[0]
            if not timing.answered:
                break
        else:
            prompt = timing.prompt_tokens or asked.prompt_chars / _CHARS_PER_TOKEN
            read_s, write_s = timing.first_token_s / prompt, timing.token_s or 0.0
            return _Probe(full_answers, asked.prompt_chars / prompt, read_s, write_s)
        failure = failure or timing.failure or ""
        if not failure.startswith("status 4"):
            break  # not a refusal of ``ignore_eos``
    return failure


def _fit_the_time(run: _Run) -> None:
    """Choose how long prompts are and how many requests each rung gets."""
    settings = run.settings
    for shape, probes in run.probes.items():
        run.prompt_tokens[shape] = settings.prompt_tokens or _fitting_prompt(run, shape, probes)
        usual = USUAL_TOKENS[shape]
        if settings.prompt_tokens is None and run.prompt_tokens[shape] < usual:
            run.notes.append(
                f"{shape} was measured with prompts of about {run.prompt_tokens[shape]:,} tokens; "
                f"editors send about {usual:,}. Longer ones exceed the context window or the time: "
                "raise --seconds, or set --prompt-tokens."
            )
    run.requests = settings.requests or _MOST_REQUESTS
    if settings.requests is not None:
        return
    left_s = run.halt.left_s / len(run.endpoints)
    while run.requests > _LEAST_REQUESTS:
        if _needed_s(run) <= left_s and _needed_tokens(run) <= _MOST_PROMPT_TOKENS:
            return
        run.requests //= 2
    if _needed_s(run) / _rungs(run) > left_s:  # not even the first rung of each shape
        run.requests = _FEWEST_REQUESTS


def _fitting_prompt(run: _Run, shape: Shape, probes: Sequence[_Probe]) -> int:
    """The usual prompt length, halved until it fits the context window and is read in time."""
    tokens = USUAL_TOKENS[shape]
    lengths = [e.max_model_len for e in run.endpoints if e.max_model_len is not None]
    room = _CONTEXT_SHARE * min(lengths, default=10 * tokens)
    readable = run.settings.seconds * _READ_SHARE / max(probe.read_s for probe in probes)
    while tokens > min(room, readable) and tokens // 2 >= _PROBE_TOKENS:
        tokens //= 2
    return tokens


def _needed_s(run: _Run) -> float:
    """Seconds that all rungs take on an endpoint that answers one request after the other."""
    each = sum(_each_s(run, shape, c) for shape in run.probes for c in run.settings.cached)
    return each * _rungs(run) * run.requests / len(run.endpoints)


def _each_s(run: _Run, shape: Shape, cached: bool) -> float:
    """Seconds of one request, summed over the endpoints."""
    read = run.prompt_tokens[shape] * (_CACHED_READS if cached else 1)
    write = run.settings.answer_tokens(shape)
    return sum(read * probe.read_s + write * probe.write_s for probe in run.probes[shape])


def _share_s(run: _Run, climbs: Sequence[tuple[Shape, bool]]) -> float:
    """Seconds for the first of ``climbs``: its share of the time left, and no limit for the last.

    Otherwise, on a server that is too slow even for the fewest requests, the first shapes would
    leave no time for the others.
    """
    if len(climbs) == 1:
        return math.inf
    first, *_ = needs = [_each_s(run, shape, cached) for shape, cached in climbs]
    return run.halt.left_s * first / sum(needs)


def _needed_tokens(run: _Run) -> int:
    """Prompt tokens of all rungs, for each endpoint."""
    each = sum(run.prompt_tokens.values()) * len(run.settings.cached)
    return each * _rungs(run) * run.requests


def _rungs(run: _Run) -> int:
    above = [load for load in run.settings.concurrency if load > 1]
    return 2 if run.settings.rate_per_s else 1 + len(above)


# --- climbing ------------------------------------------------------------------------------------


async def _climb(run: _Run, shape: Shape, cached: bool, share_s: float) -> AsyncIterator[Rung]:
    """Measure the rungs of a shape, cold or cached: the first, and as many as its time allows."""
    until_s = run.halt.left_s - share_s
    alone = await _rung(run, shape, cached, 1, [[0.0]] * run.requests, None, None)
    for rung in alone:
        yield rung
    totals = [r.summary.total_s.p50 for r in alone if r.summary.total_s is not None]
    if not alone or len(totals) < len(run.endpoints):
        if alone:
            why = _why_not(run) if run.halt.left_s == 0 else "stopped, as nothing was answered"
            run.notes.append(f"{_name(shape, cached)}: {why}.")
        return
    alone_s = totals[0]  # the first endpoint sets the pace for both
    above = [(float(c), c / alone_s) for c in sorted(run.settings.concurrency) if c > 1]
    if run.settings.rate_per_s:
        above = [(run.settings.rate_per_s * alone_s, run.settings.rate_per_s)]
    reached = 1.0
    for concurrency, per_s in above:
        # The time of a server that answers all of them at once as fast as a single one.
        needs_s = run.requests * sum(totals) / concurrency
        if 0 < run.halt.left_s < until_s + needs_s:
            run.left_out.append(f"{_name(shape, cached)} above {reached:g}")
            return
        reached = concurrency
        rounds = len(run.endpoints)
        count = max(1, run.requests // rounds)
        due = [
            schedule(count, per_s, run.settings.arrivals, run.settings.seed + turn)
            for turn in range(rounds)
        ]
        for rung in await _rung(run, shape, cached, concurrency, due, per_s, alone_s):
            yield rung


async def _rung(
    run: _Run,
    shape: Shape,
    cached: bool,
    concurrency: float,
    due: Sequence[Sequence[float]],
    per_s: float | None,
    alone_s: float | None,
) -> list[Rung]:
    """Rounds of requests for each endpoint, in turns; no rung where no time is left."""
    if run.halt.left_s == 0:
        run.notes.append(f"{_name(shape, cached)}, {concurrency:g} at once: {_why_not(run)}.")
        return []
    users = min(_MOST_WARM, max(1, round(concurrency)))
    numbers = range(len(run.endpoints))
    total = sum(len(times) for times in due)
    queues = [_requests(run.wording(n, shape), cached, users, total) for n in numbers]
    if cached:
        for number in numbers:
            await _warm(run, number, queues[number], users)
    rounds: list[list[list[Timing]]] = [[] for _ in numbers]
    for turn, times in enumerate(due):
        if run.halt.left_s == 0:
            for number in numbers:
                rounds[number].append([Timing(at, failure=NOT_SENT) for at in times])
            continue
        for number in numbers if turn % 2 == 0 else reversed(numbers):
            batch = [queues[number].pop(0) for _ in times]
            rounds[number].append(await open_loop(run.sends[number], batch, times, run.halt))
    measured = []
    for number in numbers:
        kept = tuple(tuple(timings) for timings in rounds[number])
        summary = summarise(kept, offered_per_s=per_s, alone_s=alone_s)
        measured.append(Rung(number, shape, cached, concurrency, per_s, summary, kept))
    return measured


def _requests(wording: Wording, cached: bool, users: int, count: int) -> list[Request]:
    """The requests of a rung in the order in which they are due.

    Where the prefix is to be cached, one request for each user comes first, to warm the cache.
    """
    salt = secrets.token_hex(8)
    if cached and wording.shape == "agent":  # each user has a conversation, which grows
        return [
            request(wording, f"{salt}-{index % users}", index // users)
            for index in range(users + count)
        ]
    if cached:
        return [request(wording, salt, index) for index in range(users + count)]
    # New conversations, as long as those above.
    return [request(wording, f"{index}-{salt}", 1 + index // users) for index in range(count)]


async def _warm(run: _Run, endpoint: int, queue: list[Request], users: int) -> None:
    first = [queue.pop(0) for _ in range(users)]
    warmed = await open_loop(run.sends[endpoint], first, [0.0] * users, run.halt)
    failed = [t.failure for t in warmed if t.failure and t.failure not in (CUT_OFF, NOT_SENT)]
    if failed:
        run.notes.append(f"{len(failed)} of {users} requests to warm the cache failed: {failed[0]}")


def _name(shape: Shape, cached: bool) -> str:
    return f"{shape} {'cached' if cached else 'cold'}"


def _why_not(run: _Run) -> str:
    why = "the benchmark was stopped" if run.halt.by_user else "the time was up (raise --seconds)"
    return f"not measured, because {why}"
