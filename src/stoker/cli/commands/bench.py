"""``stoker bench``: measure an endpoint, print the times, and write a page."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from statistics import median
from typing import Annotated, Any, TypeVar

import typer

from stoker import checks, paths, server
from stoker import host as machine
from stoker.application import measured_speed
from stoker.checks import bench
from stoker.checks.bench import (
    BenchReport,
    BenchTarget,
    Deviation,
    Distribution,
    Halt,
    Rung,
    Settings,
    Side,
)
from stoker.cli import endpoint_argument
from stoker.cli.options import Json, KeyEnv, writable
from stoker.cli.render import bench_page, html_page, output
from stoker.errors import UsageError
from stoker.planning import Plan

_T = TypeVar("_T")
_NAMES = ("A", "B")


class Arrivals(str, Enum):
    """How arrivals are distributed over time."""

    POISSON = "poisson"
    FIXED = "fixed"


@dataclass(frozen=True)
class _Found:
    """The endpoint to measure, and the plan of its deployment if Stoker started it."""

    endpoint: BenchTarget
    plan: Plan | None


def command(
    url: Annotated[
        str | None,
        typer.Argument(help="The endpoint's address. Default: the deployment that runs here."),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="A second endpoint to compare with, in alternating turns."
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="The model to measure. Default: the first that it lists.")
    ] = None,
    against_model: Annotated[
        str | None, typer.Option(help="The model to measure at the second endpoint.")
    ] = None,
    shape: Annotated[
        str, typer.Option(help="What to send: chat, agent, completion.")
    ] = "chat,agent,completion",
    prefix: Annotated[
        str, typer.Option(help="cold: no prompt is in a prefix cache. cached: its beginning is.")
    ] = "cold,cached",
    concurrency: Annotated[
        str, typer.Option(help="Numbers of requests at the same time.")
    ] = "1,2,4",
    rate: Annotated[
        float | None, typer.Option(help="Requests per second, instead of the concurrency above 1.")
    ] = None,
    arrivals: Annotated[
        Arrivals, typer.Option(help="poisson: at random, like independent users. fixed: evenly.")
    ] = Arrivals.POISSON,
    requests: Annotated[
        int | None,
        typer.Option(min=1, max=10_000, help="Requests at each load. Default: fits the time."),
    ] = None,
    seconds: Annotated[float, typer.Option(min=1, help="Time limit for each endpoint.")] = 100.0,
    prompt_tokens: Annotated[
        int | None,
        typer.Option(min=16, help="Length of prompts. Default: as editors send, if there is time."),
    ] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option(min=2, help="Length of answers. Default: 32, and 16 for completions."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the arrivals and the prompts.")] = 0,
    key_env: KeyEnv = None,
    against_key_env: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="The environment variable with the second endpoint's key."
        ),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(callback=writable, help="Write an HTML page with plots to this file."),
    ] = None,
    json: Json = False,
) -> None:
    """Measure how fast an endpoint answers, idle and under load."""
    if rate is not None and rate <= 0:
        raise UsageError(
            f"--rate {rate:g} sends no requests: a rate of 0 or less.", fix="Give a rate above 0."
        )
    settings = Settings(
        shapes=_several("--shape", shape, {name: name for name in bench.SHAPES}),
        cached=_several("--prefix", prefix, {"cold": False, "cached": True}),
        concurrency=_ladder(concurrency),
        rate_per_s=rate,
        arrivals=arrivals.value,
        requests=requests,
        seconds=seconds,
        prompt_tokens=prompt_tokens,
        max_tokens=max_tokens,
        seed=seed,
    )
    found = _find(url, key_env, model)
    endpoints = [found.endpoint]
    if against is not None:
        endpoints.append(_find(against, against_key_env, against_model).endpoint)
    if not json:
        _show_head(endpoints, settings)
    report = asyncio.run(_measure(endpoints, settings, quiet=json))
    deviations = _deviations(report, found.plan)
    _learn(report, found.plan, deviations)
    sides = bench.side_by_side(report)
    if html is not None:
        html_page.write(html, bench_page.render(report, deviations, sides))
    if json:
        output.as_json(_document(report, found.plan, deviations, sides))
    else:
        _show(report, found.plan, deviations, sides)
        if html is not None:
            output.say(f"\nWritten: {html}")
    raise typer.Exit(_exit_code(report))


def _several(option: str, text: str, known: dict[str, _T]) -> tuple[_T, ...]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    wrong = [name for name in names if name not in known]
    if wrong or not names:
        raise UsageError(
            f"{option} does not accept {', '.join(wrong) or 'an empty list'}.",
            fix=f"Choose from {', '.join(known)}; separate several with commas.",
        )
    return tuple(known[name] for name in dict.fromkeys(names))


def _ladder(text: str) -> tuple[int, ...]:
    try:
        rungs = tuple(sorted({int(part) for part in text.split(",")}))
    except ValueError:
        rungs = ()
    if not rungs or rungs[0] < 1 or rungs[-1] > 1024:
        raise UsageError(
            f"--concurrency {text!r} is not a list of numbers.",
            "It takes integers from 1 to 1,024, separated by commas.",
            "For example: --concurrency 1,2,4.",
        )
    return rungs


def _find(url: str | None, key_env: str | None, model: str | None) -> _Found:
    """The endpoint, and the running deployment's plan where this is its endpoint."""
    found = endpoint_argument.find(url, key_env)
    endpoint = BenchTarget(found.backend, *checks.choose_model(found, model))
    running = server.current()
    if running is None or not running.state.alive or running.spec.endpoint != found.backend.url:
        return _Found(endpoint, None)
    return _Found(endpoint, running.spec.plan)


