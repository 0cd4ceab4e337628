"""Fail where prose uses a word that the glossary replaces: file, line, the word, what to write.

The glossary is ``TERMS`` below, and nowhere else: cog writes CONTRIBUTING.md's table from it.

Read are Markdown, the docstrings, comments and string literals of Python and TypeScript, and the
comments and texts of TOML and of the extension's package.nls.json, and the names of tests. Not
read, because it is not our prose:

- code: fenced blocks and ``backticks``;
- "double quotes" within prose: the wording of another program;
- a string literal without a space: a key or a name;
- in Markdown, the parts that cog writes: their words are checked where they come from;
- in TOML, the values of ``QUOTED_KEYS``: what engines and editors print;
- the string literals of ``PROMPTS``.

*Say* and *Tell* at the beginning of a sentence pass outside of docstrings and comments: there they
speak to a reader or to a model ("Say hello.").
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Term:
    """One row of the glossary."""

    write: str
    #: Words and phrases, every inflection spelled out.
    instead_of: tuple[str, ...]
    note: str


TERMS = (
    Term(
        "prints, reports, returns, names, gives, logs",
        ("say", "says", "said", "saying", "tell", "tells", "told", "telling"),
        "Code and servers do not speak. Name what they do.",
    ),
    Term(
        "the user, a client, another process; no client",
        ("somebody", "someone", "nobody", "anybody", "everybody", "everyone", "whoever"),
        "Name the actor.",
    ),
    Term(
        "fix",
        ("mend", "mends", "mended", "mending"),
        "One word for one thing, and the option is called `--fix`.",
    ),
    Term(
        "fail, cause trouble",
        ("bite", "bites", "bitten"),
        "Name the trouble: `Ollama cuts longer prompts silently`.",
    ),
    Term("gateway", ("front door", "one door to"), "One word for one thing."),
    Term("backend", ("upstream", "upstreams"), "One endpoint that the gateway forwards to."),
    Term(
        "context window",
        ("context size", "token window", "context-window"),
        "What the model can read in one request; its size in tokens is `max_model_len`.",
    ),
    Term("launch request", ("wish", "wishes", "wished"), "What the user asked to start."),
    Term("again, new", ("anew",), "Plain English."),
    Term("inside, outside", ("inside of", "outside of"), "Plain English."),
    Term("for lack of", ("for want of",), "Plain English."),
)

#: Modules whose string literals are sent to models, as editors word them.
PROMPTS = frozenset({"src/stoker/checks/agent_tools.py", "src/stoker/checks/bench/workloads.py"})

#: TOML keys whose values quote other programs.
QUOTED_KEYS = frozenset({"markers", "source", "sources", "text", "texts"})

_REPLACED = {word.lower(): term for term in TERMS for word in term.instead_of}
_WORDS = re.compile(
    r"(?<![\w-])("
    + "|".join(map(re.escape, sorted(_REPLACED, key=len, reverse=True)))
    + r")(?!\w)",
    re.IGNORECASE,
)
#: Spans that are not our prose. Newlines stay, so that line numbers hold.
_QUOTES = re.compile(r"``[^`]*``|`[^`\n]*`|\"[^\"\n]*\"|“[^”\n]*”")
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_GENERATED = re.compile(r"<!-- ?\[\[\[cog.*?\[\[\[end\]\]\] ?-->", re.DOTALL)
_LINK = re.compile(r"\]\([^)\n]*\)")
_TS_TOKEN = re.compile(
    r"(?P<comment>//[^\n]*|/\*.*?\*/)|'(?P<single>(?:\\.|[^'\\\n])*)'"
    r'|"(?P<double>(?:\\.|[^"\\\n])*)"|`(?P<template>(?:\\.|[^`\\])*)`',
    re.DOTALL,
)
_TEST = re.compile(r"^ *(?:async )?def (test_\w+)", re.MULTILINE)
_TOML_KEY = re.compile(r"(?:^|[{,])\s*([\w-]+|\"[^\"]*\")\s*=\s*", re.MULTILINE)
_STRING = re.compile(r"\"((?:\\.|[^\"\\\n])*)\"")


@dataclass(frozen=True, slots=True)
class Prose:
    """A piece of text and the line that it begins on."""

    line: int
    text: str
    #: It may ask its reader to say something: a page or a message, not a docstring or a comment.
    imperative: bool = True


@dataclass(frozen=True, slots=True)
class Hit:
    """A word that the glossary replaces, and where it is."""

    path: str
    line: int
    word: str

    def __str__(self) -> str:
        term = _REPLACED[self.word.lower()]
        return f'{self.path}:{self.line}: "{self.word}": write {term.write}. {term.note}'.rstrip()


def glossary(out: Callable[[str], None]) -> None:
    """The glossary as a Markdown table, for cog."""
    out("| write | not | because |\n| --- | --- | --- |")
    for term in TERMS:
        out(f"| {term.write} | {', '.join(term.instead_of)} | {term.note} |")


def hits_in(prose: Prose) -> Iterator[tuple[int, str]]:
    """The line and the word of each hit in one piece of prose."""
    text = _QUOTES.sub(_blank, prose.text)
    for match in _WORDS.finditer(text):
        if not (prose.imperative and match[0] in ("Say", "Tell")):
            yield prose.line + text.count("\n", 0, match.start()), match[0]


def prose_in(path: Path, text: str) -> Iterator[Prose]:
    """The prose of a file, by its kind."""
    readers = {".md": _markdown, ".py": _python, ".ts": _typescript, ".toml": _toml}
    yield from readers.get(path.suffix, _json)(text)


def _markdown(text: str) -> Iterator[Prose]:
    for other in (_GENERATED, _FENCE, _LINK):
        text = other.sub(_blank, text)
    yield Prose(1, text)


def _python(text: str) -> Iterator[Prose]:
    lines = text.splitlines()
    tree = ast.parse(text)
    docstrings = {id(node.value) for node in _docstrings(tree)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and " " in str(node.value):
            yield from _by_line(node, lines, imperative=id(node) not in docstrings)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield Prose(token.start[0], token.string, imperative=False)


def _docstrings(tree: ast.Module) -> Iterator[ast.Expr]:
    """Every string that is a statement: docstrings, and texts below an attribute."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield node


