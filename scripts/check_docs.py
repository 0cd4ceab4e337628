"""Fail when a page names what does not exist or is not so, or takes over five minutes to read.

It checks the pages of the site and the extension's README:
- ``stoker COMMAND --option`` in code: the command exists and takes the option;
- ``make TARGET`` in code: the target exists;
- links, images and inline-code paths into this repository: the file exists, and has the link's
  anchor;
- settings of the VS Code extension (``huggingface.*``, ``stoker.completion.*``): package.json
  declares them;
- "`--option` ... 3 by default": it is the default of that option;
- facts (scripts/doc_facts.py) are as their source has them. Exit codes, and figures in a sentence
  that names a benchmark, are facts; a benchmark's figures have its date beside them;
- Mermaid diagrams have their pictures, and columns of tables have names;
- the hand-written part of a page has at most ``LONGEST_PAGE_WORDS`` words.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import typer.main
from scripts import doc_facts

from stoker.bundles import docs_site
from stoker.cli import app

ROOT = Path(__file__).resolve().parent.parent
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
COMMAND = re.compile(r"(?<![\w/.-])stoker ([a-z]+)((?: +[^\n#|;&]*)?)")
OPTION = re.compile(r"(?<!\S)(--?[a-z][a-z-]*)")
TARGET = re.compile(r"(?<![\w-])make ([a-z][a-z-]+)")
SETTING = re.compile(r"(?<![\w/.])(?:huggingface\.(?!co\b)[a-zA-Z]+|stoker\.completion\.\w+)\b")
DEFAULT = re.compile(r"`(?:stoker [a-z ]+)?(--[a-z-]+)`[^`\n.|]{0,80}?(\d[\d.,]*) by default")
EXIT_CODE = re.compile(r"\bexit(?:s|ed)?(?: codes?)?(?: is| are| with| of)?:? \d", re.IGNORECASE)
FIGURE = re.compile(r"\d[\d.,]* ?(?:(?:us|ms|s|MB|GB|MB/s|GB/s|tokens/s|tokens|x)\b|%)")
#: A table's head with an empty cell, which a screen reader can't name.
EMPTY_HEAD = re.compile(r"^(\|(?:.*\|)?[ ]*\|.*)\n\|[ :|-]*---", re.MULTILINE)
SENTENCE = re.compile(r"(?<=[.!?|]) |\n\n")
#: The file and the anchor of a link into this repository; either may be missing.
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]*))?\)")
HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)
ANCHOR = re.compile(r'<a id="([^"]+)">')
DIAGRAM = re.compile(r"^```mermaid.*?^```", re.MULTILINE | re.DOTALL)
GENERATED = re.compile(r"<!-- ?\[\[\[cog.*?\[\[\[end\]\]\] ?-->", re.DOTALL)
WORD = re.compile(r"\w[\w'./:@-]*")
#: Five minutes at 240 words a minute.
LONGEST_PAGE_WORDS = 1200
#: Inline code that looks like a path of this repository: it begins with one of its folders.
FILE = re.compile(
    r"^(?:src|docs|scripts|tests|benchmarks|extension|\.ci)/[\w./-]*\w$|^[A-Z]+\.md$|^Makefile$"
)


def pages() -> list[Path]:
    """The pages that people read, less the history in CHANGELOG.md."""
    site = [path for path in docs_site.sources(ROOT).values() if path.suffix == ".md"]
    pages = (*site, ROOT / "extension" / "README.md")
    return [path for path in pages if path.name != "CHANGELOG.md"]


@cache
def anchors(page: Path) -> frozenset[str]:
    """The anchors of a page: its headings as GitHub makes them, and ``<a id>``."""
    text = page.read_text(encoding="utf-8")
    found: list[str] = []
    for heading in HEADING.findall(FENCE.sub("", text)):
        slug = slug_of(heading)
        found.append(f"{slug}-{found.count(slug)}" if slug in found else slug)
    return frozenset(found) | frozenset(ANCHOR.findall(text))


def slug_of(heading: str) -> str:
    """A heading's anchor: lower case, no punctuation, hyphens for spaces."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def words_written(text: str) -> int:
    """The number of words on a page, without diagrams and the parts that cog generates."""
    text = DIAGRAM.sub("", GENERATED.sub("", text))
    return len(WORD.findall(doc_facts.FACT.sub(r"\4", text)))


