"""Fail when a page names what does not exist or is not so, or takes over five minutes to read.

It checks the pages of the site, and the extension's README and walkthrough:
- ``stoker COMMAND INNER --option VALUE`` in code: the command and the one in it exist, take the
  option, and the option that value; a check and a model that it names exist;
- ``make TARGET`` in code: the target exists;
- links, images and paths into this repository in code: the file exists, and has the link's anchor;
- settings of the VS Code extension (``huggingface.*``, ``stoker.completion.*``), its commands
  (*Stoker: Show Log*), variables ``STOKER_*``, metrics ``stoker_*`` and paths of the gateway exist;
- "`--option` ... 3 by default": it is the default of that option;
- names with underscores and options in code exist, and settings in examples of the gateway's file;
- remarks behind commands are comments of the shell;
- buttons of the walkthrough, commands that it names, and commands that a message of the program
  names ('Stoker: Set API Key') exist;
- facts (scripts/doc_facts.py) are as their source has them. Exit codes, defaults in tables,
  figures in a paragraph or table that names a benchmark, and results in a sentence about what was
  measured, are facts or generated; a benchmark's figures have its date beside them;
- Mermaid diagrams have their pictures, each picture is shown, and columns of tables have names;
- the hand-written part of a page has at most ``LONGEST_PAGE_WORDS`` words.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, cast

import typer.main
from scripts import doc_facts

from stoker.bundles import docs_site
from stoker.checks import CHECKS
from stoker.cli import app
from stoker.data.facts import tomllib
from stoker.gateway import gateway_config
from stoker.models.model_catalogue import known_models

ROOT = Path(__file__).resolve().parent.parent
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
COMMAND = re.compile(r"(?<![\w/.-])stoker ([a-z]+)((?: +[^\n#|;&]*)?)")
OPTION = re.compile(r"(?<!\S)(--?[a-z][a-z-]*)(?:[ =]+([^\s\"']+))?")
#: The name of something that a command does; not a path, a placeholder or an address.
NAME = re.compile(r"[a-z][a-z0-9-]*$")
#: The short name of a model: it has a hyphen and a size.
MODEL = re.compile(r"(?=.*-)(?=.*\d)[a-z][a-z0-9.-]*$")
TARGET = re.compile(r"(?<![\w-])make ([a-z][a-z-]+)")
SETTING = re.compile(r"(?<![\w/.])(?:huggingface\.(?!co\b)[a-zA-Z]+|stoker\.completion\.\w+)\b")
DEFAULT = re.compile(r"`(?:stoker [a-z ]+)?(--[a-z-]+)`[^`\n.|]{0,80}?(\d[\d.,]*) by default")
PALETTE = re.compile(r"\*Stoker: ([^*\n]+)\*")
#: A command of the extension that a message of the program or a text of VS Code names.
QUOTED_COMMAND = re.compile(r"['\"*>]Stoker: ([A-Z][^'\"*<\n]+)['\"*<]")
#: The command behind a button of the walkthrough.
BUTTON = re.compile(r"\]\(command:(stoker\.[\w.]+)")
EMPHASISED = re.compile(r"(?<![*\w])\*{1,2}([^*\n]+)\*{1,2}(?![*\w])")
#: A name of a setting, a field or a function.
UNDERSCORED = re.compile(r"(?<![\w./-])(?!stoker_)[a-z][a-z0-9]*(?:_[a-z0-9]+)+(?![\w./-])")
BARE_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]+")
#: Names and options of other programs, and the example of a good name.
FOREIGN_NAMES = frozenset(
    [
        "auth_request",
        "pg_dump",
        "prefill_s",
        "reverse_proxy",
        "--cacert",
        "--cuda-memory-fraction",
        "--install-completion",
        "--num-shard",
        "--omit-lockfile-registry-resolved",
        "--otlp-traces-endpoint",
        "--quantize",
        "--scheduling-policy",
        "--showmeminfo",
        "--skip-jwt-bearer-tokens",
    ]
)
#: A line of a fenced block: a command, two or more spaces, and words.
REMARK = re.compile(r"^((?:stoker|make|pip) [^#\n]*\S {2,}[a-z][^#\n]*)$", re.MULTILINE)
TOML = re.compile(r"^```toml\n(.*?)^```", re.MULTILINE | re.DOTALL)
VARIABLE = re.compile(r"\bSTOKER_[A-Z_]+[A-Z]\b")
METRIC = re.compile(r"\bstoker_[a-z_]+_(?:total|up|unread|seconds|bytes|tokens|ratio)\b")
#: A path of an HTTP API, alone or behind its method.
HTTP_PATH = re.compile(
    r"(?:(?:GET|POST|DELETE) )?"
    r"(/(?:v1|api|ui|info|health|ready|metrics|fit|tokenize|openapi)[\w/.-]*)$"
)
#: A path of a file, within a longer piece of code.
INNER_FILE = re.compile(r"(?<![\w/.~@-])(?:scripts|tests|benchmarks|findings)/[\w./-]*\w(?![\w*])")
EXIT_CODE = re.compile(r"\bexit(?:s|ed)?(?: codes?)?(?: is| are| with| of)?:? \d", re.IGNORECASE)
FIGURE = re.compile(r"\d[\d.,]* ?(?:(?:us|ms|s|MB|GB|MB/s|GB/s|tokens/s|tokens|x)\b|%)")
#: What a benchmark found out: a time, a share, a rate, or some of a number.
RESULT = re.compile(
    r"\d[\d.,]* ?(?:(?:us|ms|s|x|times|(?:micro|milli)?seconds|MB/s|GB/s|tokens/s)\b|%)"
    r"|\d[\d,]* of (?:(?:the|its|all) )*\d[\d,]*\b"
)
#: Words by which a sentence is about a result. Published ones have their source beside them.
MEASURED = re.compile(
    r"\b(?:measure[ds]?|measurements?|recorded|recordings?|predicted|median|agreed?|differ(?:s|ed)?"
    r"|too (?:early|late|long|short))\b",
    re.IGNORECASE,
)
PUBLISHED = re.compile(r"\bpublish|\]\(https?:", re.IGNORECASE)
SENTENCE_END = re.compile(r"(?<=[.;])\s+|\n+")
#: A table's head with an empty cell, which a screen reader can't name.
EMPTY_HEAD = re.compile(r"^(\|(?:.*\|)?[ ]*\|.*)\n\|[ :|-]*---", re.MULTILINE)
#: What a benchmark is to reach, which no run prints.
GOAL = re.compile(r"\((?:the )?goal[^)]*\)|\bgoals? (?:is|are|was|of)\b[^.;]*|\bgoal: [^.;)]*")
TABLE = re.compile(r"(?:^\|.*\n?)+", re.MULTILINE)
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
    pages = (*site, ROOT / "extension" / "README.md", *walkthrough())
    return [path for path in pages if path.name != "CHANGELOG.md"]


def walkthrough() -> list[Path]:
    """The pages of the extension's walkthrough."""
    return sorted((ROOT / "extension" / "media").glob("*.md"))


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
def command_named(name: str) -> Any:
    """A command of ``stoker``; ``None`` where there is none of that name."""
    return typer.main.get_command(app).get_command(None, name)  # type: ignore[attr-defined]


