"""The command line: parse flags, call the rooms below, print values. It makes no decisions.

Each command is a module of ``commands`` with a function ``command``, and an ``app`` where it has
subcommands. A module is imported only when its command runs, which keeps ``stoker --help`` fast.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_command_from_info
from typer.models import CommandInfo

import stoker

#: Command -> (module of ``commands``, its line in the help).
COMMANDS = {
    "up": ("up", "Start a model that fits this machine, and connect it."),
    "adopt": ("adopt", "Put the gateway in front of a server that is already running."),
    "gateway": ("gateway", "Serve several backends through one gateway, set up by a file."),
    "keys": ("keys", "Make, list, replace, revoke and limit the keys of the gateway."),
    "audit": ("audit", "Show the log of key changes and refused requests, and check it."),
    "down": ("down", "Stop the deployment and free its memory."),
    "restart": ("restart", "Stop the deployment and start the same plan again."),
    "tune": ("tune", "Try other arguments of the running engine, and keep what is faster."),
    "status": ("status", "Show the deployment: state, endpoint, model, engine, memory, prompts."),
    "test": ("test", "Check with real requests what an editor can rely on at an endpoint."),
    "logs": ("logs", "Show the log of the gateway and the engine."),
    "code": ("code", "Connect VS Code: install the extension, set the endpoint; --remove undoes."),
    "connect": ("connect", "Connect another editor or agent, or list them; --remove undoes."),
    "doctor": ("doctor", "Check the whole chain, from the driver to VS Code; --fix repairs it."),
    "models": ("models", "List the models that Stoker knows, or add your own."),
    "plan": ("plan", "Show what to run on this machine, or on an imagined one, and why."),
    "size": ("size", "Find the least hardware for a number of developers, and its cost."),
    "deploy": ("deploy", "Write the files that run a model on servers, for several people."),
    "bench": ("bench", "Measure how fast an endpoint answers, idle and under load."),
    "usage": ("recorded_usage", "Show who has used which model how much."),
    "metrics": ("metrics_files", "Print the dashboard for Grafana and the alerts for Prometheus."),
    "bundle": ("bundle", "Make, check and install one signed file for a site with no network."),
    "host": ("host", "Show the hardware and software that Stoker finds on this machine."),
    "docs": ("docs", "Open the docs that came with Stoker; they need no network."),
    "version": ("version", "Show the versions of Stoker, Python and its main libraries."),
}


class LazyGroup(TyperGroup):
    """A group that knows the names of its commands, and imports a command only to run it."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Command names in the order in which a newcomer needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command, imported now."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"{__name__}.commands.{COMMANDS[cmd_name][0]}")
        if hasattr(module, "app"):  # it has subcommands
            return get_command(module.app)
        info = CommandInfo(name=cmd_name, callback=module.command)
        return get_command_from_info(info, pretty_exceptions_short=True, rich_markup_mode=None)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


app = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Stoker puts a model that you host yourself behind VS Code's chat.",
    epilog="Start with: stoker up",
)


def _show_version(asked: bool) -> None:
    if asked:
        print(f"stoker {stoker.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    debug: bool = typer.Option(False, "--debug", help="On an error, show the stack trace too."),
    version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Show Stoker's version."
    ),
) -> None:
    """Stoker puts a model that you host yourself behind VS Code's chat."""


def main() -> None:
    """Run the ``stoker`` command: exit code 0 for success, 1 for a failure, 2 for wrong usage."""
    from stoker.errors import StokerError  # noqa: PLC0415  (keeps --help fast)

    try:
        app()
    except StokerError as error:
        _report(error)
    except KeyboardInterrupt:
        sys.exit(130)


def _report(error: Any) -> None:
    if "--debug" in sys.argv:
        raise error
    from stoker.cli.render import output  # noqa: PLC0415

    output.fail(error, as_json="--json" in sys.argv)
    sys.exit(error.exit_code)
