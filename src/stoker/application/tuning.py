"""``stoker tune``: measure other arguments of the engine on this machine, and keep what is better.

The deployment is stopped meanwhile, because two engines would disturb each other, and started
again at the end, with what was found.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import TypeAlias

from stoker import engines, models, server
from stoker.application import tuned_arguments
from stoker.application.launch_request import this_machine
from stoker.application.trial_search import Found, Judged, SearchEvent, search
from stoker.application.tuned_arguments import Tuned
from stoker.checks.bench.load_generator import Halt, LoadClient, open_loop, session
from stoker.checks.bench.workloads import Wording, request
from stoker.engines import learned_drafts
from stoker.errors import StokerError, UsageError
from stoker.generator_result import GeneratorResult
from stoker.host import Host
from stoker.planning import Plan, Trial
from stoker.server import LaunchSpec
from stoker.server.engine_alone import engine_alone

#: A turn of the work that is measured: prompt and answer take about this long, within bounds.
_READ_S, _LEAST_PROMPT, _MOST_PROMPT = 4.0, 64, 4096
_WRITE_S, _LEAST_ANSWER, _MOST_ANSWER = 3.0, 16, 256
_CHARS_PER_TOKEN = 3.5
#: Turns that are measured after each start of the engine; one before them only warms it up.
_TURNS = 2
_TURN_LIMIT_S = 600.0


@dataclass(frozen=True, slots=True)
class Stopped:
    """The deployment is about to be stopped for the time of the measurements."""

    spec: LaunchSpec


@dataclass(frozen=True, slots=True)
class TuningEnd:
    """The end: what was found, and what to start from now on."""

    before: Plan
    found: Found
    spec: LaunchSpec


TuningEvent: TypeAlias = SearchEvent | Stopped | TuningEnd


def tune(seconds: float, *, again: bool = False) -> Generator[TuningEvent, None, None]:
    """Measure for ``seconds``; the last event is ``TuningEnd``, with what to start from now on.

    ``again``: also what was measured before. Where the reader stops, what was measured is kept, and
    the next call goes on from there. The reader starts the deployment again, whatever is
    raised after ``Stopped``. Raises ``StokerError`` where nothing was started here, where another
    ``stoker tune`` measures, and where what is found can't be kept, and ``UsageError`` where the
    engine is not Stoker's to start.
    """
    with server.alone_tuning():
        yield from _tune(_spec(), seconds, again=again)


def _tune(spec: LaunchSpec, seconds: float, *, again: bool) -> Generator[TuningEvent, None, None]:
    machine, plan = this_machine(ask_hub=False).host, spec.plan
    known = tuned_arguments.read(plan, machine)
    known = replace(known, rejected={}) if again else known
    tuned_arguments.require_writable()
    server.require_keys(spec.bind, insecure=spec.insecure)  # while it runs: it is to run again
    yield Stopped(spec)
    _stop()
    ends_at = time.monotonic() + seconds
    searching = search(
        plan,
        _trials(spec, machine),
        lambda changed: asyncio.run(_measured_s(replace(spec, plan=changed))),
        lambda: ends_at - time.monotonic(),
        known.rejected,
    )
    found = yield from _remembered(searching, machine, plan, known)
    yield TuningEnd(plan, found, replace(spec, plan=found.plan))


def _stop() -> None:
    """Stop the deployment whole, also where Ctrl-C comes meanwhile."""
    try:
        server.stop()
    except KeyboardInterrupt:
        server.stop()
        raise


def _remembered(
    searching: Generator[SearchEvent, None, Found],
    machine: Host,
    plan: Plan,
    known: Tuned,
) -> Generator[TuningEvent, None, Found]:
    """The search, with what comes of it kept at once."""
    running = GeneratorResult(searching)
    for event in running:
        if isinstance(event, Judged) and not event.kept:
            known = replace(known, rejected={**known.rejected, event.trial.name: event.gain})
            tuned_arguments.remember(plan, machine, known)
        yield event
    found = running.value
    if found.plan is not plan:
        known = tuned_arguments.found(known, plan, found.plan, found.gain)
        tuned_arguments.remember(plan, machine, known)
        _allow_drafts(plan, found.plan, machine)
    return found


def _allow_drafts(before: Plan, plan: Plan, machine: Host) -> None:
    """Where drafts were measured to be faster, later plans have them, whatever came before."""
    drafting = engines.lookup(plan.engine).drafting
    if drafting is None or not drafting.drafts(plan):
        return
    if any(plan.argument(name) != before.argument(name) for name in drafting.arguments):
        learned_drafts.allow(plan, machine)


def _spec() -> LaunchSpec:
    """What was started here, with the model's shape, which its file has and the state has not."""
    deployment = server.current()
    if deployment is None:
        raise StokerError(
            "There is nothing to tune.", "Nothing was started here.", "Start a model: stoker up."
        )
    spec = deployment.spec
    if spec.options.adopted is not None:
        raise UsageError(
            "This engine can't be tuned.",
            f"{spec.options.adopted} was started by you, with its own arguments.",
            "Tune what `stoker up` has started.",
        )
    return replace(spec, plan=replace(spec.plan, model=models.read_again(spec.plan.model)))


def _trials(spec: LaunchSpec, machine: Host) -> tuple[Trial, ...]:
    """What may be faster. An argument that the user set stays as it is."""
    planner = engines.lookup(spec.plan.engine).planner
    trials = planner.trials(spec.plan, machine) if planner else ()
    return tuple(
        trial
        for trial in trials
        if not any(server.spelled(argument.name) in spec.fixed for argument in trial.arguments)
    )


async def _measured_s(spec: LaunchSpec) -> float:
    """Seconds for the same turns with the engine of ``spec``, started for them."""
    plan = spec.plan
    prompt = _bounded(_READ_S * (plan.prefill_tokens_per_s or 0), _LEAST_PROMPT, _MOST_PROMPT)
    prompt = min(prompt, plan.max_model_len // 2)
    answer = _bounded(_WRITE_S * (plan.decode_tokens_per_s or 0), _LEAST_ANSWER, _MOST_ANSWER)
    name = plan.model.served_name
    warm = Wording("completion", name, int(_LEAST_PROMPT * _CHARS_PER_TOKEN), _LEAST_ANSWER)
    turn = Wording("completion", name, int(prompt * _CHARS_PER_TOKEN), answer)
    async with engine_alone(spec) as backend, session() as http:
        client = LoadClient(http, backend)
        await _turn_s(client, warm)
        return sum([await _turn_s(client, turn) for _ in range(_TURNS)])


async def _turn_s(client: LoadClient, wording: Wording) -> float:
    """Seconds for a prompt that is in no cache, and its answer."""
    asked = request(wording, secrets.token_hex(8), 0)
    (timing,) = await open_loop(client.send, [asked], [0.0], Halt(_TURN_LIMIT_S))
    if not timing.answered:
        raise StokerError("The engine did not answer.", f"It reports: {timing.failure}.")
    return timing.total_s


def _bounded(tokens: float, least: int, most: int) -> int:
    return int(min(most, max(least, tokens)))
