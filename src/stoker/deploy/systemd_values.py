"""How values are written in systemd's unit files."""

from __future__ import annotations

import re
from collections.abc import Sequence

from stoker.deploy.site_file import Line

_PLAIN = re.compile(r"[\w@:/.,=+-]+")


def exec_word(word: str) -> str:
    """One argument of a command: systemd would read ``%``, ``$``, quotes and spaces otherwise."""
    if _PLAIN.fullmatch(word):
        return word
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"'


def literal(text: str) -> str:
    """Text of a description, in which ``%`` stands for itself."""
    return text.replace("%", "%%")


def setting(name: str, value: str) -> str:
    """A line ``NAME="VALUE"``, in which ``%`` stands for itself."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'{name}="{escaped}"' if not _PLAIN.fullmatch(value) else f"{name}={value}"


def exec_lines(*groups: Sequence[Line], name: str = "ExecStart") -> list[Line | str]:
    """A command over several lines, with a comment above each that has a reason."""
    lines = [line for group in groups for line in group]
    ends = [" \\"] * (len(lines) - 1) + [""]
    begins = [f"{name}=", *["    "] * (len(lines) - 1)]
    return [
        Line(f"{begin}{line.text}{end}", line.why)
        for begin, line, end in zip(begins, lines, ends, strict=True)
    ]
