"""``stoker code``: connect editors to an endpoint, and undo that."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from stoker import server, vscode
from stoker.cli.options import Json, Yes, refuse_secrets, without_secrets
from stoker.cli.render import output
from stoker.errors import StokerError, UsageError
from stoker.network_addresses import base_url

Endpoint = Annotated[
    str | None,
    typer.Option(help="The server's address. Default: the deployment that runs here."),
]
Only = Annotated[
    str | None, typer.Option("--editor", help="Only this editor, for example 'VSCodium'.")
]
Workspace = Annotated[
    Path | None,
    typer.Option(
        exists=True,
        file_okay=False,
        help="Write the settings of this folder instead of the user's.",
    ),
]
Remove = Annotated[bool, typer.Option("--remove", help="Undo everything that this command did.")]
InstallOnly = Annotated[
    bool, typer.Option("--install-only", help="Install the extension and change no settings.")
]

_UNDO = "stoker code --remove"
_KEY_HINT = "Leave them out, and run 'Stoker: Set API Key' in VS Code."
#: The question before settings are written that change how VS Code's own chat behaves.
_QUESTIONS: Mapping[vscode.Consent, str] = {
    "signed-out": (
        "Let VS Code's chat work without signing in to GitHub, and let the chosen model write "
        "titles and summaries?"
    ),
    "copilot-harness": (
        "Offer your models in VS Code's Copilot harness too (experimental), without signing in?"
    ),
}
#: What happens if the user answers no.
_WITHOUT: Mapping[vscode.Consent, str] = {
    "signed-out": (
        "Without them, VS Code opens 'Sign in to use GitHub Copilot' instead of answering."
    ),
    "copilot-harness": "Without them, your models work in the local harness only.",
}

_REMOTE = "Use the local harness here: the Copilot harness can't reach your models remotely."

_Result = tuple[vscode.EditorConnection, ...] | StokerError


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
            vscode.install(each)
        _report_installed(found, json)
        return
    address = _running_endpoint() if endpoint is None else address_of(endpoint)
    # A folder opens in one profile, whose extensions count.
    if workspace is not None:
        wanted = tuple(vscode.in_folder(each, workspace.resolve()) for each in found)
    else:
        wanted = _with_profiles(found, yes=yes, quiet=json)
    consents = _agreed(wanted, workspace, yes=yes, can_ask=not json)
    reload = _needs_reload(wanted, workspace, consents)
    tried = [(e, _connected(e, address, workspace, consents)) for e in wanted]
    left = _left_out(wanted, workspace)
    if json:
        output.as_json({"endpoint": address, **_tried_as_dict(tried, left), "needs_reload": reload})
    else:
        for each, result in tried:
            _say_tried(each, address, result)
        _say_left_out(left)
        _say_reload(reload)
        output.say(f"Choose the model in the chat's model picker. Undo: {_UNDO}")
    if any(isinstance(result, StokerError) for _, result in tried):
        raise typer.Exit(1)


def state() -> dict[str, object]:
    """Whether an editor is installed, and the endpoint that it is connected to."""
    changes = (c.changes.get(vscode.ENDPOINT) for c in vscode.connections())
    endpoints = [change.new for change in changes if change is not None]
    return {
        "installed": bool(vscode.find_editors()),
        "endpoint": next(iter(endpoints), None),
    }


def show(endpoint: str | None, *, json: bool) -> None:
    """Show the settings that would be written where, without those that need a consent."""
    address = _running_endpoint() if endpoint is None else address_of(endpoint)
    files = [{"path": e.settings, "values": {vscode.ENDPOINT: address}} for e in _editors(None)]
    if json:
        output.as_json({"endpoint": address, "files": files})
        return
    for each in files:
        output.say(f'To {each["path"]}:\n\n  "{vscode.ENDPOINT}": "{address}"\n')
    output.say("The extension is installed too. More settings are asked for: stoker code")


def offer(endpoint: str, *, yes: bool) -> None:
    """Connect the installed editors that are not connected yet, if the user agrees.

    Prints why an editor can't be connected; that is not an error of the deployment.
    """
    done = {c.settings for c in vscode.connections() if _names(c, endpoint)}
    here = vscode.find_editors()
    found = [e for e in here if str(e.settings) not in done or (yes and _left_out([e], None))]
    if not found:
        return
    names = " and ".join(each.name for each in found)
    agreed = yes or (sys.stdin.isatty() and typer.confirm(f"Connect {names} to it?", True))
    if not agreed:
        output.say(f"Connect {names} to it with: stoker code")
        return
    wanted = _with_profiles(found, yes=yes, quiet=False)
    consents = _agreed(wanted, None, yes=yes, can_ask=True)
    reload = _needs_reload(wanted, None, consents)
    for each in wanted:
        result = _connected(each, endpoint, None, consents)
        if isinstance(result, StokerError):
            output.say(f"{each.title} is not connected: {result.what} {result.why}")
        else:
            output.say(f"{each.title} is connected, in {result[0].settings}. Undo: {_UNDO}")
    _say_left_out(_left_out(wanted, None))
    _say_reload(reload)


def _connected(
    each: vscode.Editor,
    address: str,
    workspace: Path | None,
    consents: Sequence[vscode.Consent],
) -> _Result:
    """The connection, or the error: a failure of one editor must not stop the others."""
    try:
        return vscode.connect(each, address, workspace=workspace, consents=consents)
    except StokerError as error:
        return error


def _with_profiles(
    found: Sequence[vscode.Editor], *, yes: bool, quiet: bool
) -> tuple[vscode.Editor, ...]:
    """The editors, and their other profiles if the user wants those connected too."""
    others = [profile for each in found for profile in vscode.profiles(each)]
    if not others:
        return tuple(found)
    names = " and ".join(each.title for each in others)
    question = f"Connect {names} too? Each profile has its own settings and extensions."
    if yes or (not quiet and sys.stdin.isatty() and typer.confirm(question, True)):
        return (*found, *others)
    if not quiet:
        output.say(f"Not connected: {names}. Connect all profiles with: stoker code --yes")
    return tuple(found)


def _agreed(
    found: Sequence[vscode.Editor], workspace: Path | None, *, yes: bool, can_ask: bool
) -> tuple[vscode.Consent, ...]:
    """The consents to write more than the endpoint. Settings that are already there need none."""
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
    found: Sequence[vscode.Editor], workspace: Path | None
) -> dict[vscode.Consent, list[str]]:
    """The settings that are not yet as ``stoker code`` would write them, by their consent."""
    left: dict[vscode.Consent, list[str]] = {}
    for consent in _QUESTIONS:
        names = [s.name for e in found for s in vscode.missing(e, consent, workspace)]
        if names:
            left[consent] = list(dict.fromkeys(names))
    return left


def _needs_reload(
    found: Sequence[vscode.Editor], workspace: Path | None, consents: Sequence[vscode.Consent]
) -> bool:
    """Whether open windows must be reloaded for the settings that are about to be written."""
    coming = (s for e in found for c in consents for s in vscode.missing(e, c, workspace))
    return any(setting.needs_reload for setting in coming)


def _say_reload(needed: bool) -> None:
    if needed:
        output.say("Reload the editor's open windows ('Developer: Reload Window').")


def _say_tried(each: vscode.Editor, address: str, result: _Result) -> None:
    if isinstance(result, StokerError):
        output.say(f"{each.title}: not connected.")
        output.fail(result)
        return
    output.say(f"{each.title}: connected to {address} in {result[0].settings}")
    for connection in result:
        others = [name for name in connection.changes if name != vscode.ENDPOINT]
        if others:
            output.say(f"  Also set in {connection.settings}: {', '.join(others)}")
        if connection.backup:
            output.say(f"  Backup of the settings: {connection.backup}")
    if each.is_remote:
        output.say(f"  {_REMOTE}")


def _tried_as_dict(
    tried: Sequence[tuple[vscode.Editor, _Result]],
    left: Mapping[vscode.Consent, Sequence[str]],
) -> dict[str, object]:
    results = [(e, r) for e, r in tried if not isinstance(r, StokerError)]
    failed = [(e, r) for e, r in tried if isinstance(r, StokerError)]
    return {
        "connections": [asdict(each) for _, files in results for each in files],
        "problems": [{"editor": e.title, **_problem(r)} for e, r in failed],
        "not_written": [{"settings": left[c], "without": _WITHOUT[c]} for c in left],
    }


def _problem(error: StokerError) -> dict[str, str]:
    return {"what": error.what, "why": error.why, "fix": error.fix}


def _say_left_out(left: Mapping[vscode.Consent, Sequence[str]]) -> None:
    for consent, names in left.items():
        output.say(f"Not set: {', '.join(names)}. {_WITHOUT[consent]}")
    if left:
        output.say("Set them with: stoker code --yes")


def address_of(endpoint: str) -> str:
    """The base URL for ``endpoint``. Raises ``UsageError`` where it is not an address."""
    refuse_secrets(endpoint, _KEY_HINT)
    address = base_url(endpoint)
    if address is None:
        raise UsageError(
            f"{without_secrets(endpoint)!r} is not an address.",
            "An address is http or https, a host, a port and possibly a path.",
            "Write it as http://127.0.0.1:8000.",
        )
    return address


def _names(connection: vscode.EditorConnection, endpoint: str) -> bool:
    change = connection.changes.get(vscode.ENDPOINT)
    return change is not None and change.new == endpoint


def _editors(only: str | None) -> tuple[vscode.Editor, ...]:
    found = vscode.find_editors()
    if only is not None:
        named = tuple(e for e in found if only.lower() in (e.name.lower(), e.command.name))
        if not named:
            names = ", ".join(e.name for e in found) or "none"
            raise UsageError(f"The editor {only} was not found.", f"Found: {names}.")
        return named
    if not found:
        raise StokerError(
            "No editor was found.",
            "None of code, code-insiders, codium, cursor and code-server is on PATH.",
            "In VS Code, run 'Shell Command: Install code command in PATH', or install "
            f"{vscode.VSIX} by hand with 'Extensions: Install from VSIX'.",
        )
    return found


def _running_endpoint() -> str:
    deployment = server.current()
    if deployment is None:
        raise UsageError(
            "There is no endpoint to connect to.",
            "No model is running here, and no --endpoint was given.",
            "Start one: stoker up. Or name one: stoker code --endpoint http://HOST:PORT",
        )
    return deployment.spec.endpoint


def _remove(as_json: bool) -> None:
    undone = vscode.disconnect()
    if as_json:
        output.as_json({"undone": [_as_dict(each) for each in undone]})
    elif not undone:
        output.say("There is nothing to undo.")
    else:
        for each in undone:
            _say_undone(each)
    if any(each.problems for each in undone):
        raise typer.Exit(1)


def _as_dict(undone: vscode.Undone) -> dict[str, object]:
    problems = [_problem(error) for error in undone.problems]
    return {
        "settings": undone.settings,
        "restored": undone.restored,
        "kept": undone.kept,
        "uninstalled": undone.uninstalled,
        "gone": undone.gone,
        "problems": problems,
    }


def _say_undone(undone: vscode.Undone) -> None:
    output.say(f"{undone.settings}: restored {', '.join(undone.restored) or 'nothing'}")
    for key in undone.kept:
        output.say(f"  {key} was changed since, so it stays as it is.")
    for command in undone.uninstalled:
        output.say(f"  The extension is uninstalled: {command}")
    for command in undone.gone:
        output.say(f"  {command} no longer exists, so its extension was not uninstalled.")
    for problem in undone.problems:
        output.fail(problem)


def _report_installed(found: tuple[vscode.Editor, ...], as_json: bool) -> None:
    if as_json:
        output.as_json({"installed": [each.name for each in found]})
        return
    for each in found:
        output.say(f"{each.name}: the extension is installed.")