def _deviations(report: BenchReport, plan: Plan | None) -> list[Deviation]:
    """What was measured beside what the plan predicts for the same load."""
    if plan is None:
        return []
    return bench.against_plan(report, plan, measured_speed.predictor(plan, _host()))


def _host() -> machine.Host:
    return machine.detect(paths.cache_dir(), ask_hub=False)


def _learn(report: BenchReport, plan: Plan | None, deviations: Sequence[Deviation]) -> None:
    """Keep how far the plan was off where one request ran alone, for later plans here."""
    if plan is None or report.interrupted:
        return
    alone = [d for d in deviations if d.concurrency == 1]
    measured_speed.remember(
        plan,
        _host(),
        token=_middle(1 + d.off for d in alone if d.what == bench.TOKEN),
        first_token=_middle(
            1 + d.off for d in alone if d.what == bench.FIRST_TOKEN and not d.cached
        ),
    )


def _middle(values: Iterable[float]) -> float | None:
    known = list(values)
    return median(known) if known else None


async def _measure(
    endpoints: Sequence[BenchTarget], settings: Settings, *, quiet: bool
) -> BenchReport:
    """Run the benchmark. Ctrl-C stops it and keeps what was measured; a second one exits."""
    halt = bench.time_limit(endpoints, settings)
    _stop_at_ctrl_c(halt)
    async for event in bench.bench(endpoints, settings, halt):
        if isinstance(event, BenchReport):
            report = event
        elif not quiet:
            output.say(_row(event, len(endpoints)))
    return report


def _stop_at_ctrl_c(halt: Halt) -> None:
    if sys.platform == "win32":
        return
    loop = asyncio.get_running_loop()

    def stop() -> None:
        halt.stop()
        loop.remove_signal_handler(signal.SIGINT)

    loop.add_signal_handler(signal.SIGINT, stop)


def _exit_code(report: BenchReport) -> int:
    """130 after Ctrl-C, 1 where a request failed, else 0."""
    if report.interrupted:
        return 130
    return int(any(rung.summary.broken for rung in report.rungs))


# --- output --------------------------------------------------------------------------------------


def _document(
    report: BenchReport, plan: Plan | None, deviations: list[Deviation], sides: list[Side]
) -> dict[str, Any]:
    """The report for ``--json``: times in seconds, tokens as the servers count them."""
    return {
        "endpoints": [
            {"url": e.backend.url, "engine": e.backend.engine, "model": e.model}
            for e in report.endpoints
        ],
        "settings": asdict(report.settings),
        "interrupted": report.interrupted,
        "notes": report.notes,
        "rungs": [asdict(rung) for rung in report.rungs],
        "prediction": [{**asdict(d), "off": d.off, "within": d.within} for d in deviations]
        if plan
        else None,
        "ratios": [{**asdict(side), "certain": side.ratio.certain} for side in sides],
    }


def _show_head(endpoints: Sequence[BenchTarget], settings: Settings) -> None:
    for name, endpoint in zip(_NAMES, endpoints, strict=False):
        line = f"{endpoint.model} at {endpoint.backend.url}"
        output.say(f"{name}: {line}" if len(endpoints) > 1 else line)
    output.say(
        f"At most {output.duration(settings.seconds * len(endpoints))}. Ctrl-C stops it early.\n"
    )
    output.say(f"{'':21}{'at':>5}{'':>8}  first token, s  ms per token    tokens")
    output.say(f"{'':21}{'once':>5}{'answered':>9}    p50     p95    p50    p95   per s")


def _row(rung: Rung, endpoints: int) -> str:
    summary = rung.summary
    name = f"{rung.shape} {'cached' if rung.cached else 'cold'}"
    if endpoints > 1:
        name = f"{_NAMES[rung.endpoint]} {name}"
    first, token = summary.first_token_s, summary.token_s
    marks = (" !" if summary.broken else "") + (" >" if summary.keeps_up is False else "")
    return (
        f"{name:21}{rung.concurrency:5.3g}{f'{summary.answered}/{summary.requests}':>9}"
        f"{_seconds(first)}"
        f"{_ms(token)}"
        f"{summary.output_tokens_per_s:8.1f}{marks}"
    )


def _seconds(times: Distribution | None) -> str:
    if times is None:
        return f"{'-':>8}{'-':>8}"
    return "".join(f"{time:8.{3 if time < 10 else 1}f}" for time in (times.p50, times.p95))


def _ms(times: Distribution | None) -> str:
    if times is None:
        return f"{'-':>7}{'-':>7}"
    return f"{1000 * times.p50:7.1f}{1000 * times.p95:7.1f}"


def _show(
    report: BenchReport, plan: Plan | None, deviations: list[Deviation], sides: list[Side]
) -> None:
    if any(rung.summary.keeps_up is False for rung in report.rungs):
        output.say("\n>: the server fell behind. Requests arrived faster than answers, and queued.")
    for rung in report.rungs:
        for failure, count in rung.summary.broken.items():
            state = "cached" if rung.cached else "cold"
            where = f"{rung.shape} {state}, {rung.concurrency:g} at once"
            output.say(f"! {where}: {count} of {rung.summary.requests} failed: {failure}")
    _show_plan(plan, deviations)
    if sides:
        output.say("\nB compared with A (time B / time A, median with its 95 % interval):")
    for side in sides:
        output.say(f"  {bench_page.side_words(side)}")
    for note in report.notes:
        output.say(f"\nNote: {note}")


def _show_plan(plan: Plan | None, deviations: list[Deviation]) -> None:
    if plan is None:
        return
    if not deviations:
        output.say("\nThe plan has no prediction for the loads that were measured.")
        return
    output.say("\nThe plan predicted:")
    for deviation in deviations:
        output.say(f"  {bench_page.deviation_words(deviation)}")
