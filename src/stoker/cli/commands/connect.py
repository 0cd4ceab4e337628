"""``stoker connect``: connect an editor or agent to an endpoint, and undo that."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from stoker import checks, clients
from stoker.cli import endpoint_argument
from stoker.cli.commands import code
from stoker.cli.options import Json, KeyEnv, key_from
from stoker.cli.render import connect_view, output
from stoker.clients import CLIENTS, Client, ConfigFile, Connection
from stoker.errors import UsageError

#: VS Code has a command of its own, with its own questions; ``stoker connect`` runs it.
_VSCODE = "vscode"

Name = Annotated[
    str | None,
    typer.Argument(metavar="CLIENT", help="The editor or agent. Omit it to list them."),
]
Endpoint = Annotated[
    str | None,
    typer.Option(help="The server's address. Default: the deployment that runs here."),
]
Model = Annotated[str | None, typer.Option(help="The model, if the endpoint serves several.")]
Print = Annotated[
    bool, typer.Option("--print", help="Show what would be written where, and write nothing.")
]
Remove = Annotated[bool, typer.Option("--remove", help="Undo what this command did for CLIENT.")]


def command(
    client: Name = None,
    endpoint: Endpoint = None,
    model: Model = None,
    key_env: KeyEnv = None,
    *,
    show: Print = False,
    remove: Remove = False,
    json: Json = False,
) -> None:
    """Connect another editor or agent to an endpoint, or list them."""
    if client is None:
        _list(json)
    elif client == _VSCODE:
        _connect_vscode(endpoint, model or key_env, show=show, remove=remove, json=json)
    elif remove:
        _remove(_named(client), json)
    else:
        chosen = _named(client)
        to = _connection(endpoint, model, key_env)
        files = chosen.files(clients.places_here(), to)
        if show:
            _show(chosen, to, files, json)
        else:
            _connect(chosen, to, json)


def _list(json: bool) -> None:
    places = clients.places_here()
    endpoints = {file.client: file.endpoint for file in clients.connected_files()}
    rows: list[dict[str, object]] = [
        {
            "client": each.name,
            "title": each.title,
            "installed": clients.is_installed(each, places),
            "endpoint": endpoints.get(each.name),
        }
        for each in CLIENTS
    ]
    rows.insert(0, {"client": _VSCODE, "title": "VS Code", **code.state()})
    if json:
        output.as_json({"clients": rows})
    else:
        connect_view.clients(rows)


def _named(name: str) -> Client:
    found = next((each for each in CLIENTS if each.name == name), None)
    if found is None:
        names = ", ".join([_VSCODE, *(each.name for each in CLIENTS)])
        raise UsageError(
            f"{name!r} is not a client that Stoker knows.", fix=f"Name one of {names}."
        )
    return found


def _connection(endpoint: str | None, model: str | None, key_env: str | None) -> Connection:
    address = None if endpoint is None else code.address_of(endpoint)
    # Not with Stoker's own key, which opens a gateway that runs here: the client has none but this.
    at = endpoint_argument.place(address)
    found = checks.look_at(at, key_from(key_env), key_env)
    name, max_model_len = checks.choose_model(found, model)
    return clients.connection_to(found.backend.url, name, max_model_len, key_env)


def _connect_vscode(
    endpoint: str | None, refused: str | None, *, show: bool, remove: bool, json: bool
) -> None:
    if refused:
        raise UsageError(
            "VS Code takes neither a model nor a variable with a key.",
            "Its model picker offers every model of the endpoint, and it stores the key itself.",
            "Omit --model and --key-env. For the key: 'Stoker: Set API Key' in VS Code.",
        )
    if show:
        code.show(endpoint, json=json)
    else:
        code.command(endpoint=endpoint, remove=remove, json=json)


def _show(client: Client, to: Connection, files: tuple[ConfigFile, ...], json: bool) -> None:
    for file in files:
        clients.check(file)
    if not json:
        connect_view.planned(client, to, files)
        return
    shown = [{"path": f.path, "format": f.format, "text": clients.as_new_file(f)} for f in files]
    output.as_json({**_as_dict(client, to), "files": shown})


def _connect(client: Client, to: Connection, json: bool) -> None:
    places = clients.places_here()
    # Before a folder is made that looks like the client's own.
    installed = clients.is_installed(client, places)
    done = clients.connect(client, to, places)
    if not json:
        connect_view.connected(client, to, done, installed=installed)
        return
    files = [{"path": f.written.path, "backup": f.written.backup} for f in done]
    output.as_json({**_as_dict(client, to), "installed": installed, "files": files})


def _as_dict(client: Client, to: Connection) -> dict[str, Any]:
    return {
        "client": client.name,
        "endpoint": to.endpoint,
        "model": to.model,
        "max_model_len": to.max_model_len,
        "max_output_tokens": to.max_output_tokens,
        "variables": client.variables(to),
        "steps": client.steps(to),
    }


def _remove(client: Client, json: bool) -> None:
    undone = clients.disconnect(client)
    if json:
        output.as_json({"undone": [_undone_as_dict(each) for each in undone]})
    else:
        connect_view.undone(client, undone)
    if any(each.problem for each in undone):
        raise typer.Exit(1)


def _undone_as_dict(undone: clients.UndoneFile) -> dict[str, Any]:
    problem = undone.problem
    return {
        "path": undone.path,
        "restored": undone.restored,
        "kept": undone.kept,
        "problem": problem and {"what": problem.what, "why": problem.why, "fix": problem.fix},
    }
