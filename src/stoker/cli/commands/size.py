"""``stoker size``: how many GPUs for how many developers, at what cost, and how sure that is."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stoker.cli.options import Json, KeyEnv, writable
from stoker.cli.render import output
from stoker.errors import StokerError, UsageError
from stoker.generator_result import GeneratorResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stoker.application.capacity import CapacityReport
    from stoker.application.capacity_request import CapacityRequest, GpuWish
    from stoker.sizing import ArrivingRequest
    from stoker.sizing.correction import Correction
    from stoker.sizing.cost import CostTable
    from stoker.sizing.search import Targets

_KINDS = ("agent", "chat", "completion")
_MIX_EXAMPLE = "For example: --mix agent=0.5,chat=0.2,completion=0.3"
_SLO_EXAMPLE = "For example: --slo ttft=2s,tpot=50ms"
_UNITS_S = {"ms": 1e-3, "s": 1.0}
#: What a trace has to have at least, for percentiles of it to mean something.
_LEAST_REQUESTS, _LEAST_TRACE_S = 100, 600.0


def command(
    developers: Annotated[int, typer.Option(help="Developers who use the models.")],
    active: Annotated[
        float, typer.Option(help="The share of them at work with a model at the busiest time.")
    ] = 0.3,
    mix: Annotated[
        str | None,
        typer.Option(
            metavar="KIND=SHARE,..",
            help="What those do: agent, chat, completion, as parts of 1. Default: agent=0.5,"
            "chat=0.2,completion=0.3",
        ),
    ] = None,
    slo: Annotated[
        str,
        typer.Option(
            metavar="ttft=TIME,tpot=TIME",
            help="What 95 of 100 requests have to keep: time to first token, time per output "
            "token.",
        ),
    ] = "ttft=2s,tpot=50ms",
    spare: Annotated[
        int, typer.Option(help="Servers that may fail with the targets still kept: 1 is N+1.")
    ] = 1,
    gpu: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[:COUNT]",
            help='A GPU to consider, and how many to a server: "H100:8". May be repeated. Default: '
            "all that have a price.",
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="The model to serve. Default: what is good enough.")
    ] = None,
    quality: Annotated[
        float | None,
        typer.Option(
            help="The least quality of the model, in points of SWE-bench Verified. Default: 70 for "
            "agents, 50 for chat."
        ),
    ] = None,
    context: Annotated[
        int, typer.Option(help="The context window in tokens; longer conversations are summarised.")
    ] = 131_072,
    growth: Annotated[float, typer.Option(help="Size for this many times the developers.")] = 1.0,
    trace: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Size by recorded arrivals, as stoker usage --trace writes them, of these "
            "developers.",
        ),
    ] = None,
    calibrate: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Correct the speed by what this endpoint shows in at most 39 requests and about "
            "90 s. It serves --model with one copy on all of --gpu.",
        ),
    ] = None,
    key_env: KeyEnv = None,
    rented: Annotated[
        bool,
        typer.Option("--rented/--bought", help="Compare the costs of rented or of bought servers."),
    ] = False,
    prices: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Your own prices, in the form of Stoker's costs.toml."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the simulated developers.")] = 0,
    csv: Annotated[
        bool, typer.Option("--csv", help="Print what was compared as a table, for spreadsheets.")
    ] = False,
    html: Annotated[
        Path | None,
        typer.Option(callback=writable, help="Write the answer as an HTML page to this file."),
    ] = None,
    deploy: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Write the files that run the recommended servers to this folder."
        ),
    ] = None,
    deploy_format: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="The format of --deploy. Default: compose for one server, kubernetes for several.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Find the least hardware for a number of developers, its cost, and when it breaks."""
    # Imported here: the catalogues and the simulation take a third of a second.
    from stoker.application.capacity_request import CapacityRequest  # noqa: PLC0415
    from stoker.cli.render import size_view  # noqa: PLC0415

    if json and csv:
        raise UsageError("--json and --csv can't be used together.", fix="Omit one of them.")
    if key_env is not None and calibrate is None:
        raise UsageError(
            "--key-env is for --calibrate.",
            "Without it no endpoint is asked, so no key is needed.",
            "Add --calibrate URL, or omit --key-env.",
        )
    _check_deployment(deploy, deploy_format)
    request = CapacityRequest(
        developers=developers,
        active_share=active,
        mix=_mix(mix),
        targets=_targets(slo, spare),
        growth=growth,
        gpus=tuple(_gpu(text) for text in gpu or ()),
        model=model,
        quality=quality,
        context=context,
        terms="rented" if rented else "bought",
        costs=_costs(prices),
        trace=_trace(trace),
        seed=seed,
    )
    if calibrate is not None:
        request = replace(request, correction=_calibrated(request, calibrate, key_env))
    report = _sized(request, quiet=json or csv)
    if html is not None:
        from stoker.cli.render import html_page, size_page  # noqa: PLC0415

        html_page.write(html, size_page.render(report))
    deployed = None if deploy is None else _deployed(report, deploy, deploy_format)
    if json:
        written = {} if deployed is None else {"deployment": deployed.document}
        output.as_json({**size_view.document(report), **written})
    elif csv:
        output.say(size_view.table(report).rstrip("\n"))
    else:
        for line in size_view.lines(report):
            output.say(line)
        if html is not None:
            output.say(f"\nWritten: {html}")
        for line in () if deployed is None else ("", *deployed.lines):
            output.say(line)


