"""The guides as HTML pages that a browser opens from a folder, with their links intact."""

from __future__ import annotations

import html
import os
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

#: What a page needs so that it is readable without anything from a network.
_STYLE = (
    "body{max-width:52rem;margin:2rem auto;padding:0 1rem;font:16px/1.5 system-ui,sans-serif}"
    "pre{background:#f4f4f4;padding:.8rem;overflow-x:auto}"
    "table{border-collapse:collapse}td,th{border:1px solid #ccc;padding:.3rem .6rem;"
    "text-align:left;vertical-align:top}"
)
_PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")
_EXTERNAL = re.compile(r"[a-z][a-z0-9+.-]*:|//", re.IGNORECASE)


def write(project: Path, folder: Path) -> dict[str, Path]:
    """Convert the project's guides into ``folder``: README and ``docs``. Returns the files by path.

    Links between them lead to their pages; a link to a file that does not come along becomes text.
    """
    sources = [project / name for name in _PAGES] + sorted((project / "docs").rglob("*"))
    files = {f.relative_to(project).as_posix(): f for f in sources if f.is_file()}
    written: dict[str, Path] = {}
    for name, source in files.items():
        path = _page_of(name)
        written[path] = folder / path
        written[path].parent.mkdir(parents=True, exist_ok=True)
        if source.suffix == ".md":
            page = to_html(source.read_text(encoding="utf-8"), name, frozenset(files))
            written[path].write_text(page, encoding="utf-8")
        else:
            written[path].write_bytes(source.read_bytes())
    return written


def to_html(text: str, name: str, known: frozenset[str]) -> str:
    """One page. ``name`` is its path in the project; links are followed among ``known``."""
    from markdown_it import MarkdownIt  # noqa: PLC0415  (rich brings it; only this needs it)

    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    tokens = parser.parse(text)
    _give_anchors(tokens)
    for token in tokens:
        _lead_links(token.children or [], name, known)
    body = parser.renderer.render(tokens, parser.options, {})
    title = next((t.content for t in tokens if t.type == "inline"), name)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body>\n{body}</body></html>\n"
    )


def _page_of(name: str) -> str:
    return f"{name[:-3]}.html" if name.endswith(".md") else name


def _give_anchors(tokens: list[Any]) -> None:
    """Anchors of headings, as GitHub makes them."""
    seen: dict[str, int] = {}
    for heading, inline in pairwise(tokens):
        if heading.type != "heading_open":
            continue
        plain = "".join(
            child.content
            for child in inline.children or []
            if child.type in ("text", "code_inline")
        )
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        count = seen.get(slug, 0)
        seen[slug] = count + 1
        heading.attrSet("id", f"{slug}-{count}" if count else slug)


def _lead_links(tokens: list[Any], name: str, known: frozenset[str]) -> None:
    for token in tokens:
        if token.type != "link_open":
            continue
        target = str(token.attrGet("href") or "")
        if not target or target.startswith("#") or _EXTERNAL.match(target):
            continue
        path, _, anchor = target.partition("#")
        there = os.path.normpath(f"{os.path.dirname(name)}/{path}".lstrip("/"))  # noqa: PTH120
        if there in known:
            token.attrSet("href", _page_of(path) + (f"#{anchor}" if anchor else ""))
        else:
            token.attrs.pop("href")
            token.attrSet("title", f"not in the bundle: {target}")
