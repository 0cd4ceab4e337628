"""``stoker test``: run the checks against an endpoint, and write the results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NoReturn

import typer

from stoker import checks
from stoker.checks import CheckReport, Endpoint
from stoker.cli import endpoint_argument
from stoker.cli.options import Json, KeyEnv, writable
from stoker.cli.render import check_report, html_page, output
from stoker.errors import StokerError
from stoker.generator_result import GeneratorResult


def command(
    url: Annotated[
        str | None,
        typer.Argument(
            help="The endpoint's address, before /v1. Default: the deployment that runs here."
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="The model to check, if the endpoint serves several.")
    ] = None,
    key_env: KeyEnv = None,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Run only this check or group. Repeatable."),
    ] = None,
    skip: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Skip this check or group. Repeatable."),
    ] = None,
    timeout: Annotated[
        float, typer.Option(min=1, help="Time limit for one answer, in seconds.")
    ] = 60.0,
    junit: Annotated[
        Path | None,
        typer.Option(callback=writable, metavar="FILE", help="Write the results as JUnit XML."),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(callback=writable, metavar="FILE", help="Write the results as an HTML page."),
    ] = None,
    list_checks: Annotated[
        bool, typer.Option("--list", help="List the checks and send nothing.")
    ] = False,
    json: Json = False,
) -> None:
    """Check with real requests what an editor can rely on at an endpoint.

    Each check sends a few requests, nearly all of them short. The exit code is 0 if no check that
    ran rules out chat or agent mode, and 1 if one does.
    """
    wanted = checks.chosen(only or (), skip or ())
    if list_checks:
        check_report.show_list(wanted, as_json=json)
        return
    place = endpoint_argument.place(url)
    key = endpoint_argument.key(place, key_env)
    try:
        found = checks.look_at(place, key, key_env)
    except StokerError as error:
        _end_unreached(checks.unreached(place, wanted, error), error, junit, html, as_json=json)
    name, window = checks.choose_model(found, model)
    endpoint = Endpoint(
        found.backend.url, name, key=found.backend.key, window=window, timeout_s=timeout
    )
    show = check_report.CheckProgress(len(wanted), quiet=json)
    show.begin(found, name, window)
    run = GeneratorResult(checks.run(endpoint, wanted, found=found))
    for result in run:
        show.result(result)
    report = run.value
    _write(report, junit, html)
    if json:
        output.as_json(check_report.as_dict(report))
    else:
        check_report.show(report)
    raise typer.Exit(0 if report.good else 1)


def _end_unreached(
    report: CheckReport, error: StokerError, junit: Path | None, html: Path | None, *, as_json: bool
) -> NoReturn:
    """Write the failure to the requested files, and to the output as JSON or as ``error``."""
    _write(report, junit, html)
    if not as_json:
        raise error
    output.as_json(check_report.as_dict(report))
    raise typer.Exit(1)


def _write(report: CheckReport, junit: Path | None, html: Path | None) -> None:
    for path, text in ((junit, check_report.as_junit), (html, check_report.as_page)):
        if path is not None:
            html_page.write(path, text(report))
