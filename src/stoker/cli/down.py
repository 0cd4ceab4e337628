"""``stoker down``."""

from __future__ import annotations

from stoker import runtime
from stoker.cli import output
from stoker.cli.options import Json


def command(json: Json = False) -> None:
    """Stop the deployment and free its memory."""
    deployment = runtime.current()
    stopped = runtime.stop()
    if json:
        output.as_json({"stopped": stopped})
    elif stopped and deployment is not None:
        output.say(f"Stopped {deployment.plan.model.id}; {deployment.endpoint} is closed.")
    else:
        output.say("Nothing was running.")
