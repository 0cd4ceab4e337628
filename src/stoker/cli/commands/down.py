"""``stoker down``."""

from __future__ import annotations

from typing import Annotated

import typer

from stoker import host as machine
from stoker import paths, server
from stoker.cli.options import Json
from stoker.cli.render import output


def command(
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the engine's container, stopped, with its log.")
    ] = False,
    json: Json = False,
) -> None:
    """Stop the deployment and free its memory."""
    deployment = server.current()
    on_gpus = deployment is not None and deployment.spec.options.gpus
    before = _gpu_free_bytes() if on_gpus else 0
    stopped = server.stop(keep_container=keep)
    freed = _gpu_free_bytes() - before if on_gpus else None
    if json:
        output.as_json({"stopped": stopped, "gpu_memory_freed_bytes": freed})
    elif stopped and deployment is not None:
        output.say(
            f"Stopped {deployment.spec.plan.model.id}; {deployment.spec.endpoint} is closed."
        )
        if freed is not None:
            output.say(f"GPU memory freed: {output.size(freed)}.")
    elif stopped:
        output.say("Stopped what was running; its state could not be read.")
    else:
        output.say("Nothing was running.")


def _gpu_free_bytes() -> int:
    """The free memory of all GPUs together."""
    gpus = machine.detect(paths.cache_dir(), ask_hub=False).gpus
    return sum(gpu.memory_free_bytes or 0 for gpu in gpus)
