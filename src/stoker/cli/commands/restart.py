"""``stoker restart``."""

from __future__ import annotations

from stoker import server
from stoker.cli.options import Json
from stoker.cli.render import output, startup_progress
from stoker.errors import StokerError
from stoker.server import Run


def command(json: Json = False) -> None:
    """Stop the deployment and start the same plan again."""
    deployment = server.current()
    if deployment is None:
        raise StokerError("There is nothing to restart.", "Nothing was started here.", "stoker up")
    run = Run.again(deployment)
    server.check_can_start(run)  # while there is still something to start again
    server.stop()
    ready = startup_progress.background(deployment.plan, run, quiet=json)
    if json:
        output.as_json({"endpoint": ready.endpoint, "model": ready.plan.model.id})
