"""``stoker restart``."""

from __future__ import annotations

from stoker import runtime
from stoker.cli import output, start
from stoker.cli.options import Json
from stoker.errors import StokerError
from stoker.runtime import Run


def command(json: Json = False) -> None:
    """Stop the deployment and start the same plan again."""
    deployment = runtime.current()
    if deployment is None:
        raise StokerError("There is nothing to restart.", "Nothing was started here.", "stoker up")
    run = Run.again(deployment)
    runtime.check_can_start(run)  # while there is still something to start again
    runtime.stop()
    ready = start.background(deployment.plan, run, quiet=json)
    if json:
        output.as_json({"endpoint": ready.endpoint, "model": ready.plan.model.id})
