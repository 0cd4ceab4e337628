"""Runs that end by ``SIGKILL`` at a chosen step, as by a crash or a power switch."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

#: Events of https://docs.python.org/3/library/audit_events.html that change a disk or start a
#: program; ``open`` counts where it can write.
_STEPS = frozenset(
    ("os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink", "os.truncate")
)


def killed_at(step: int, run: Callable[[], object], below: Path) -> bool:
    """Whether ``run``, in a process of its own, came to its step ``step`` and was killed there.

    A step is a change of a file below the folder, or a program that is started. They are counted
    from 1. Any other failure of the run fails the test.
    """
    child = os.fork()
    if child == 0:
        _run_and_end(step, run, str(below))
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0, "the run failed; its error is printed above"
    return False


def _run_and_end(step: int, run: Callable[[], object], below: str) -> None:
    left = [step]

    def count(event: str, given: tuple[Any, ...]) -> None:
        if not _changes(event, given, below):
            return
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    try:
        run()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def _changes(event: str, given: tuple[Any, ...], below: str) -> bool:
    if event == "subprocess.Popen":
        return True
    if event == "open":
        path, _mode, flags = given
        writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR)
        return bool(writes) and str(path).startswith(below)
    return event in _STEPS and any(str(part).startswith(below) for part in given)
