"""Fail when a page names a command, option, setting or file that does not exist.

What is checked, in README.md and docs/*.md:
- ``stoker COMMAND --option`` in code: the command exists and takes the option;
- ``make TARGET`` in code: the target exists;
- links and inline-code paths into this repository: the file exists;
- settings of the VS Code extension (``huggingface.*``): package.json declares them.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import typer.main

from stoker.cli import app

ROOT = Path(__file__).resolve().parent.parent
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
COMMAND = re.compile(r"(?<![\w/.-])stoker ([a-z]+)((?: +[^\n#|;&]*)?)")
OPTION = re.compile(r"(?<!\S)(--?[a-z][a-z-]*)")
TARGET = re.compile(r"(?<![\w-])make ([a-z][a-z-]+)")
SETTING = re.compile(r"(?<![\w/.])huggingface\.(?!co\b)[a-zA-Z]+\b")
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")
#: Inline code that looks like a path of this repository: it begins with one of its folders.
FILE = re.compile(
    r"^(?:src|docs|scripts|tests|benchmarks|extension|\.ci)/[\w./-]*\w$|^[A-Z]+\.md$|^Makefile$"
)


def pages() -> list[Path]:
    """The pages that people read."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def code(text: str) -> Iterator[str]:
    """The fenced blocks and the inline code of a page."""
    yield from FENCE.findall(text)
    yield from INLINE.findall(FENCE.sub("", text))


@cache
def options(command: str) -> frozenset[str] | None:
    """The options of a command; ``None`` where there is no such command."""
    group = typer.main.get_command(app)
    found = group.get_command(None, command)  # type: ignore[attr-defined]
    if found is None:
        return None
    return frozenset(o for p in found.params for o in (*p.opts, *p.secondary_opts)) | {"--help"}


@cache
def targets() -> frozenset[str]:
    """The targets of the Makefile."""
    return frozenset(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@cache
def settings() -> frozenset[str]:
    """The settings that the extension declares."""
    manifest = ROOT / "extension" / "package.json"
    if not manifest.exists():
        return frozenset({"huggingface.customTGIEndpoint"})
    declared = json.loads(manifest.read_text())["contributes"]["configuration"]
    return frozenset(declared["properties"])


def wrong_in_code(snippet: str) -> Iterator[str]:
    """What a piece of code names that does not exist."""
    for command, rest in COMMAND.findall(snippet):
        known = options(command)
        if known is None:
            yield f"there is no command `stoker {command}`"
            continue
        for option in OPTION.findall(rest):
            if option not in known:
                yield f"`stoker {command}` takes no option {option}"
    for target in TARGET.findall(snippet):
        if target not in targets():
            yield f"the Makefile has no target {target}"


def wrong_in_page(page: Path) -> Iterator[str]:
    """What a page names that does not exist."""
    text = page.read_text(encoding="utf-8")
    for snippet in code(text):
        yield from wrong_in_code(snippet)
        if FILE.match(snippet) and not (ROOT / snippet).exists():
            yield f"there is no file {snippet}"
    for setting in SETTING.findall(text):
        if setting not in settings():
            yield f"there is no setting {setting}"
    for link in LINK.findall(text):
        if not (page.parent / link).exists():
            yield f"the link {link} leads nowhere"


def main() -> int:
    """Print what is wrong; 1 where anything is."""
    wrong = [f"{page.relative_to(ROOT)}: {w}" for page in pages() for w in wrong_in_page(page)]
    print("\n".join(wrong) if wrong else f"{len(pages())} pages name only what exists.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
