"""How long the server waits, and for what."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Times in seconds. The defaults are the product's; tests pass shorter ones."""

    #: The waits before a crashed engine is started again; after the last one it is given up.
    backoff_s: tuple[float, ...] = (0.5, 2.0, 8.0)
    #: An engine that was ready for this long has recovered: earlier crashes no longer count.
    recovered_s: float = 120.0
    #: An engine that logs nothing for this long while it starts hangs.
    stalled_s: float = 600.0
    #: Between two checks of whether a starting engine answers.
    poll_s: float = 0.05
    #: From SIGTERM to SIGKILL.
    grace_s: float = 5.0