# --- the deployment ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Deployed:
    """What was written, for programs and for people."""

    document: dict[str, Any]
    lines: tuple[str, ...]


def _check_deployment(folder: Path | None, format_name: str | None) -> None:
    """Before minutes of simulation. Raises ``UsageError`` where nothing could be written."""
    from stoker.application import deployment_site  # noqa: PLC0415
    from stoker.deploy import exporter_for  # noqa: PLC0415

    if format_name is not None:
        exporter_for(format_name)
    if folder is not None:
        deployment_site.check_new_folder(folder)
    elif format_name is not None:
        raise UsageError(
            "--format is for --deploy.",
            "Without it no deployment is written.",
            "Add --deploy DIR, or omit --format.",
        )


def _deployed(report: CapacityReport, folder: Path, format_name: str | None) -> _Deployed:
    """Write the recommended servers as a deployment. Raises ``StokerError`` where that can't be."""
    from stoker.application import deployment_site  # noqa: PLC0415
    from stoker.application.capacity_deployment import deployment_of  # noqa: PLC0415
    from stoker.cli.render import deploy_view  # noqa: PLC0415

    request = deployment_of(report, format_name)
    record = deployment_site.new_record(request, report.best.option.plan, None, None)
    site, files = deployment_site.site_for(record), deployment_site.rendered(record)
    deployment_site.write(record, files, folder)
    exporter = deployment_site.exporter_of(request)
    lines = deploy_view.written_lines(site, folder, exporter.next_steps(site))
    change = (
        "For another address, TLS or images, write it again: "
        f"stoker deploy {request.format} --from {folder / deployment_site.RECORD} "
        f"--replicas {request.replicas} --users {request.users} --replace -o {folder}"
    )
    return _Deployed(
        {"format": request.format, **deploy_view.document(site, files, folder)}, (*lines, change)
    )


# --- reading options -----------------------------------------------------------------------------


def _mix(text: str | None) -> dict[str, float]:
    """``agent=0.5,chat=0.5``; empty for the default. Raises ``UsageError``."""
    if text is None:
        return {}
    shares = _pairs("--mix", text, _KINDS, _share, _MIX_EXAMPLE)
    total = sum(shares.values())
    if abs(total - 1) > 1e-6:
        raise UsageError(
            f"--mix {text} adds up to {total:g}.",
            "The shares are parts of all active developers, so they add up to 1.",
            _MIX_EXAMPLE,
        )
    return shares


def _share(text: str) -> float:
    """``0.5`` or ``50%``. Raises ``ValueError``."""
    share = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    if not 0 <= share <= 1:
        raise ValueError
    return share


def _targets(text: str, spare: int) -> Targets:
    from stoker.sizing.search import Targets  # noqa: PLC0415

    default = Targets(first_token_s=2.0, token_s=0.05, spare_servers=spare)
    given = _pairs("--slo", text, ("ttft", "tpot"), _time_s, _SLO_EXAMPLE)
    return replace(
        default,
        first_token_s=given.get("ttft", default.first_token_s),
        token_s=given.get("tpot", default.token_s),
    )


def _time_s(text: str) -> float:
    """``50ms`` or ``2s`` in seconds. Raises ``ValueError``."""
    for unit, scale in _UNITS_S.items():
        if text.endswith(unit):
            return float(text[: -len(unit)]) * scale
    raise ValueError


