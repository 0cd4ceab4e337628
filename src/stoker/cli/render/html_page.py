"""The frame of Stoker's HTML pages: no script, no external resources, light and dark mode."""

from __future__ import annotations

from html import escape
from pathlib import Path

from stoker.errors import StokerError

_STYLE = """
:root{color-scheme:light dark;--w:#3b6fd4;--k:#2e9e5b;--a:#b04fc0;--g:#d49a1f;--f:#8884}
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #8884;vertical-align:top}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
@media(max-width:40rem){table{display:block;overflow-x:auto}li,p{overflow-wrap:anywhere}}
code{font-size:.9em}section{margin:3rem 0}
"""


def document(kind: str, title: str, style: str, body: str) -> str:
    """A whole page. ``body`` is HTML, ``style`` is additional CSS; ``title`` is escaped."""
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>Stoker {kind}: {escape(title)}</title><style>{_STYLE}{style}</style>"
        f"<h1>{escape(title)}</h1>{body}</html>\n"
    )


def write(path: Path, text: str) -> None:
    """Write a file. Raises ``StokerError`` where that fails."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StokerError(
            f"Stoker can't write {path}.", f"{error.strerror or error}.", "Name another file."
        ) from error
