"""The code-servers that run on this machine, found in the process list."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

_NAME = "code-server"
#: Its options for folders: the first one's holds the settings, the second one's the extensions.
_FOLDERS = ("--user-data-dir", "--extensions-dir")


@dataclass(frozen=True, slots=True)
class CodeServer:
    """A running code-server. ``command``, its Node, with ``options`` is its command line."""

    command: Path
    options: tuple[str, ...]
    #: The folder of its user's settings; ``None`` is the default folder.
    user_data: Path | None


def running_code_servers() -> tuple[CodeServer, ...]:
    """This user's running code-servers; those with the same folders count once."""
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
    """Whether a process is Node running code-server."""
    return len(words) > 1 and any(part.startswith(_NAME) for part in Path(words[1]).parts)


def _is_mine(process: psutil.Process) -> bool:
    """Whether it is this user's, uses this home folder, and is not a helper process."""
    environment = process.environ()
    home = environment.get("HOME")
    is_helper = "CODE_SERVER_PARENT_PID" in environment
    same_user = process.username() == psutil.Process().username()
    return same_user and not is_helper and (home is None or Path(home) == Path.home())


def _folders(words: Sequence[str], folder: Path) -> tuple[str, ...]:
    """The options that name its folders, the user data's first."""
    named: list[str] = []
    for option in _FOLDERS:
        for word, following in zip(words, (*words[1:], ""), strict=True):
            value = following if word == option else word.removeprefix(f"{option}=")
            if value and (word == option or value != word):
                named += [option, str(folder / value)]
                break
    return tuple(named)
