"""``stoker restart``."""

from __future__ import annotations

from stoker.application import launch
from stoker.application.launch_events import Ready
from stoker.cli.options import Json, key_from
from stoker.cli.render import output
from stoker.cli.render.launch_view import LaunchView


def command(json: Json = False) -> None:
    """Stop the deployment and start the same plan again."""
    key = key_from(launch.key_variable())
    with LaunchView(launch.restart(key), quiet=json) as view:
        for event in view:
            if json and isinstance(event, Ready):
                spec = event.deployment.spec
                output.as_json({"endpoint": spec.endpoint, "model": spec.plan.model.id})