def code(text: str) -> Iterator[str]:
    """The fenced blocks and the inline code of a page."""
    yield from FENCE.findall(text)
    yield from INLINE.findall(FENCE.sub("", text))


@cache
def options(command: str, inner: str = "") -> frozenset[str] | None:
    """The options of a command, or of the one in it; ``None`` where there is no such command."""
    group = typer.main.get_command(app)
    found = group.get_command(None, command)  # type: ignore[attr-defined]
    if found is None:
        return None
    found = getattr(found, "commands", {}).get(inner, found)
    return frozenset(o for p in found.params for o in (*p.opts, *p.secondary_opts)) | {"--help"}


@cache
def defaults() -> dict[str, frozenset[str]]:
    """The defaults of each option of any command."""
    group = typer.main.get_command(app)
    found: dict[str, set[str]] = {}
    for name in group.list_commands(None):  # type: ignore[attr-defined]
        command = group.get_command(None, name)  # type: ignore[attr-defined]
        for each in (command, *getattr(command, "commands", {}).values()):
            for parameter in each.params:
                for option in parameter.opts:
                    found.setdefault(option, set()).add(str(parameter.default))
    return {option: frozenset(values) for option, values in found.items()}


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
    """Problems in a piece of code: commands, options and targets that do not exist."""
    for command, rest in COMMAND.findall(snippet):
        known = options(command, (rest.split() or [""])[0])
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
    """Problems of a page: names and links that lead nowhere, and its length."""
    text = page.read_text(encoding="utf-8")
    for snippet in code(text):
        yield from wrong_in_code(snippet)
        if FILE.match(snippet) and not (ROOT / snippet).exists():
            yield f"there is no file {snippet}"
    for setting in SETTING.findall(text):
        if setting not in settings():
            yield f"there is no setting {setting}"
    yield from wrong_links(page, text)
    yield from wrong_values(text)
    for head in EMPTY_HEAD.findall(text):
        yield f"a column of the table has no name: {head}"
    if words_written(text) > LONGEST_PAGE_WORDS:
        yield f"it has {words_written(text)} words, and the limit is {LONGEST_PAGE_WORDS}"


def wrong_links(page: Path, text: str) -> Iterator[str]:
    """The links of a page whose file or anchor does not exist."""
    for link, anchor in LINK.findall(FENCE.sub("", text)):
        target = page.parent / link if link else page
        if not target.exists():
            yield f"the link {link} leads to no file"
        elif anchor and target.suffix == ".md" and anchor not in anchors(target):
            yield f"the link {link}#{anchor} leads to no heading"


def wrong_values(text: str) -> Iterator[str]:
    """What a page states of the program or of a benchmark, and is not so or not generated."""
    yield from doc_facts.wrong_facts(text)
    prose = FENCE.sub("", GENERATED.sub("", text))
    shown = doc_facts.FACT.sub(r"\4", prose)
    for option, value in DEFAULT.findall(shown):
        if value not in defaults().get(option, ()):
            yield f"{value} is not the default of {option}"
    plain = doc_facts.FACT.sub("", prose)
    for code in EXIT_CODE.findall(plain):
        yield f"{code!r}: write the exit code as a fact"
    for sentence in SENTENCE.split(plain):
        if "benchmarks/" in sentence and FIGURE.search(sentence):
            yield f"{FIGURE.search(sentence)[0]!r} beside a benchmark: write it as a fact"  # type: ignore[index]
    for line in prose.splitlines():
        used = re.findall(r"fact: run (\w+)\.(\w+)", line)
        dated = {benchmark for benchmark, figure in used if figure == "on"}
        for benchmark in sorted({benchmark for benchmark, _ in used} - dated):
            yield f"figures of {benchmark} have no date beside them"


def wrong_diagrams() -> Iterator[str]:
    """Diagrams without their picture, and pictures without their diagram."""
    drawn = {path.name for path in (ROOT / "docs" / "pictures").glob("diagram-*.svg")}
    if drawn != docs_site.diagrams(ROOT).keys():
        yield "docs/pictures: a diagram was changed: scripts/make_pictures.py diagrams"


def main() -> int:
    """Print the problems. Returns 1 if there are any."""
    wrong = [f"{page.relative_to(ROOT)}: {w}" for page in pages() for w in wrong_in_page(page)]
    wrong += wrong_diagrams()
    print("\n".join(wrong) if wrong else f"{len(pages())} pages name only what exists.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
