"""``stoker test``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NoReturn

import typer

from stoker import checks
from stoker.checks import CheckReport, Endpoint
from stoker.cli import endpoint_argument
from stoker.cli.options import Json, KeyEnv, key_from
from stoker.cli.render import check_report, html_page, output
from stoker.errors import StokerError


def command(
    url: Annotated[
        str | None,
        typer.Argument(help="The endpoint, the part before /v1. Left out: what runs here."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="The model to check, where several are served.")
    ] = None,
    key_env: KeyEnv = None,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Run only this check or group. May be repeated."),
    ] = None,
    skip: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Leave this check or group out. May be repeated."),
    ] = None,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds that one answer may take.")] = 60.0,
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the results as JUnit's XML.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the results as a page.")
    ] = None,
    list_checks: Annotated[
        bool, typer.Option("--list", help="List the checks, and ask nothing.")
    ] = False,
    json: Json = False,
) -> None:
    """Check what an editor can rely on at an endpoint, for real.

    Each check is one real request, or a few, nearly all of them short. It ends with 0 where nothing
    that was run stands in the way of chat and agent mode, and with 1 where something does.
    """
    wanted = checks.chosen(only or (), skip or ())
    if list_checks:
        check_report.show_list(wanted, as_json=json)
        return
    place, key = endpoint_argument.place(url), key_from(key_env)
    try:
        found = checks.look_at(place, key)
    except StokerError as error:
        _end_unreached(checks.unreached(place, wanted, error), error, junit, html, as_json=json)
    name, window = checks.choose_model(found, model)
    endpoint = Endpoint(
        found.backend.url, name, key=found.backend.key, window=window, timeout_s=timeout
    )
    show = check_report.CheckProgress(quiet=json)
    show.begin(found, name, window)
    report = checks.run(endpoint, wanted, on_result=show.result, found=found)
    _write(report, junit, html)
    if json:
        output.as_json(check_report.as_dict(report))
    else:
        check_report.show(report)
    raise typer.Exit(0 if report.good else 1)


def _end_unreached(
    report: CheckReport, error: StokerError, junit: Path | None, html: Path | None, *, as_json: bool
) -> NoReturn:
    """Programs read of the failure where they read of all others; people are told of ``error``."""
    _write(report, junit, html)
    if not as_json:
        raise error
    output.as_json(check_report.as_dict(report))
    raise typer.Exit(1)


def _write(report: CheckReport, junit: Path | None, html: Path | None) -> None:
    for path, text in ((junit, check_report.as_junit), (html, check_report.as_page)):
        if path is not None:
            html_page.write(path, text(report))
