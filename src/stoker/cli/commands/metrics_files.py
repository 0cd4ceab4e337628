"""``stoker metrics``: print what Grafana and Prometheus need."""

from __future__ import annotations

from io import StringIO

import typer
from ruamel.yaml import YAML

from stoker import monitoring
from stoker.cli.options import Json
from stoker.cli.render import output

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)


@app.callback()
def command() -> None:
    """Print the dashboard for Grafana and the alerts for Prometheus."""


@app.command("dashboard")
def show_dashboard(json: Json = False) -> None:
    """Print Grafana's dashboard as JSON.

    Import it, or put it into the folder of a provider.
    """
    output.say(monitoring.dashboard().rstrip())  # which is JSON in any case


@app.command("rules")
def show_rules(json: Json = False) -> None:
    """Print Prometheus' alerts as YAML.

    Save them in a file that rule_files names.
    """
    if json:
        output.as_json(YAML(typ="safe").load(StringIO(monitoring.rules())))
    else:
        output.say(monitoring.rules().rstrip())
