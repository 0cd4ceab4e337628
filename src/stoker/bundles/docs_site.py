"""Build the docs as a site that needs no network: for ``make site``, ``stoker docs`` and bundles.

Sphinx with MyST and furo. The pages of docs/ and of the root are copied, without cog's comments and
with links that stay within the site; then Sphinx builds them, and any warning is an error: a dead
link, an anchor that is not there, a missing image. Its search is a script, so that it also works
where the site is opened from a folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import io
import re
import shutil
import sys
import tempfile
from collections.abc import Collection
from pathlib import Path, PurePosixPath

import stoker
from stoker.errors import StokerError

#: Where a wheel carries the site, and where a clone keeps the one that it built.
PACKAGED = Path(stoker.__file__).resolve().parent / "site"
#: Pages of the root, and what they are in the site.
ROOT_PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "SECURITY.md": "SECURITY.md",
    "AGENTS.md": "AGENTS.md",
}
#: The navigation: captions, and the pages below each; a folder is all of its pages.
NAVIGATION: dict[str, tuple[str, ...]] = {
    "Install and choose": (
        *(
            "05-installation",
            "08-model-selection-guide",
            "rtx-4060-8gb",
            "infrastructure",
            "02-backend-decisions",
            "planning",
            "drafts",
            "two-models",
        ),
        *("models", "host", "04-setup-tgi"),
    ),
    "In the editor": ("vscode", "completion", "editors-and-agents", "context-fitting"),
    "For a team": (
        *("gateway", "teams", "sign-on", "tls", "limits", "usage", "dashboard", "monitoring"),
        *("security", "sizing"),
    ),
    "For a site of your own": (*("deploying", "deploying-kubernetes", "air-gapped", "backup"),),
    "When something is wrong": (
        *("doctor", "06-troubleshooting", "07-viewing-logs", "checking", "benchmarking"),
    ),
    "Look it up": ("glossary", "reference/"),
    "Change it": (
        *("CONTRIBUTING", "01-architecture", "03-setup-development", "contributing/"),
        *("AGENTS", "CHANGELOG", "SECURITY"),
    ),
}
_LINK = re.compile(r"\[([^\]\n]+)\]\((?!https?:|mailto:|#)([^)\s#]+)(#[^)\s]*)?\)")
_COG = re.compile(
    r"^<!-- ?(?:\[\[\[cog.*?\]\]\]|\[\[\[end\]\]\]) ?-->\n?", re.MULTILINE | re.DOTALL
)
#: Around a value that scripts/doc_facts.py writes.
_FACT = re.compile(r"<!-- ?/?fact[^>]*-->")
#: A diagram that GitHub draws by itself; its ``accTitle`` is what it shows, in words.
_DIAGRAM = re.compile(r"^```mermaid\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_DIAGRAM_TITLE = re.compile(r"^ *accTitle: (.+)$", re.MULTILINE)
#: An anchor of HTML, which MyST does not see: its own form.
_ANCHOR = re.compile(r'<a id="([^"]+)"></a>')
_MENDED = (
    ('role="heading"', 'role="heading" aria-level="2"'),
    ('<aside class="sidebar-drawer"', '<aside class="sidebar-drawer" aria-label="Pages"'),
    ('<aside class="toc-drawer', '<aside aria-label="On this page" class="toc-drawer'),
    ("<pre>", '<pre tabindex="0">'),
    ('<div class="table-wrapper', '<div tabindex="0" class="table-wrapper'),
    ('<div id="search-results"', '<h1>Search</h1><div id="search-results"'),
)
_ICON = "src/stoker/gateway/dashboard/static/icon.svg"
_CONF = """
project, author = "Stoker", "Stoker's contributors"
extensions = ["myst_parser"]
html_theme, html_title = "furo", "Stoker"
html_show_sourcelink = html_copy_source = html_show_copyright = False
html_favicon = "icon.svg"
html_static_path = html_css_files = ["site.css"]
myst_heading_anchors = 4
myst_enable_extensions = ["attrs_inline"]
pygments_style, pygments_dark_style = "a11y-high-contrast-light", "a11y-high-contrast-dark"
suppress_warnings = ["misc.highlighting_failure"]
# "--option" and quotes are to be copied as they stand.
smartquotes = False
"""
#: Names in the first column of a table break late on narrow screens.
_CSS = "td:first-child { min-width: 8rem }\n"


def home() -> Path | None:
    """The first page of the site that came with this Stoker; ``None`` where none did.

    A bundle puts it beside its environment; a wheel carries it, and a clone builds it there.
    """
    folders = (Path(sys.prefix).parent / "docs", PACKAGED)
    return next((f / "index.html" for f in folders if (f / "index.html").is_file()), None)


def is_older(site: Path, project: Path) -> bool:
    """Whether a page of the project changed after the site was built."""
    built = (site / "index.html").stat().st_mtime
    return any(source.stat().st_mtime > built for source in sources(project).values())


def can_build() -> bool:
    """Whether Sphinx and what it needs here are installed."""
    return all(importlib.util.find_spec(name) for name in ("sphinx", "myst_parser", "furo"))


def build(project: Path, to: Path) -> dict[str, Path]:
    """Write the project's site into ``to``. Returns its files by their path in it.

    Raises ``StokerError`` where Sphinx is missing, or warns.
    """
    if not can_build():
        raise StokerError(
            "The docs can't be built.",
            "Sphinx, MyST and furo are not installed.",
            "Install them: pip install 'stoker[bundles]'.",
        )
    from sphinx.cmd.build import main as sphinx  # noqa: PLC0415  (slow to import)

    warned = io.StringIO()
    shutil.rmtree(to, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(warned):
        write_sources(project, Path(folder))
        options = ["-q", "-W", "--keep-going", "-j", "auto", "-d", f"{folder}/.doctrees"]
        failed = sphinx([*options, "-b", "html", folder, str(to)])
    if failed:
        raise StokerError("The docs have faults.", warned.getvalue().strip(), "Correct the pages.")
    for page in to.rglob("*.html"):
        page.write_text(accessible(page.read_text(encoding="utf-8")), encoding="utf-8")
    (to / ".buildinfo").unlink(missing_ok=True)
    return {f.relative_to(to).as_posix(): f for f in sorted(to.rglob("*")) if f.is_file()}


def accessible(html: str) -> str:
    """A page of furo with what axe-core misses: levels, names of landmarks, and a way for the
    keyboard into what scrolls."""
    for before, after in _MENDED:
        html = html.replace(before, after)
    return html


def sources(project: Path) -> dict[str, Path]:
    """The files of the site by their path in it: pages as Markdown, pictures and data."""
    found = {page: project / name for name, page in ROOT_PAGES.items()}
    for path in sorted((project / "docs").rglob("*")):
        if path.is_file():
            found[path.relative_to(project / "docs").as_posix()] = path
    return found


def write_sources(project: Path, folder: Path) -> None:
    """The files as Sphinx reads them, and its configuration."""
    found = sources(project)
    for page, path in found.items():
        target = folder / page
        target.parent.mkdir(parents=True, exist_ok=True)
        if _is_page(path):
            target.write_text(site_page(project, path, page, found.keys()), encoding="utf-8")
        else:
            shutil.copyfile(path, target)
    with (folder / "index.md").open("a", encoding="utf-8") as index:
        index.write(_toctrees([page for page in found if page.endswith(".md")]))
    shutil.copy(project / _ICON, folder / "icon.svg")
    (folder / "conf.py").write_text(_CONF, encoding="utf-8")
    (folder / "site.css").write_text(_CSS, encoding="utf-8")


def diagrams(project: Path) -> dict[str, str]:
    """Mermaid's sources in all pages, by the names of the pictures that ``make pictures`` draws."""
    pages = (at.read_text(encoding="utf-8") for at in sources(project).values() if _is_page(at))
    return {_picture_of(source): source for page in pages for source in _DIAGRAM.findall(page)}


