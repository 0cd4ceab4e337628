"""code-servers that run on this machine, found in the list of processes."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

_NAME = "code-server"
#: Its options that name folders: the first holds the settings, the second the extensions.
_FOLDERS = ("--user-data-dir", "--extensions-dir")


@dataclass(frozen=True, slots=True)
class CodeServer:
    """A code-server that runs. Its Node with ``options`` is a command that speaks of it."""

    command: Path
    options: tuple[str, ...]
    #: Where its user's settings are; ``None`` is the usual place.
    user_data: Path | None


def running_code_servers() -> tuple[CodeServer, ...]:
    """Those of this user, each once: the same folders are the same one."""
    found: dict[tuple[str, ...], CodeServer] = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            words = process.cmdline()
            if _is_code_server(words) and _is_mine(process):
                folders = _folders(words, Path(process.cwd()))
                user_data = Path(folders[1]) if _FOLDERS[0] in folders else None
                server = CodeServer(Path(process.exe()), (words[1], *folders), user_data)
                found.setdefault(folders, server)
    return tuple(found.values())


def _is_code_server(words: Sequence[str]) -> bool:
    """Whether a process is Node with code-server's own program."""
    return len(words) > 1 and any(part.startswith(_NAME) for part in Path(words[1]).parts)


def _is_mine(process: psutil.Process) -> bool:
    """Whether it is a person's own: not one of its helpers, and not for another home."""
    environment = process.environ()
    home = environment.get("HOME")
    is_helper = "CODE_SERVER_PARENT_PID" in environment
    same_user = process.username() == psutil.Process().username()
    return same_user and not is_helper and (home is None or Path(home) == Path.home())


def _folders(words: Sequence[str], folder: Path) -> tuple[str, ...]:
    """The options that name its folders, the one of the user's data first."""
    named: list[str] = []
    for option in _FOLDERS:
        for word, following in zip(words, (*words[1:], ""), strict=True):
            value = following if word == option else word.removeprefix(f"{option}=")
            if value and (word == option or value != word):
                named += [option, str(folder / value)]
                break
    return tuple(named)
