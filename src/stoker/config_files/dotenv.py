"""Edits files of environment variables: ``NAME=value`` lines, read by programs, not by a shell."""

from __future__ import annotations

import re

from stoker.config_files.path_in_file import Keys

_LINE = re.compile(r"^[ \t]*(?:export[ \t]+)?([A-Za-z_]\w*)[ \t]*=(.*)$")
#: Values of these characters need no quotes in any reader.
_PLAIN = re.compile(r"[\w./:@%+,-]*")


def values(text: str) -> dict[str, str]:
    """Every variable; the last of duplicates, which is the one that readers use.

    Raises ValueError with the line for a line that is neither a variable nor a comment.
    """
    found = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.match(line)
        if match is None:
            raise ValueError(f"line {number}: expected NAME=value")
        found[match[1]] = _read(match[2])
    return found


def put(text: str, path: Keys, value: object) -> str:
    """``text`` with the variable set, where it was or on a new last line."""
    (name,) = path
    line = f"{name}={_write(str(value))}"
    lines = text.splitlines(keepends=True)
    at = _last(lines, name)
    newline = "\r\n" if "\r\n" in text else "\n"
    if at is None:
        before = text if not text or text.endswith("\n") else text + newline
        return f"{before}{line}{newline}"
    end = lines[at][len(lines[at].rstrip("\r\n")) :]
    return "".join([*lines[:at], line + end, *lines[at + 1 :]])


def drop(text: str, path: Keys) -> str:
    """``text`` without the line of the variable."""
    (name,) = path
    lines = text.splitlines(keepends=True)
    at = _last(lines, name)
    return text if at is None else "".join([*lines[:at], *lines[at + 1 :]])


def _last(lines: list[str], name: object) -> int | None:
    matches = [(index, _LINE.match(line.rstrip("\r\n"))) for index, line in enumerate(lines)]
    return next((index for index, match in reversed(matches) if match and match[1] == name), None)


def _read(written: str) -> str:
    written = written.strip()
    if len(written) > 1 and written[0] == written[-1] and written[0] in "'\"":
        return written[1:-1]
    return written.partition(" #")[0].rstrip()


def _write(value: str) -> str:
    return value if _PLAIN.fullmatch(value) else f"'{value}'"
