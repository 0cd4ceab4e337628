"""``stoker doctor``: print the findings, and apply the fixes that the user confirms."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from stoker import doctor
from stoker.cli.options import Json, Yes, key_from, without_secrets
from stoker.cli.render import output, startup_progress
from stoker.counted import counted
from stoker.doctor import Finding, Readings
from stoker.errors import StokerError, UsageError
from stoker.generator_result import GeneratorResult
from stoker.network_addresses import base_url

_SIGNS = {"ok": "✓", "warning": "!", "broken": "✗", "not needed": "·"}
_STYLES = {"ok": "green", "warning": "yellow", "broken": "bold red", "not needed": "dim"}


def command(
    *,
    endpoint: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="Check this server instead of the deployment that runs here."
        ),
    ] = None,
    key_env: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The environment variable that holds its key."),
    ] = None,
    workspace: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            help="The folder whose workspace settings apply. Default: the current one.",
        ),
    ] = None,
    fix: Annotated[
        bool, typer.Option("--fix", help="Fix what is safe to fix, after asking.")
    ] = False,
    report: Annotated[
        bool,
        typer.Option("--report", help="Print a report for an issue, without private data."),
    ] = False,
    json: Json = False,
    yes: Yes = False,
) -> None:
    """Check the whole chain, from the driver to VS Code; exit code 0 only if nothing is broken."""
    if endpoint is not None and base_url(endpoint) is None:
        shown = without_secrets(endpoint)
        raise UsageError(f"{shown!r} is not an address.", fix="Write it as http://host:8000.")
    folder, key = (workspace or Path.cwd()).resolve(), _key(key_env, endpoint)
    readings = doctor.gather(folder, endpoint=endpoint, key=key)
    findings = doctor.diagnose(readings)
    done: list[dict[str, str]] = []
    if fix:
        done = _fix(readings, findings, ask=not yes, quiet=json or report)
        if done:
            readings = doctor.gather(folder, endpoint=endpoint, key=key)
            findings = doctor.diagnose(readings)
    if json:
        output.as_json(_as_dict(findings, done))
    elif report:
        output.say(doctor.report(readings, findings))
    else:
        _show(findings)
    if not doctor.is_whole(findings):
        raise typer.Exit(1)


def _key(key_env: str | None, endpoint: str | None) -> str | None:
    if key_env is None:
        return None
    if endpoint is None:
        raise UsageError(
            "--key-env names a key, and no server to send it to.",
            "Stoker sends a key only to the server that it belongs to.",
            "Add --endpoint URL.",
        )
    return key_from(key_env)


def _fix(
    readings: Readings, findings: Sequence[Finding], *, ask: bool, quiet: bool
) -> list[dict[str, str]]:
    """Apply the fixes that the user confirms. Returns what each did, or why it failed."""
    if ask and (quiet or not sys.stdin.isatty()):
        why = "--json and --report ask no questions." if quiet else ""
        raise UsageError("There is no terminal to confirm the fixes on.", why, "Pass --yes.")
    done = []
    for finding in doctor.fixable(findings):
        if ask and not typer.confirm(doctor.question(finding), default=True):
            continue
        if not ask and not quiet:
            output.say(doctor.question(finding).replace("?", " ..."))
        try:
            outcome = _applied(finding, readings, startup_progress.Phases(quiet))
        except StokerError as error:
            outcome = str(error)
        done.append({"finding": finding.kind.id, "done": outcome})
        if not quiet:
            output.say(outcome)
    return done


def _applied(finding: Finding, readings: Readings, phases: startup_progress.Phases) -> str:
    """Apply one fix and show what restarts. Returns what was done."""
    fixing = GeneratorResult(doctor.apply_fix(finding, readings))
    for deployment in fixing:
        phases.show(deployment)
    return fixing.value


def _as_dict(findings: Iterable[Finding], done: list[dict[str, str]]) -> dict[str, object]:
    found = list(findings)
    return {
        "whole": doctor.is_whole(found),
        "links": [
            {
                **asdict(link),
                "findings": [_finding(f) for f in found if f.kind.link == link.id],
            }
            for link in doctor.links()
        ],
        "fixed": done,
    }


def _finding(finding: Finding) -> dict[str, object]:
    return {
        "id": finding.kind.id,
        "state": finding.state,
        "what": finding.what,
        "why": finding.why,
        "fix": finding.fix,
        "can_be_fixed": finding.kind.safe_fix is not None,
    }


def _show(findings: Sequence[Finding]) -> None:
    """Print every link with its findings; the reason and the fix only where something is wrong."""
    console = Console(highlight=False)
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    titles = {link.id: link.title for link in doctor.links()}
    for link, group in groupby(findings, key=lambda finding: finding.kind.link):
        for number, each in enumerate(group):
            sign = Text(_SIGNS[each.state], style=_STYLES[each.state])
            table.add_row(sign, "" if number else titles[link], _text(each))
    console.print(table)
    console.print(_verdict(findings))


def _text(finding: Finding) -> Text:
    quiet = finding.state in ("ok", "not needed")
    text = Text(finding.what, style="dim" if finding.state == "not needed" else "")
    if not quiet and finding.why:
        text.append(f"\n{finding.why}", style="dim")
    if not quiet and finding.fix:
        text.append(f"\nFix: {finding.fix}")
    return text


def _verdict(findings: Sequence[Finding]) -> Text:
    broken = [finding for finding in findings if finding.state == "broken"]
    warnings = sum(finding.state == "warning" for finding in findings)
    notes = f", {counted(warnings, 'warning')}" if warnings else ""
    if not broken:
        return Text(f"\nNothing is broken{notes}.")
    fixable = any(finding.kind.safe_fix for finding in findings)
    hint = " stoker doctor --fix fixes what is safe to fix." if fixable else ""
    return Text(f"\n{len(broken)} broken{notes}. Start at the top.{hint}")
