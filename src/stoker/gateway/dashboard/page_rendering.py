"""Makes the pages from their templates. What is put into one is escaped."""

from __future__ import annotations

import hashlib
import unicodedata
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stoker.gateway.dashboard import catalogue
from stoker.gateway.dashboard.formats import Formats
from stoker.gateway.dashboard.usage_overview import tokens_of
from stoker.gateway.usage.recent_errors import ErrorKind

if TYPE_CHECKING:
    from jinja2 import Environment

_FOLDER = Path(__file__).parent
#: Characters that set the direction of what comes after them: https://www.unicode.org/reports/tr9/
_TURNS_TEXT = frozenset(["LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"])
#: The parts of the page that are sent again while it is looked at.
PARTS = ("status", "now", "backends", "prompts", "usage", "errors")


def page(name: str, formats: Formats, **values: Any) -> str:
    """The HTML of one page or part of one."""
    return _environment().get_template(f"{name}.html").render(f=formats, t=formats.text, **values)


@cache
def static_file(name: str) -> bytes:
    """A file that pages refer to."""
    return (_FOLDER / "static" / name).read_bytes()


@cache
def version_of(name: str) -> str:
    """What changes with a file's content, so that a browser may keep it for ever."""
    return hashlib.sha256(static_file(name)).hexdigest()[:12]


def diagnosis(kind: ErrorKind) -> str:
    """The key of the texts that explain a kind of error."""
    is_servers = (kind.status or 0) >= 500
    if kind.code == "backend_refused" and is_servers:
        return "backend_error"
    if catalogue.has(f"errors.{kind.code}.what"):
        return kind.code
    return "other_server" if is_servers else "other_client"


def visible(name: str) -> str:
    """A name in which no character hides or turns the ones beside it: those are written out.

    ``evil\\u202egnp.exe`` would read as ``evilexe.png``. Letters that are joined, and emoji of
    several parts, stay as they are.
    """
    return "".join(f"\\u{ord(c):04x}" if _misleads(c) else c for c in name)


def _misleads(character: str) -> bool:
    is_control = unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
    return is_control or unicodedata.bidirectional(character) in _TURNS_TEXT


def sparkline(values: tuple[float, ...], width: int = 240, height: int = 48) -> str:
    """The points of a line through these values, for an SVG of that size."""
    top = max(values, default=0) or 1
    step = width / max(1, len(values) - 1)
    inner = height - 4
    return " ".join(f"{i * step:.1f},{2 + inner * (1 - v / top):.1f}" for i, v in enumerate(values))


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415  (60 ms)

    made = Environment(
        loader=FileSystemLoader(_FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals.update(
        diagnosis=diagnosis, sparkline=sparkline, tokens_of=tokens_of, version_of=version_of
    )
    made.filters["visible"] = visible
    return made
