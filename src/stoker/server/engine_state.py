"""The states of an engine and the moves between them: one machine for every kind of engine.

A process, a container and an adopted server pass through the same states; what differs is how a
change is noticed (``engine_process``, ``engine_container``, ``engine_external``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

EngineState = Literal["starting", "ready", "silent", "restarting", "failed", "stopped"]

#: What may follow each state.
#:
#: - ``starting``: not ready yet since the launch; one corrected start is part of it.
#: - ``ready``: it answers, and requests are forwarded.
#: - ``silent``: it has not ended but can't answer (frozen, paused, unreachable); requests are
#:   refused.
#: - ``restarting``: it ended after it was ready, or its plan was changed; it waits for its next
#:   start, or starts again.
#: - ``failed`` and ``stopped`` are final: given up, and stopped by the user.
NEXT: Mapping[EngineState, tuple[EngineState, ...]] = {
    "starting": ("ready", "failed", "stopped"),
    "ready": ("silent", "restarting", "failed", "stopped"),
    "silent": ("silent", "ready", "restarting", "failed", "stopped"),
    "restarting": ("ready", "failed", "stopped"),
    "failed": (),
    "stopped": (),
}


def check_move(before: EngineState, after: EngineState) -> None:
    """Raise ``ValueError`` where no engine goes from ``before`` to ``after``."""
    if after not in NEXT[before]:
        raise ValueError(f"an engine that is {before} can't become {after}")