def _by_line(node: ast.Constant, lines: list[str], *, imperative: bool) -> Iterator[Prose]:
    """A string literal, each of its hits on the line that it is written on."""
    last = node.end_lineno or node.lineno
    written = "\n".join(lines[node.lineno - 1 : last])
    if written.count("\n") == str(node.value).count("\n"):
        yield Prose(node.lineno, str(node.value), imperative)
        return
    # Joined of several literals, or with escapes: its words are looked for in the source.
    for _, word in hits_in(Prose(0, str(node.value), imperative)):
        line = next((n for n in range(node.lineno, last + 1) if word in lines[n - 1]), node.lineno)
        yield Prose(line, word, imperative)


def _typescript(text: str) -> Iterator[Prose]:
    for match in _TS_TOKEN.finditer(text):
        line = 1 + text.count("\n", 0, match.start())
        comment = match["comment"]
        if comment is not None:
            yield Prose(line, comment, imperative=False)
            continue
        literal = match["single"] or match["double"] or match["template"] or ""
        if " " in literal:
            # What a template literal computes is code.
            yield Prose(line, re.sub(r"\$\{[^}]*\}", _blank, literal))


def _toml(text: str) -> Iterator[Prose]:
    key = ""
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("#"):
            yield Prose(number, line, imperative=False)
            continue
        position = 0
        for match in re.finditer(rf"{_TOML_KEY.pattern}|{_STRING.pattern}", line, re.MULTILINE):
            if match[1] is not None:
                key = match[1].strip('"')
            elif key not in QUOTED_KEYS and " " in match[2]:
                yield Prose(number, match[2])
            position = match.end()
        _, hash_sign, comment = line[position:].partition("#")
        if hash_sign:
            yield Prose(number, comment, imperative=False)


def _json(text: str) -> Iterator[Prose]:
    for number, line in enumerate(text.splitlines(), 1):
        for literal in _STRING.findall(line):
            if " " in literal:
                yield Prose(number, literal)


def _blank(match: re.Match[str]) -> str:
    """What is cut out of a text, as blanks on as many lines."""
    return re.sub(r"[^\n]", " ", match[0])


def files() -> Iterator[Path]:
    """Every file whose prose people read."""
    yield from sorted(ROOT.glob("*.md"))
    yield from (ROOT / "extension" / "README.md", ROOT / "findings" / "README.md")
    yield from sorted((ROOT / "extension" / "media").glob("*.md"))
    yield from sorted((ROOT / "docs").rglob("*.md"))
    yield from sorted((ROOT / "docs").rglob("*.toml"))
    for kind in ("*.py", "*.toml"):
        yield from sorted((ROOT / "src").rglob(kind))
    yield from sorted((ROOT / "extension" / "src").rglob("*.ts"))
    yield ROOT / "extension" / "package.nls.json"


def hits() -> Iterator[Hit]:
    """Every hit in the repository."""
    for path in files():
        name = path.relative_to(ROOT).as_posix()
        for prose in prose_in(path, path.read_text(encoding="utf-8")):
            if name in PROMPTS and prose.imperative:
                continue
            for line, word in hits_in(prose):
                yield Hit(name, line, word)


def hits_in_test_names() -> Iterator[Hit]:
    """Every hit in the name of a test, which is read as a sentence."""
    for path in sorted((ROOT / "tests").glob("*/**/test_*.py")):
        text = path.read_text(encoding="utf-8")
        for match in _TEST.finditer(text):
            for word in match[1].split("_"):
                if word in _REPLACED:
                    line = 1 + text.count("\n", 0, match.start(1))
                    yield Hit(path.relative_to(ROOT).as_posix(), line, word)


def main() -> int:
    """Print every hit; 1 where there is one."""
    found = [*hits(), *hits_in_test_names()]
    for hit in found:
        print(hit)
    if not found:
        print(f"{sum(1 for _ in files())} files use the words of the glossary.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
