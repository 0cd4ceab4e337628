"""Words of tools and of questions: stems, and what users and editors call the same thing."""

from __future__ import annotations

import re
from functools import lru_cache

#: Users and tools have different words for one thing. A user's word on the left asks for the
#: tools' words on the right.
_SYNONYMS: dict[str, str] = {
    "add": "edit replace create insert write",
    "api": "documentation web fetch",
    "apply": "edit replace patch",
    "ask": "question followup",
    "branch": "git command terminal",
    "browser": "browser preview url open page navigate screenshot",
    "bug": "error read search edit",
    "build": "task run terminal command build",
    "call": "usage reference symbol",
    "caller": "usage reference symbol",
    "cell": "notebook cell",
    "change": "edit replace diff change",
    "checklist": "todo plan task list",
    "clone": "git terminal command",
    "codebase": "semantic search codebase grep",
    "commit": "git changed diff terminal command",
    "compile": "error build terminal command task",
    "contain": "grep search",
    "correct": "edit replace",
    "coverage": "test run coverage",
    "create": "create write new file",
    "debug": "error terminal test debug",
    "defined": "definition symbol search usage grep",
    "definition": "definition symbol search usage",
    "delete": "delete remove terminal command edit",
    "dependency": "install package terminal command",
    "diagnostic": "error problem diagnostic",
    "diagram": "image view",
    "diff": "diff git changed",
    "directory": "list directory dir folder",
    "docker": "terminal command run",
    "docs": "fetch web documentation url",
    "document": "fetch web documentation write",
    "error": "error problem diagnostic failure lint",
    "execute": "run execute terminal command",
    "exit": "terminal command",
    "extension": "extension vscode install",
    "fail": "failure test error",
    "failing": "failure test error",
    "failure": "failure test error",
    "file": "file",
    "find": "search grep find glob",
    "fix": "edit replace error read",
    "folder": "list directory dir folder",
    "function": "symbol definition search",
    "generate": "create new scaffold",
    "git": "git terminal command changed diff",
    "glob": "glob file search pattern",
    "handle": "semantic search codebase",
    "highlighted": "selection",
    "http": "fetch web url",
    "https": "fetch web url",
    "implement": "edit create replace write",
    "implementation": "usage definition symbol search",
    "install": "install package terminal command",
    "interpreter": "environment python",
    "issue": "github issue error",
    "jupyter": "notebook",
    "kill": "terminal kill",
    "launch": "run task terminal launch",
    "line": "read file",
    "lint": "error lint diagnostic terminal",
    "list": "list directory dir ls",
    "locate": "search find file glob",
    "log": "output terminal log",
    "logged": "output terminal",
    "look": "read view search",
    "make": "create edit terminal",
    "match": "search pattern glob grep",
    "mention": "grep search",
    "migrate": "edit replace terminal",
    "misspelled": "edit replace",
    "modified": "changed diff edit replace",
    "modify": "edit replace",
    "move": "terminal command move rename",
    "named": "file name glob",
    "npm": "terminal command run install package task",
    "online": "web search fetch",
    "open": "open read view",
    "output": "output terminal result",
    "overview": "summary list",
    "package": "install package terminal",
    "page": "fetch web page url browser",
    "photo": "image view",
    "picture": "image view",
    "pip": "install package terminal command python",
    "plan": "todo plan task list",
    "preview": "browser preview open",
    "print": "output terminal",
    "problem": "error problem diagnostic",
    "process": "terminal output process background",
    "project": "workspace project",
    "pull": "git github terminal",
    "pytest": "test run terminal command",
    "read": "read file",
    "refactor": "edit replace rename usage",
    "reference": "usage reference symbol",
    "remember": "memory",
    "remove": "edit replace delete remove",
    "rename": "rename usage edit replace symbol",
    "replace": "replace edit",
    "repo": "repository github git",
    "repository": "repository github git",
    "research": "web fetch search agent",
    "responsible": "semantic search codebase",
    "review": "changed diff git read",
    "run": "run execute terminal command task",
    "scaffold": "workspace project new create",
    "screenshot": "image screenshot view browser",
    "search": "search grep find",
    "selected": "selection",
    "server": "terminal background run command",
    "set": "edit replace",
    "shell": "terminal command shell bash",
    "show": "read view list",
    "start": "run terminal start task",
    "step": "todo plan task",
    "string": "grep string text",
    "structure": "list directory tree",
    "summarize": "read fetch summary",
    "swap": "replace edit",
    "symbol": "symbol usage definition",
    "task": "task",
    "terminal": "terminal",
    "test": "test run",
    "todo": "todo",
    "track": "todo plan",
    "tree": "list directory tree",
    "typo": "edit replace",
    "understand": "read search semantic",
    "update": "edit replace update",
    "url": "fetch web url",
    "usage": "usage reference symbol",
    "use": "usage reference",
    "used": "usage reference symbol",
    "version": "terminal command run",
    "view": "read view file",
    "watch": "terminal background task",
    "web": "web fetch search url",
    "webpage": "web fetch page url",
    "website": "web fetch page url",
    "where": "search grep find usage",
    "word": "grep text search",
    "workspace": "workspace project list",
    "write": "write create edit file",
}
#: Words that carry nothing of what is asked for.
_STOP = frozenset(
    (
        *("a", "an", "and", "are", "as", "at", "be", "but", "by", "can", "could", "do"),
        *("does", "for", "from", "get", "has", "have", "how", "i", "if", "in", "into", "is"),
        *("it", "its", "me", "my", "no", "not", "of", "on", "or", "our", "please", "should"),
        *("so", "some", "tell", "that", "the", "their", "them", "then", "there", "these"),
        *("they", "this", "to", "was", "we", "what", "when", "which", "who", "why", "will"),
        *("with", "would", "you", "your"),
    )
)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def words(text: str) -> list[str]:
    """Split text and identifiers into lower-case stems: ``listDir``, ``list_dirs`` -> list, dir."""
    return [_stem(word.lower()) for word in _WORD.findall(text)]


@lru_cache(maxsize=8192)
def _stem(word: str) -> str:
    stem = _without_ending(word)
    return stem[:-1] if len(stem) > 4 and stem.endswith("e") else stem


def _without_ending(word: str) -> str:
    for suffix, keep in (("ies", "y"), ("sses", "ss"), ("ing", ""), ("ed", ""), ("s", "")):
        if not word.endswith(suffix) or len(word) - len(suffix) < 3:
            continue
        if suffix == "s" and word.endswith(("ss", "us", "is")):
            return word
        stem = word[: len(word) - len(suffix)] + keep
        doubled = suffix in {"ing", "ed"} and stem[-1] == stem[-2] and stem[-1] not in "ls"
        return stem[:-1] if doubled else stem
    return word


EXPANSIONS = {_stem(word): tuple(words(others)) for word, others in _SYNONYMS.items()}
STOP_STEMS = frozenset(_stem(word) for word in _STOP)