def _is_page(path: Path) -> bool:
    return path.suffix == ".md"


def _picture_of(source: str) -> str:
    return f"diagram-{hashlib.sha256(source.encode()).hexdigest()[:8]}.svg"


def site_page(project: Path, path: Path, page: str, pages: Collection[str]) -> str:
    """A page without cog's comments. Links to what the site does not have become their text."""
    source = PurePosixPath(path.relative_to(project).as_posix()).parent

    def link(found: re.Match[str]) -> str:
        text, target, anchor = found[1], found[2], found[3] or ""
        there = _in_site(_normal(source / target))
        if there is None or there not in pages:
            return text
        up = "../" * page.count("/")
        return f"[{text}]({up}{there}{anchor})"

    def drawn(found: re.Match[str]) -> str:
        title = _DIAGRAM_TITLE.search(found[1])
        picture = f"{'../' * page.count('/')}pictures/{_picture_of(found[1])}"
        return f"![{title[1] if title else ''}]({picture})"

    text = _FACT.sub("", _COG.sub("", path.read_text(encoding="utf-8")))
    return _DIAGRAM.sub(drawn, _LINK.sub(link, _ANCHOR.sub(r"(\1)=", text)))


def _toctrees(pages: Collection[str]) -> str:
    """The navigation. Raises ``ValueError`` for a page that it does not have."""
    names = {page.removesuffix(".md") for page in pages}
    text, shown = "", {"index"}
    for caption, entries in NAVIGATION.items():
        listed = [name for entry in entries for name in _expanded(entry, names)]
        shown |= set(listed)
        lines = "\n".join(listed)
        text += f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{lines}\n```\n"
    if names - shown:
        raise ValueError(f"pages without a place in the navigation: {sorted(names - shown)}")
    return text


def _expanded(entry: str, names: set[str]) -> list[str]:
    if not entry.endswith("/"):
        return [entry]
    return sorted(name for name in names if name.startswith(entry))


def _in_site(path: PurePosixPath) -> str | None:
    """The page of the site for a path of the repository; ``None`` where it has none."""
    if len(path.parts) == 1:
        return ROOT_PAGES.get(path.name)
    return str(PurePosixPath(*path.parts[1:])) if path.parts[0] == "docs" else None


def _normal(path: PurePosixPath) -> PurePosixPath:
    parts: list[str] = []
    for part in path.parts:
        if part == ".." and parts:
            parts.pop()
        elif part != ".":
            parts.append(part)
    return PurePosixPath(*parts)
