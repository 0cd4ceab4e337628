"""``stoker down``."""

from __future__ import annotations

from typing import Annotated

import typer

from stoker import runtime
from stoker.cli import output
from stoker.cli.options import Json


def command(
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the engine's container, stopped, with its log.")
    ] = False,
    json: Json = False,
) -> None:
    """Stop the deployment and free its memory."""
    deployment = runtime.current()
    stopped = runtime.stop(keep_container=keep)
    if json:
        output.as_json({"stopped": stopped})
    elif stopped and deployment is not None:
        output.say(f"Stopped {deployment.plan.model.id}; {deployment.endpoint} is closed.")
    else:
        output.say("Nothing was running.")