@cache
def sources() -> str:
    """What the program's files contain, to look a name up in."""
    files = [
        *(ROOT / "src" / "stoker").rglob("*.py"),
        *(ROOT / "tests" / "integration").glob("*.py"),
    ]
    own = "".join(file.read_text(encoding="utf-8") for file in files)
    return own + (ROOT / "docs/reference/metrics.md").read_text(encoding="utf-8")


@cache
def names_in_files() -> frozenset[str]:
    """Every name with an underscore, and every option, in the project's own files."""
    found: set[str] = set()
    for folder in ("src/stoker", "tests", "benchmarks", "scripts", "extension/src"):
        for suffix in ("*.py", "*.sh", "*.toml", "*.ts", "*.csv", "*.json"):
            for file in (ROOT / folder).rglob(suffix):
                text = file.read_text(encoding="utf-8")
                found.update(UNDERSCORED.findall(text), BARE_OPTION.findall(text))
    return frozenset(found) | FOREIGN_NAMES


def is_option(name: str) -> bool:
    """Whether an option is one of ``stoker`` or of a program that the project's files start."""
    as_setting = name.removeprefix("--").replace("-", "_")
    return bool({name, as_setting} & names_in_files()) or name in defaults()


@cache
def palette() -> frozenset[str]:
    """The extension's commands, as VS Code's palette lists them."""
    texts = json.loads((ROOT / "extension" / "package.nls.json").read_text(encoding="utf-8"))
    return frozenset(text for name, text in texts.items() if name.startswith("command."))


@cache
def model_names() -> frozenset[str]:
    """The names by which a command finds a model of the catalogue."""
    return frozenset(alias.casefold() for model in known_models() for alias in model.aliases)


@cache
def defaults() -> dict[str, frozenset[str]]:
    """The defaults of each option of any command, by its names."""
    group = typer.main.get_command(app)
    found: dict[str, set[str]] = {}
    for name in group.list_commands(None):  # type: ignore[attr-defined]
        command = group.get_command(None, name)  # type: ignore[attr-defined]
        for each in (command, *getattr(command, "commands", {}).values()):
            for parameter in each.params:
                for option in (*parameter.opts, *parameter.secondary_opts):
                    found.setdefault(option, set()).add(str(parameter.default))
    return {option: frozenset(values) for option, values in found.items()}


