"""``stoker code``."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from stoker import editor, runtime
from stoker.cli import output
from stoker.cli.options import Json, Yes, refuse_secrets
from stoker.errors import StokerError, UsageError

Endpoint = Annotated[
    str | None,
    typer.Option(help="The server's address. Left out: the deployment that runs here."),
]
Only = Annotated[
    str | None, typer.Option("--editor", help="Only this editor, for example 'VSCodium'.")
]
Workspace = Annotated[
    Path | None,
    typer.Option(
        exists=True, file_okay=False, help="Write this folder's settings, not the user's."
    ),
]
Remove = Annotated[bool, typer.Option("--remove", help="Undo what this command has done.")]
InstallOnly = Annotated[
    bool, typer.Option("--install-only", help="Install the extension; leave settings alone.")
]

_UNDO = "stoker code --remove"
_KEY_HINT = "Leave them out, and run 'Stoker: Set API Key' in VS Code."
_QUESTION = "Let the chosen model write chat titles and summaries too (mainAgent)?"


def command(
    *,
    endpoint: Endpoint = None,
    only: Only = None,
    workspace: Workspace = None,
    remove: Remove = False,
    install_only: InstallOnly = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Connect VS Code: install the extension and name the endpoint in its settings."""
    if remove:
        _remove(json)
        return
    found = _editors(only)
    if install_only:
        for each in found:
            editor.install(each)
        _report_installed(found, json)
        return
    refuse_secrets(endpoint or "", _KEY_HINT)
    address = endpoint or _running_endpoint()
    utility_model = yes or (not json and sys.stdin.isatty() and typer.confirm(_QUESTION, True))
    done = [
        editor.connect(each, address, workspace=workspace, utility_model=utility_model)
        for each in found
    ]
    if json:
        output.as_json({"endpoint": address, "connections": [asdict(each) for each in done]})
        return
    for each, connection in zip(found, done, strict=True):
        output.say(f"{each.name}: connected to {address} in {connection.settings}")
        if connection.backup:
            output.say(f"  The settings as they were: {connection.backup}")
    output.say(f"Choose the model in the chat's model picker. Undo: {_UNDO}")


def offer(endpoint: str, *, yes: bool) -> None:
    """Connect the editors that are here, where they aren't yet and the person agrees.

    An editor that can't be connected is said, and is no failure of what runs.
    """
    done = {c.settings for c in editor.connections() if _names(c, endpoint)}
    found = [each for each in editor.find_editors() if str(each.settings) not in done]
    if not found:
        return
    names = " and ".join(each.name for each in found)
    agreed = yes or (sys.stdin.isatty() and typer.confirm(f"Connect {names} to it?", True))
    if not agreed:
        output.say(f"Connect {names} to it with: stoker code")
        return
    for each in found:
        try:
            connection = editor.connect(each, endpoint, utility_model=yes)
            output.say(f"{each.name} is connected, in {connection.settings}. Undo: {_UNDO}")
        except StokerError as error:
            output.say(f"{each.name} is not connected: {error.what} {error.why}")


def _names(connection: editor.Connection, endpoint: str) -> bool:
    change = connection.changes.get(editor.ENDPOINT)
    return change is not None and change.new == endpoint


def _editors(only: str | None) -> tuple[editor.Editor, ...]:
    found = editor.find_editors()
    if only is not None:
        named = tuple(e for e in found if only.lower() in (e.name.lower(), e.command.name))
        if not named:
            names = ", ".join(e.name for e in found) or "none"
            raise UsageError(f"There is no editor {only} here.", f"Found: {names}.")
        return named
    if not found:
        raise StokerError(
            "No editor was found.",
            "None of code, code-insiders, codium, cursor and code-server can be run.",
            "In VS Code, run 'Shell Command: Install code command in PATH', or install "
            f"{editor.VSIX} by hand with 'Extensions: Install from VSIX'.",
        )
    return found


def _running_endpoint() -> str:
    deployment = runtime.current()
    if deployment is None:
        raise UsageError(
            "There is no endpoint to connect to.",
            "Nothing runs here, and no --endpoint was given.",
            "Start one with: stoker up. Or name one: stoker code --endpoint http://HOST:PORT",
        )
    return deployment.endpoint


def _remove(as_json: bool) -> None:
    undone = editor.disconnect()
    if as_json:
        output.as_json({"undone": [_as_dict(each) for each in undone]})
    elif not undone:
        output.say("There is nothing to undo.")
    else:
        for each in undone:
            _say_undone(each)
    if any(each.problems for each in undone):
        raise typer.Exit(1)


def _as_dict(undone: editor.Undone) -> dict[str, object]:
    problems = [{"what": p.what, "why": p.why, "fix": p.fix} for p in undone.problems]
    return {
        "settings": undone.settings,
        "restored": undone.restored,
        "kept": undone.kept,
        "uninstalled": undone.uninstalled,
        "gone": undone.gone,
        "problems": problems,
    }


def _say_undone(undone: editor.Undone) -> None:
    output.say(f"{undone.settings}: restored {', '.join(undone.restored) or 'nothing'}")
    for key in undone.kept:
        output.say(f"  {key} was changed since: it stays as it is.")
    for command in undone.uninstalled:
        output.say(f"  The extension is uninstalled: {command}")
    for command in undone.gone:
        output.say(f"  {command} is not there any more: an extension in it is left as it is.")
    for problem in undone.problems:
        output.fail(problem)


def _report_installed(found: tuple[editor.Editor, ...], as_json: bool) -> None:
    if as_json:
        output.as_json({"installed": [each.name for each in found]})
        return
    for each in found:
        output.say(f"{each.name}: the extension is installed.")
