"""``stoker code``."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from stoker import editor, runtime
from stoker.addresses import base_url
from stoker.cli import output
from stoker.cli.options import Json, Yes, refuse_secrets, without_secrets
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
#: What is asked before settings are written that change how VS Code's own chat behaves.
_QUESTIONS: Mapping[editor.Consent, str] = {
    "signed-out": (
        "Let VS Code's chat work without signing in to GitHub, and let the chosen model write "
        "titles and summaries?"
    ),
    "copilot-harness": (
        "Offer your models in VS Code's Copilot harness too (experimental), without signing in?"
    ),
}
#: What a person is told who has not agreed.
_WITHOUT: Mapping[editor.Consent, str] = {
    "signed-out": "a message opens 'Sign in to use GitHub Copilot' for all who are not signed in",
    "copilot-harness": "your models are used in the local harness only",
}


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
    address = _running_endpoint() if endpoint is None else _address(endpoint)
    consents = _agreed(found, workspace, yes=yes, can_ask=not json)
    reload = _needs_reload(found, workspace, consents)
    done = [editor.connect(e, address, workspace=workspace, consents=consents) for e in found]
    left = _left_out(found, workspace)
    if json:
        connections = [asdict(each) for files in done for each in files]
        not_written = [
            {"settings": left[consent], "without": _WITHOUT[consent]} for consent in left
        ]
        said = {"endpoint": address, "connections": connections, "not_written": not_written}
        output.as_json({**said, "needs_reload": reload})
        return
    for each, connections_of in zip(found, done, strict=True):
        _say_connected(each, address, connections_of)
    _say_left_out(left)
    _say_reload(reload)
    output.say(f"Choose the model in the chat's model picker. Undo: {_UNDO}")


def offer(endpoint: str, *, yes: bool) -> None:
    """Connect the editors that are here, where they aren't yet and the person agrees.

    An editor that can't be connected is said, and is no failure of what runs.
    """
    done = {c.settings for c in editor.connections() if _names(c, endpoint)}
    here = editor.find_editors()
    found = [e for e in here if str(e.settings) not in done or (yes and _left_out([e], None))]
    if not found:
        return
    names = " and ".join(each.name for each in found)
    agreed = yes or (sys.stdin.isatty() and typer.confirm(f"Connect {names} to it?", True))
    if not agreed:
        output.say(f"Connect {names} to it with: stoker code")
        return
    consents = _agreed(found, None, yes=yes, can_ask=True)
    reload = _needs_reload(found, None, consents)
    for each in found:
        try:
            (connection, *_) = editor.connect(each, endpoint, consents=consents)
            output.say(f"{each.name} is connected, in {connection.settings}. Undo: {_UNDO}")
        except StokerError as error:
            output.say(f"{each.name} is not connected: {error.what} {error.why}")
    _say_left_out(_left_out(found, None))
    _say_reload(reload)


def _agreed(
    found: Sequence[editor.Editor], workspace: Path | None, *, yes: bool, can_ask: bool
) -> tuple[editor.Consent, ...]:
    """What may be written beside the endpoint. What stands there already is not asked about."""
    if yes:
        return tuple(_QUESTIONS)
    if not can_ask or not sys.stdin.isatty():
        return ()
    left = _left_out(found, workspace)
    return tuple(
        consent
        for consent, question in _QUESTIONS.items()
        if consent in left and typer.confirm(f"{question}\n  ({', '.join(left[consent])})", True)
    )


def _left_out(
    found: Sequence[editor.Editor], workspace: Path | None
) -> dict[editor.Consent, list[str]]:
    """The settings that stand in no settings file as they would be written, by their question."""
    left: dict[editor.Consent, list[str]] = {}
    for consent in _QUESTIONS:
        names = [s.name for e in found for s in editor.missing(e, consent, workspace)]
        if names:
            left[consent] = list(dict.fromkeys(names))
    return left


def _needs_reload(
    found: Sequence[editor.Editor], workspace: Path | None, consents: Sequence[editor.Consent]
) -> bool:
    """Whether what is about to be written reaches open windows only when they are reloaded."""
    coming = (s for e in found for c in consents for s in editor.missing(e, c, workspace))
    return any(setting.needs_reload for setting in coming)


def _say_reload(needed: bool) -> None:
    if needed:
        output.say("Reload the editor's open windows ('Developer: Reload Window').")


def _say_connected(
    each: editor.Editor, address: str, connections: Sequence[editor.Connection]
) -> None:
    output.say(f"{each.name}: connected to {address} in {connections[0].settings}")
    for connection in connections:
        others = [name for name in connection.changes if name != editor.ENDPOINT]
        if others:
            output.say(f"  Also set in {connection.settings}: {', '.join(others)}")
        if connection.backup:
            output.say(f"  The settings as they were: {connection.backup}")


def _say_left_out(left: Mapping[editor.Consent, Sequence[str]]) -> None:
    for consent, names in left.items():
        output.say(f"Not set: {', '.join(names)}. Without, {_WITHOUT[consent]}.")
    if left:
        output.say("Set them with: stoker code --yes")


def _address(endpoint: str) -> str:
    """The URL that ``endpoint`` means. Raises ``UsageError`` where it can be none."""
    refuse_secrets(endpoint, _KEY_HINT)
    address = base_url(endpoint)
    if address is None:
        raise UsageError(
            f"{without_secrets(endpoint)!r} is not an address.",
            "It is http or https, a host and a port, and perhaps a path.",
            "Write it like http://127.0.0.1:8000.",
        )
    return address


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