@cache
def targets() -> frozenset[str]:
    """The targets of the Makefile."""
    return frozenset(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@cache
def manifest() -> dict[str, Any]:
    """The extension's package.json."""
    text = (ROOT / "extension" / "package.json").read_text(encoding="utf-8")
    return cast("dict[str, Any]", json.loads(text))


@cache
def settings() -> frozenset[str]:
    """The settings that the extension declares."""
    return frozenset(manifest()["contributes"]["configuration"]["properties"])


def wrong_in_code(snippet: str) -> Iterator[str]:
    """Problems in a piece of code: what it names and does not exist."""
    snippet = re.sub(r"\\\n\s*", "", snippet)
    for command, rest in COMMAND.findall(snippet):
        yield from wrong_command(command, rest)
    for file in INNER_FILE.findall(snippet):
        if not (ROOT / file).exists() and "NAME" not in file:
            yield f"there is no file {file}"
    path = HTTP_PATH.match(snippet)
    if path and path[1] not in sources():
        yield f"there is no path {path[1]}"
    for target in TARGET.findall(snippet):
        if target not in targets():
            yield f"the Makefile has no target {target}"


def wrong_command(name: str, rest: str) -> Iterator[str]:
    """Problems of ``stoker NAME REST``: the command, the one in it, its options, their values."""
    found = command_named(name)
    if found is None:
        yield f"there is no command `stoker {name}`"
        return
    first = (rest.split() or [""])[0]
    inner = getattr(found, "commands", {})
    needs_inner = inner and not found.invoke_without_command
    if needs_inner and NAME.match(first) and first not in inner:
        yield f"`stoker {name}` has no command {first}"
    if name in ("up", "plan") and MODEL.match(first) and first not in model_names():
        yield f"there is no model {first}"
    known = {o: p for p in inner.get(first, found).params for o in (*p.opts, *p.secondary_opts)}
    for option, value in OPTION.findall(rest):
        if option == "--help":
            continue
        if option not in known:
            yield f"`stoker {name}` takes no option {option}"
        elif not is_value(known[option], value):
            yield f"`stoker {name} {option}` does not take {value}"


def is_value(parameter: Any, value: str) -> bool:
    """Whether an option may have a value; what the program itself does not list is not known."""
    if not value or not value.islower():
        return True
    if "--only" in parameter.opts:
        return any(check.id == value or check.id.startswith(f"{value}.") for check in CHECKS)
    choices = getattr(parameter.type, "choices", ())
    return not choices or value in choices


def wrong_names(text: str) -> Iterator[str]:
    """What a page names of the extension and the program, in prose or code, and does not exist."""
    for setting in SETTING.findall(text):
        if setting not in settings():
            yield f"there is no setting {setting}"
    for title in PALETTE.findall(text):
        if title.rstrip("…") not in palette():
            yield f"VS Code's palette has no command Stoker: {title}"
    for name in (*VARIABLE.findall(text), *METRIC.findall(text)):
        if name not in sources():
            yield f"there is no {name}"


def wrong_to_copy(text: str) -> Iterator[str]:
    """Commands with a remark behind them that a shell would take for arguments."""
    for line in REMARK.findall("\n".join(FENCE.findall(text))):
        yield f"{line!r}: a remark behind a command begins with #"


def wrong_in_examples(text: str) -> Iterator[str]:
    """Settings that an example of the gateway's file has and the gateway refuses."""
    for example in TOML.findall(text):
        for name, value in tomllib.loads(example).items():
            section = gateway_config.SECTIONS.get(name)
            if section is None:
                continue
            known = {setting for setting, _, _ in gateway_config.settings(section)}
            for each in value if isinstance(value, list) else [value]:
                for setting in each.keys() - known:
                    yield f"[{name}] of the gateway's file has no setting {setting}"


def wrong_in_page(page: Path) -> Iterator[str]:
    """Problems of a page: names and links that lead nowhere, and its length."""
    text = page.read_text(encoding="utf-8")
    for snippet in code(text):
        yield from wrong_in_code(snippet)
        if FILE.match(snippet) and not INNER_FILE.match(snippet) and not (ROOT / snippet).exists():
            yield f"there is no file {snippet}"
    for snippet in INLINE.findall(FENCE.sub("", GENERATED.sub("", text))):
        for name in set(UNDERSCORED.findall(snippet)) - names_in_files():
            yield f"there is no name {name}"
        for option in BARE_OPTION.findall(snippet):
            if not is_option(option):
                yield f"there is no option {option}"
    yield from wrong_in_examples(text)
    yield from wrong_to_copy(text)
    yield from wrong_names(text)
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
    yield from wrong_tables(prose)
    yield from wrong_figures(plain)
    yield from wrong_results(plain)
    for line in prose.splitlines():
        used = re.findall(r"fact: run (\w+)\.(\w+)", line)
        dated = {benchmark for benchmark, figure in used if figure == "on"}
        for benchmark in sorted({benchmark for benchmark, _ in used} - dated):
            yield f"figures of {benchmark} have no date beside them"


def wrong_figures(plain: str) -> Iterator[str]:
    """Figures in a paragraph, or in the row of a table, that names a benchmark."""
    paragraphs = re.sub(r"(?m)^(\|.*)$", r"\1\n", plain).split("\n\n")
    for paragraph in paragraphs:
        figure = FIGURE.search(GOAL.sub("", paragraph))
        if figure and "benchmarks/" in paragraph:
            yield f"{figure[0]!r} beside a benchmark: write it as a fact"


def wrong_results(plain: str) -> Iterator[str]:
    """Results in a sentence about what was measured."""
    prose = GOAL.sub("", INLINE.sub("", TABLE.sub("", plain)))
    for sentence in SENTENCE_END.split(prose):
        result = RESULT.search(sentence)
        if result and MEASURED.search(sentence) and not PUBLISHED.search(sentence):
            yield f"{result[0]!r} was measured: write it as a fact"


def wrong_tables(prose: str) -> Iterator[str]:
    """Exit codes, defaults and benchmarks' figures that a table has and that are not generated."""
    for section in re.split(r"^#+ ", doc_facts.FACT.sub("", prose), flags=re.MULTILINE):
        for table in TABLE.finditer(section):
            head, *rows = (line.strip("|").split("|") for line in table[0].strip().splitlines())
            names = [cell.strip().lower() for cell in head]
            for name in {"exit code", "default"}.intersection(names):
                for row in rows[1:]:
                    cell = row[names.index(name)].strip()
                    if re.match(r"`?\d", cell):
                        yield f"{cell!r} in a table: write the {name} as a fact"
            figure = FIGURE.search(table[0])
            if figure and "benchmarks/" in section[: table.start()]:
                yield f"{figure[0]!r} in a table of a benchmark: generate it"


def wrong_in_extension() -> Iterator[str]:
    """Commands that the walkthrough, VS Code's texts or the program's messages name wrongly."""
    for page in walkthrough():
        for name in EMPHASISED.findall(page.read_text(encoding="utf-8")):
            if name.removeprefix("Stoker: ") not in palette():
                yield f"{page.relative_to(ROOT)}: the extension has no command {name}"
    declared = {each["command"] for each in manifest()["contributes"]["commands"]}
    texts = (ROOT / "extension" / "package.nls.json").read_text(encoding="utf-8")
    for command in BUTTON.findall(texts):
        if command not in declared:
            yield f"extension/package.nls.json: there is no command {command}"
    for file in message_files():
        for title in QUOTED_COMMAND.findall(file.read_text(encoding="utf-8")):
            if title not in palette():
                yield f"{file.relative_to(ROOT)}: the extension has no command Stoker: {title}"


def message_files() -> Iterator[Path]:
    """The files with texts that a user reads of the program and of the extension."""
    for suffix in ("*.py", "*.toml"):
        yield from (ROOT / "src" / "stoker").rglob(suffix)
    yield from (ROOT / "extension" / "src").rglob("*.ts")
    yield from (ROOT / "extension" / "l10n").glob("*.json")
    yield ROOT / "extension" / "package.nls.json"


def wrong_pictures() -> Iterator[str]:
    """Diagrams without their picture, and pictures that no page shows."""
    pictures = {path.name for path in (ROOT / "docs" / "pictures").iterdir()}
    drawn = {name for name in pictures if name.startswith("diagram-")}
    if drawn != docs_site.diagrams(ROOT).keys():
        yield "docs/pictures: a diagram was changed: scripts/make_pictures.py diagrams"
    texts = "".join(page.read_text(encoding="utf-8") for page in pages())
    for name in sorted(pictures - drawn):
        if f"pictures/{name})" not in texts:
            yield f"docs/pictures: no page shows {name}"


def main() -> int:
    """Print the problems. Returns 1 if there are any."""
    wrong = [f"{page.relative_to(ROOT)}: {w}" for page in pages() for w in wrong_in_page(page)]
    wrong += [*wrong_in_extension(), *wrong_pictures()]
    print("\n".join(wrong) if wrong else f"{len(pages())} pages name only what exists.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
