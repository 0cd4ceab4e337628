"""Which tools a conversation is about: BM25 over their words, and what every task needs."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

#: Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009).
_K1, _B = 1.2, 0.75
#: A word of a tool's name says more about it than a word of its description.
_NAME_WEIGHT = 3
#: What a tool gains whose whole name is asked for: "list the files" means list_dir, and
#: list_code_usages only by a third.
_NAME_GAIN = 4.0
#: What a tool gains that alone speaks of what is asked for: in VS Code's Copilot harness the only
#: one that mentions "todos" is called sql.
_TELLING_GAIN = 8.0
#: Words that an editor's tools and its users say differently. A user's word on the left asks
#: for the tools' words on the right.
_SYNONYMS: dict[str, str] = {
    "add": "edit replace create insert write",
    "api": "documentation web fetch",
    "apply": "edit replace patch",
    "ask": "question followup",
    "branch": "git command terminal",
    "browser": "browser preview url open page navigate screenshot",
    "bug": "error read search edit",
    "build": "task run terminal command build",
    "cell": "notebook cell",
    "change": "edit replace diff change",
    "clone": "git terminal command",
    "codebase": "semantic search codebase grep",
    "commit": "git changed diff terminal command",
    "compile": "error build terminal command task",
    "coverage": "test run coverage",
    "create": "create write new file",
    "debug": "error terminal test debug",
    "defined": "definition symbol search usage grep",
    "definition": "definition symbol search usage",
    "delete": "delete remove terminal command edit",
    "dependency": "install package terminal command",
    "diagnostic": "error problem diagnostic",
    "diff": "diff git changed",
    "directory": "list directory dir folder",
    "docker": "terminal command run",
    "docs": "fetch web documentation url",
    "document": "fetch web documentation write",
    "error": "error problem diagnostic failure lint",
    "execute": "run execute terminal command",
    "extension": "extension vscode install",
    "fail": "failure test error",
    "failure": "failure test error",
    "failing": "failure test error",
    "file": "file",
    "find": "search grep find glob",
    "fix": "edit replace error read",
    "folder": "list directory dir folder",
    "function": "symbol definition search",
    "git": "git terminal command changed diff",
    "glob": "glob file search pattern",
    "http": "fetch web url",
    "https": "fetch web url",
    "implement": "edit create replace write",
    "implementation": "usage definition symbol search",
    "install": "install package terminal command",
    "issue": "github issue error",
    "jupyter": "notebook",
    "kill": "terminal kill",
    "launch": "run task terminal launch",
    "line": "read file",
    "lint": "error lint diagnostic terminal",
    "list": "list directory dir ls",
    "log": "output terminal log",
    "look": "read view search",
    "make": "create edit terminal",
    "migrate": "edit replace terminal",
    "modify": "edit replace",
    "move": "terminal command move rename",
    "npm": "terminal command run install package task",
    "online": "web search fetch",
    "open": "open read view",
    "output": "output terminal result",
    "package": "install package terminal",
    "page": "fetch web page url browser",
    "pip": "install package terminal command python",
    "plan": "todo plan task list",
    "preview": "browser preview open",
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
    "review": "changed diff git read",
    "run": "run execute terminal command task",
    "scaffold": "workspace project new create",
    "screenshot": "image screenshot view browser",
    "search": "search grep find",
    "server": "terminal background run command",
    "shell": "terminal command shell bash",
    "show": "read view list",
    "start": "run terminal start task",
    "step": "todo plan task",
    "structure": "list directory tree",
    "summarize": "read fetch summary",
    "symbol": "symbol usage definition",
    "task": "task",
    "terminal": "terminal",
    "test": "test run",
    "todo": "todo",
    "track": "todo plan",
    "tree": "list directory tree",
    "understand": "read search semantic",
    "update": "edit replace update",
    "url": "fetch web url",
    "usage": "usage reference symbol",
    "use": "usage reference",
    "used": "usage reference symbol",
    "view": "read view file",
    "watch": "terminal background task",
    "web": "web fetch search url",
    "webpage": "web fetch page url",
    "website": "web fetch page url",
    "where": "search grep find usage",
    "workspace": "workspace project list",
    "write": "write create edit file",
}
#: What nearly every programming task comes to, whatever was asked first: look, find, change,
#: run. Each row is one need, its name words, and what the best tool for it gains.
_NEEDS: tuple[tuple[tuple[str, ...], float], ...] = (
    (("read file", "view file", "read", "view", "open file"), 5.0),
    (("replace string file", "str replace", "edit", "replace file", "search replace"), 4.0),
    (("run terminal", "execute command", "bash", "terminal", "shell", "run command"), 3.0),
    (("grep", "search files", "regex search", "file content search", "search"), 2.4),
    (("list dir", "list files", "ls", "list directory", "list"), 2.4),
    (("create file", "write file", "write to file", "create new file", "create", "write"), 2.2),
    (("file search", "glob", "find path", "file glob search", "find file"), 1.2),
    (("get errors", "diagnostics", "problems", "errors"), 1.0),
)
#: A tool whose name holds one of these reads, lists or writes something else than files.
_NOT_OF_FILES = frozenset(
    (
        *("agent", "bash", "browser", "cell", "dir", "directory", "error", "folder", "memory"),
        *("notebook", "output", "page", "process", "session", "shell", "task", "terminal"),
        *("todo", "url", "web"),
    )
)
_STOP = frozenset(
    re.findall(
        r"\w+",
        "a an and are as at be but by can could do does for from get has have how i if in into is "
        "it its me my no not of on or our please should so some tell that the their them then "
        "there these they this to was we what when which who why will with would you your",
    )
)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
TAGGED_REQUEST = re.compile(
    r"<(userRequest|user_request|user_query|task|user_message|question|feedback)>\s*(.*?)\s*</\1>",
    re.DOTALL,
)
#: What VS Code (1.139) and other editors put in place of a conversation that grew too long. The
#: headings are those that VS Code's own instructions for the summary ask for.
_SUMMARY = re.compile(r"<(conversation-summary|summary)>\s*(.*?)\s*</\1>", re.DOTALL)
_SUMMARY_HEADING = re.compile(
    r"^[ \t]*(?:#+|\*\*|\d+\.)[ \t*]*([^\n]{3,60}?)[ \t*:]*$", re.MULTILINE
)
_OPEN_WORK = re.compile(r"active work|current|continu|next|pending|latest|open", re.IGNORECASE)
_SUMMARY_CHARS = 1500
_BLOCK = re.compile(r"<([A-Za-z][\w-]*)(?: [^<>]*)?>.*?</\1>", re.DOTALL)
_FENCE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_URL = re.compile(r"https?://\S+")
_QUERY_CHARS = 4000


@dataclass(frozen=True, slots=True)
class ToolText:
    """What ranking reads of a tool."""

    name: str
    text: str


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


_EXPANSIONS = {_stem(word): tuple(words(others)) for word, others in _SYNONYMS.items()}
_NEED_WORDS = tuple(
    (tuple(tuple(words(phrase)) for phrase in phrases), gain) for phrases, gain in _NEEDS
)
_STOP_STEMS = frozenset(_stem(word) for word in _STOP)


def question_in(text: str) -> str:
    """Return what the user asks, without the context that editors wrap around it.

    Where an editor has put a summary in place of the conversation, that is the work which the
    summary calls open. Empty where nothing is asked.
    """
    tagged = TAGGED_REQUEST.findall(text)
    if tagged:
        return "\n".join(body for _, body in tagged)[-_QUERY_CHARS:]
    summary = _SUMMARY.search(text)
    if summary:
        return _open_work(summary.group(2))
    bare = _BLOCK.sub(" ", text).strip()
    return (_FENCE.sub(" ", bare).strip() or bare)[-_QUERY_CHARS:]


def _open_work(summary: str) -> str:
    """The parts of a summary on what is being done and comes next; its end where none is named."""
    parts = _SUMMARY_HEADING.split(summary)
    named = zip(parts[1::2], parts[2::2], strict=False)
    open_work = "\n".join(body for heading, body in named if _OPEN_WORK.search(heading))
    return (open_work.strip() or summary.strip())[-_SUMMARY_CHARS:]


@lru_cache(maxsize=64)
def _index(tools: tuple[ToolText, ...]) -> _Index:
    return _Index(tools)


class _Index:
    def __init__(self, tools: tuple[ToolText, ...]) -> None:
        self.tools = tools
        self.names = [tuple(words(tool.name)) for tool in tools]
        self.counts = [
            Counter(words(tool.text)) + Counter(dict.fromkeys(name, _NAME_WEIGHT))
            for tool, name in zip(tools, self.names, strict=True)
        ]
        self.lengths = [sum(count.values()) for count in self.counts]
        self.mean_length = max(1.0, sum(self.lengths) / max(1, len(tools)))
        documents = Counter(word for count in self.counts for word in count)
        #: The words that people use for tasks and that a single tool speaks of.
        self.telling = {w for w, seen in documents.items() if seen == 1 and w in _EXPANSIONS}
        total = len(tools)
        self.idf = {
            word: math.log(1 + (total - seen + 0.5) / (seen + 0.5))
            for word, seen in documents.items()
        }
        self.priors = _priors(self.names)

    def scores(self, query: dict[str, float]) -> list[float]:
        return [self._score(index, query) for index in range(len(self.tools))]

    def _score(self, index: int, query: dict[str, float]) -> float:
        counts = self.counts[index]
        norm = _K1 * (1 - _B + _B * self.lengths[index] / self.mean_length)
        name = self.names[index]
        covered = sum(query.get(word, 0.0) for word in name) / max(1, len(name))
        total = self.priors[index] + _NAME_GAIN * covered
        for word, weight in query.items():
            frequency = counts.get(word, 0)
            if frequency and weight == 1.0 and word in self.telling:
                total += _TELLING_GAIN
            if frequency:
                total += weight * self.idf[word] * frequency * (_K1 + 1) / (frequency + norm)
        return total


@lru_cache(maxsize=64)
def core_tools(names: tuple[str, ...]) -> tuple[int, ...]:
    """Return the tools that nearly every programming task comes to, the most needed first.

    One for each need: read, edit, run, search, list, create, find and check. An editor's tool may
    serve two of them.
    """
    return tuple(dict.fromkeys(best for best, _ in _needed([tuple(words(n)) for n in names])))


def _priors(names: Sequence[tuple[str, ...]]) -> list[float]:
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


def _is_about(name: tuple[str, ...], phrase: tuple[str, ...]) -> bool:
    """Whether a name says the phrase of files: ``read_bash`` and ``list_agents`` do not."""
    return set(phrase) <= set(name) and not (_NOT_OF_FILES & set(name)) - set(phrase)


def _query(text: str) -> dict[str, float]:
    """Return the weighted words of a question; each word counts once, synonyms for less."""
    weights: dict[str, float] = {}
    if _URL.search(text):
        text += " fetch url webpage"
    for word in dict.fromkeys(words(text)):
        if word in _STOP_STEMS:
            continue
        weights[word] = max(weights.get(word, 0.0), 1.0)
        for other in _EXPANSIONS.get(word, ()):
            weights[other] = max(weights.get(other, 0.0), 0.6)
    return weights


@lru_cache(maxsize=512)
def scores(tools: tuple[ToolText, ...], question: str) -> tuple[float, ...]:
    """Return how well each tool fits ``question``; higher fits better. Deterministic."""
    return tuple(_index(tools).scores(_query(question)))