def _pairs(
    option: str,
    text: str,
    names: Sequence[str],
    parse: Callable[[str], float],
    example: str,
) -> dict[str, float]:
    """``a=1,b=2`` with known names, each once. Raises ``UsageError``."""
    found: dict[str, float] = {}
    for part in text.split(","):
        name, _, value = (piece.strip() for piece in part.partition("="))
        try:
            if name not in names or name in found:
                raise ValueError
            found[name] = parse(value)
        except ValueError:
            raise UsageError(
                f"{option} can't be read at {part.strip()!r}.",
                f"It takes {', '.join(names)}, each once, with a value.",
                example,
            ) from None
    return found


def _gpu(text: str) -> GpuWish:
    from stoker.application.capacity_request import GpuWish  # noqa: PLC0415

    name, colon, count = text.rpartition(":")
    if not colon:
        return GpuWish(text)
    if not count.strip().isdigit() or not 1 <= int(count) <= 64:
        raise UsageError(
            f"--gpu {text!r} names no number of GPUs.",
            "After the colon comes how many a server has, from 1 to 64.",
            'For example: --gpu "H100:8" --gpu L40S',
        )
    return GpuWish(name.strip(), int(count))


def _costs(path: Path | None) -> CostTable:
    from stoker.sizing.cost import shipped_costs, with_own  # noqa: PLC0415

    return shipped_costs() if path is None else with_own(shipped_costs(), _toml(path))


def _toml(path: Path) -> Mapping[str, object]:
    from stoker.data.facts import tomllib  # noqa: PLC0415

    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _unreadable(path, error) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path} is not a TOML file.", f"{error}.", "Correct it at that place."
        ) from error


def _unreadable(path: Path, error: OSError) -> UsageError:
    return UsageError(f"{path} can't be read.", f"{error.strerror}.", "Name a file of your own.")


def _trace(path: Path | None) -> Sequence[ArrivingRequest]:
    """The recorded arrivals. Raises ``StokerError`` for a file that nothing can be sized by."""
    if path is None:
        return ()
    from stoker.sizing import read_trace  # noqa: PLC0415

    try:
        # Spreadsheets begin a file with a byte order mark.
        with path.open(encoding="utf-8-sig", newline="") as file:
            arrivals = read_trace(file, str(path))
    except OSError as error:
        raise _unreadable(path, error) from error
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{path} is not a text file.",
            f"{error}.",
            "Name the CSV file that stoker usage --trace wrote.",
        ) from error
    lasts_s = arrivals[-1].at_s
    if len(arrivals) < _LEAST_REQUESTS or lasts_s < _LEAST_TRACE_S:
        raise StokerError(
            f"{path} is too short for sizing.",
            f"It has {len(arrivals):,} answered requests in {lasts_s / 60:.0f} minutes; "
            f"sizing needs {_LEAST_REQUESTS} in {_LEAST_TRACE_S / 60:.0f} minutes.",
            "Record a working day, or omit --trace.",
        )
    return arrivals


def _calibrated(request: CapacityRequest, url: str, key_env: str | None) -> Correction:
    """How far the endpoint's speed is from its plan's. Raises ``StokerError``."""
    from stoker import checks  # noqa: PLC0415
    from stoker.application import endpoint_speed  # noqa: PLC0415
    from stoker.checks.bench import BenchTarget  # noqa: PLC0415
    from stoker.cli import endpoint_argument  # noqa: PLC0415

    endpoint_speed.check(request)
    found = endpoint_argument.find(url, key_env)
    target = BenchTarget(found.backend, *checks.choose_model(found, None))
    return endpoint_speed.measure(target, request, output.progress)


# --- progress ------------------------------------------------------------------------------------


def _sized(request: CapacityRequest, *, quiet: bool) -> CapacityReport:
    """Size, and show how far that is on a terminal."""
    from stoker.application import capacity  # noqa: PLC0415

    sizing = GeneratorResult(capacity.size(request))
    if quiet or not sys.stderr.isatty():
        return sizing.read()
    from rich import progress as rich  # noqa: PLC0415  (slow to import)
    from rich.console import Console  # noqa: PLC0415

    columns = (
        rich.BarColumn(bar_width=24),
        rich.TaskProgressColumn(),
        rich.TextColumn("{task.description}"),
    )
    with rich.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("planning", total=1.0)
        for step in sizing:
            bar.update(task, completed=step.share, description=step.what)
    return sizing.value
