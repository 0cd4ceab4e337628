"""Show a download: on a terminal a bar with speed and time left, elsewhere a line every 5 s."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from stoker.cli.render import output
from stoker.models import DownloadProgress

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

#: How often a line is printed where there is no terminal.
_LINE_EVERY_S = 5.0


class Download:
    """Shows the progress of a download from its first event on; nothing where ``quiet``."""

    def __init__(self, quiet: bool, verb: str = "download") -> None:
        self._quiet = quiet
        self._verb = verb
        self._bar: Bar | None = None
        self._began: tuple[float, int] | None = None
        self._said_at = 0.0

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.stop()

    def show(self, progress: DownloadProgress) -> None:
        """Show the current progress."""
        if self._quiet:
            return
        if sys.stdout.isatty():
            self._show_bar(progress)
        else:
            self._show_line(progress)

    def _show_bar(self, progress: DownloadProgress) -> None:
        if self._bar is None:
            from rich import progress as rich  # noqa: PLC0415  (slow to import)

            self._bar = rich.Progress(
                rich.TextColumn("  {task.description}"),
                rich.BarColumn(bar_width=24),
                rich.DownloadColumn(binary_units=True),
                rich.TransferSpeedColumn(),
                rich.TimeRemainingColumn(),
            )
            self._bar.start()
            self._bar.add_task(self._label(progress), total=progress.bytes_total)
        self._bar.update(
            self._bar.task_ids[0], completed=progress.bytes_done, total=progress.bytes_total
        )

    def _show_line(self, progress: DownloadProgress) -> None:
        now = time.monotonic()
        if self._began is None:
            self._began = (now, progress.bytes_done)
        done = progress.bytes_done == progress.bytes_total
        if now - self._said_at < _LINE_EVERY_S and not done:
            return
        self._said_at = now
        label = self._label(progress)
        output.say(f"  {label} {_amount(progress)}{self._rate(progress, now)}")

    def _label(self, progress: DownloadProgress) -> str:
        return f"{self._verb} ({progress.source})" if progress.source else self._verb

    def _rate(self, progress: DownloadProgress, now: float) -> str:
        began_at, began_with = self._began or (now, 0)
        passed = now - began_at
        speed = (progress.bytes_done - began_with) / passed if passed > 1 else 0
        if not speed:
            return ""
        left = (progress.bytes_total or progress.bytes_done) - progress.bytes_done
        return f", {output.size(speed)}/s, {output.duration(left / speed)} left"


def _amount(progress: DownloadProgress) -> str:
    if progress.bytes_total is None:
        return output.size(progress.bytes_done)
    return f"{output.size(progress.bytes_done)} of {output.size(progress.bytes_total)}"
