"""Where the engine of a deployment keeps what it has read, if it can: a folder for each key."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from stoker import engines, paths
from stoker.engines import Options
from stoker.planning import Plan


def with_slot_folder(plan: Plan, options: Options) -> Options:
    """How to run the engine so that it keeps what it has read; as before where it keeps nothing."""
    # In a container another build reads the files, which it must not: their key names this one.
    outside = options.adopted is not None or options.endpoint is not None
    folder = None if outside else _folder(plan)
    return replace(options, slot_folder=str(folder)) if folder else options


def _folder(plan: Plan) -> Path | None:
    files = engines.lookup(plan.engine).slot_files
    try:
        key = files.key(plan) if files else None
    except OSError:  # the engine's start reports why the model can't be read
        return None
    return paths.cache_dir() / "prompts" / key if key else None
