"""Shows what ``stoker connect`` found, did and undid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stoker.cli.render import output
from stoker.clients import (
    Client,
    ConfigFile,
    ConnectedFile,
    Connection,
    UndoneFile,
    as_new_file,
)

_NO_WINDOW = (
    "The endpoint does not report its window, so no limit is set: the client uses its own default."
)


def clients(rows: Sequence[Mapping[str, Any]]) -> None:
    """Every client, whether it is installed here, and what it is connected to."""
    for row in rows:
        installed = "installed" if row["installed"] else "not found"
        connected = f"connected to {row['endpoint']}" if row["endpoint"] else ""
        output.say(f"{row['client']:17} {installed:10} {connected}".rstrip())
    output.say("\nConnect one: stoker connect CLIENT. Undo: stoker connect CLIENT --remove")


def planned(client: Client, to: Connection, files: Sequence[ConfigFile]) -> None:
    """What would be written where; nothing is."""
    for file in files:
        output.say(f"To {file.path}:\n\n{as_new_file(file).rstrip()}\n")
    _say_rest(client, to, wrote=False)


def connected(
    client: Client, to: Connection, files: Sequence[ConnectedFile], *, installed: bool
) -> None:
    """What was written, and what the person has to do."""
    if not installed:
        output.say(f"{client.title} was not found on this machine. Its settings are prepared.")
    for file in files:
        output.say(f"{client.title}: connected to {to.endpoint} in {file.written.path}")
        if file.written.backup:
            output.say(f"  Backup of the settings: {file.written.backup}")
    _say_rest(client, to, wrote=bool(files))


def _say_rest(client: Client, to: Connection, *, wrote: bool) -> None:
    if to.max_model_len is None:
        output.say(_NO_WINDOW)
    variables = client.variables(to)
    if variables:
        output.say(f"Set these variables before you start {client.title}:\n")
        for line in exports(variables):
            output.say(f"  {line}")
        output.say()
    if to.key_variable is not None:
        output.say(f"The key is read from {to.key_variable}; it is not written to any file.")
    for step in client.steps(to):
        output.say(step)
    if wrote:
        output.say(f"Undo: stoker connect {client.name} --remove")


def exports(variables: Mapping[str, str]) -> list[str]:
    """Lines for a shell, in which ``$NAME`` stands for another variable's value."""
    return [f"export {name}={_quoted(value)}" for name, value in variables.items()]


def _quoted(value: str) -> str:
    if value.startswith("$"):
        return f'"{value}"'
    return "'" + value.replace("'", "'\\''") + "'"


def undone(client: Client, files: Sequence[UndoneFile]) -> None:
    """What was restored, and what stays."""
    if not files:
        output.say(f"There is nothing to undo for {client.title}.")
    for file in files:
        if file.problem is not None:
            output.fail(file.problem)
            continue
        output.say(f"{file.path}: restored {', '.join(file.restored) or 'nothing'}")
        for key in file.kept:
            output.say(f"  {key} was changed since, so it stays as it is.")
