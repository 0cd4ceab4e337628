"""Show how far each step of a bundle's work is, as downloads are shown."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from stoker.cli.render import output
from stoker.cli.render.progress import Download
from stoker.models import DownloadProgress

#: Steps follow each other quickly where there is little to do; a terminal shows no faster.
_SHOW_EVERY_S = 0.2


class BundleProgress:
    """Called with a step, its bytes done, and those in all; ``None`` where that is not known."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._step = ""
        self._shown: Download | None = None
        self._shown_at = 0.0

    def __enter__(self) -> BundleProgress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    def __call__(self, step: str, done: int, total: int | None) -> None:
        """Show progress: a line for each step, and a bar or further lines during a long one."""
        if self._quiet:
            return
        if step != self._step:
            self._close()
            self._step = step
            output.say(step)
        now = time.monotonic()
        if done and (now - self._shown_at > _SHOW_EVERY_S or done == total):
            self._shown_at = now
            self._shown = self._shown or Download(quiet=False, verb=step)
            self._shown.show(DownloadProgress(done, total, ""))

    def _close(self) -> None:
        if self._shown is not None:
            self._shown.close()
            self._shown = None
            if sys.stdout.isatty():
                output.say()
