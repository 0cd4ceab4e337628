"""The tools that nearly every programming task needs, by the words of their names."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from stoker.tokens.truncation.tool_words import words

#: What nearly every programming task comes to, whatever was asked first: look, find, change,
#: run. Each row is one need, its name words, and what the best tool for it gains. The rows stand
#: in the order in which the tools are sent, and a small model favours what comes first: asked to
#: list a folder, Qwen2.5-Coder-0.5B with 2,082 tokens read a file instead in 1 of 20 tries where
#: reading stood first, and in none where listing does.
_NEEDS: tuple[tuple[tuple[str, ...], float], ...] = (
    (("list dir", "list files", "ls", "list directory", "list"), 2.4),
    (("read file", "view file", "read", "view", "open file"), 5.0),
    (("replace string file", "str replace", "edit", "replace file", "search replace"), 4.0),
    (("run terminal", "execute command", "bash", "terminal", "shell", "run command"), 3.0),
    (("grep", "search files", "regex search", "file content search", "search"), 2.4),
    (("create file", "write file", "write to file", "create new file", "create", "write"), 2.2),
    (("file search", "glob", "find path", "file glob search", "find file"), 1.2),
    (("get errors", "diagnostics", "problems", "errors"), 1.0),
)
#: What comes next, in this order: the tools beside the core that more than one of the labelled
#: questions in tests/fixtures/tool_choice needs, and the to-do list, which agents keep unasked.
_COMMON: tuple[tuple[str, ...], ...] = (
    ("manage todo list", "todo write", "update plan", "todo"),
    ("list code usages", "find references", "usages", "references"),
    ("get terminal output", "bash output", "read bash", "terminal output"),
    ("run tests", "run test", "test failure"),
    ("fetch webpage", "web fetch", "fetch url", "fetch"),
    ("semantic search", "codebase"),
    ("get changed files", "diff"),
)
#: A tool with one of these in its name reads, lists or writes something else than files.
_NOT_OF_FILES = frozenset(
    (
        *("agent", "bash", "browser", "cell", "dir", "directory", "error", "folder", "memory"),
        *("notebook", "output", "page", "process", "session", "shell", "task", "terminal"),
        *("todo", "url", "web"),
    )
)
_NEED_WORDS = tuple(
    (tuple(tuple(words(phrase)) for phrase in phrases), gain) for phrases, gain in _NEEDS
)
_COMMON_WORDS = tuple(tuple(tuple(words(phrase)) for phrase in phrases) for phrases in _COMMON)


@lru_cache(maxsize=64)
def core_tools(names: tuple[str, ...]) -> tuple[int, ...]:
    """Return the tools that nearly every programming task comes to, the most needed first.

    One for each need: read, edit, run, search, list, create, find and check. An editor's tool may
    serve two of them.
    """
    return tuple(dict.fromkeys(best for best, _ in _needed([tuple(words(n)) for n in names])))


@lru_cache(maxsize=64)
def common_tools(names: tuple[str, ...]) -> tuple[int, ...]:
    """Return the tools beside the core that many tasks come to, in the order of ``_COMMON``."""
    core, split = core_tools(names), [tuple(words(name)) for name in names]
    found = (_shortest_with(phrases, split) for phrases in _COMMON_WORDS)
    return tuple(dict.fromkeys(i for i in found if i is not None and i not in core))


def name_gains(names: Sequence[tuple[str, ...]]) -> list[float]:
    """Return what each tool gains from its name alone."""
    priors = [0.0] * len(names)
    for best, gain in _needed(names):
        priors[best] = max(priors[best], gain)
    return priors


def _needed(names: Sequence[tuple[str, ...]]) -> list[tuple[int, float]]:
    """The best tool for each need that has one, with what it gains."""
    found = ((_best_for(phrases, names), gain) for phrases, gain in _NEED_WORDS)
    return [(best, gain) for best, gain in found if best is not None]


def _best_for(phrases: Sequence[tuple[str, ...]], names: Sequence[tuple[str, ...]]) -> int | None:
    """The tool that is called by one of the phrases, or else the shortest name that holds one."""
    called = [i for phrase in phrases for i, name in enumerate(names) if phrase == name]
    if called:
        return called[0]
    for phrase in phrases:
        holding = [i for i, name in enumerate(names) if _is_about(name, phrase)]
        if holding:
            return min(holding, key=lambda i: (len(names[i]), i))
    return None


def _shortest_with(
    phrases: Sequence[tuple[str, ...]], names: Sequence[tuple[str, ...]]
) -> int | None:
    """The tool with the shortest name that holds the first phrase which any name holds."""
    for phrase in phrases:
        holding = [i for i, name in enumerate(names) if set(phrase) <= set(name)]
        if holding:
            return min(holding, key=lambda i: (len(names[i]), i))
    return None


def _is_about(name: tuple[str, ...], phrase: tuple[str, ...]) -> bool:
    """Whether a name has the phrase and is about files, unlike ``read_bash``, ``list_agents``."""
    return set(phrase) <= set(name) and not (_NOT_OF_FILES & set(name)) - set(phrase)
