"""Run several slow probes at the same time, with one deadline for all."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any


class ParallelProbes:
    """Probes that run at the same time, each in a thread that cannot keep the program alive."""

    def __init__(self, probes: Mapping[str, Callable[[], Any]]) -> None:
        self._answers: dict[str, Any] = {}
        self._failures: dict[str, Exception] = {}
        self._threads = {
            name: threading.Thread(target=self._run, args=(name, probe), daemon=True)
            for name, probe in probes.items()
        }
        for thread in self._threads.values():
            thread.start()

    def _run(self, name: str, probe: Callable[[], Any]) -> None:
        try:
            self._answers[name] = probe()
        except Exception as error:
            self._failures[name] = error

    def wait(self, timeout_s: float, problems: list[str]) -> dict[str, Any]:
        """The results that came in time; each probe that failed or is late adds to ``problems``."""
        deadline = time.monotonic() + timeout_s
        for name, thread in self._threads.items():
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                problems.append(f"Gave up on {name} after {timeout_s:.1f} s.")
        problems += [could_not_read(name, error) for name, error in self._failures.items()]
        return dict(self._answers)


def could_not_read(what: str, error: Exception) -> str:
    """One sentence on a probe that failed in an unforeseen way."""
    return f"Could not read {what}: {type(error).__name__}: {error}."
