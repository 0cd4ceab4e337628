"""How well each tool fits a question: BM25 over their words."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

from stoker.tokens.truncation.core_tool_names import name_gains
from stoker.tokens.truncation.tool_words import EXPANSIONS, STOP_STEMS, words

#: Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009).
_K1, _B = 1.2, 0.75
#: A word of a tool's name counts more than a word of its description.
_NAME_WEIGHT = 3
#: What a tool gains whose whole name is asked for: "list the files" means list_dir, and
#: list_code_usages only by a third.
_NAME_GAIN = 4.0
#: What a tool gains that is the only one to mention what is asked for: in VS Code's Copilot
#: harness the only one that mentions "todos" is called sql. A description begins with what the tool
#: does; further on it mentions other things.
_TELLING_GAIN, _BEGINNING_WORDS = 8.0, 12
_URL = re.compile(r"https?://\S+")
#: ``src/config.py`` asks for a file, not for what has to do with a configuration.
_FILE = re.compile(r"(?<![\w./-])[\w./-]*\.([A-Za-z][A-Za-z0-9]{0,5})\b(?![\w(])")
_FOLDER = re.compile(r"(?<![\w./-])[\w.-]+/[\w./-]*")
_GLOB = re.compile(r"(?<!\S)[^\s*]*\*\S*")
_KINDS = {
    "ipynb": "notebook",
    **dict.fromkeys(("bmp", "gif", "jpeg", "jpg", "png", "svg", "webp"), "image"),
}


@dataclass(frozen=True, slots=True)
class ToolText:
    """The texts of a tool that ranking reads."""

    name: str
    text: str


@lru_cache(maxsize=512)
def scores(tools: tuple[ToolText, ...], question: str) -> tuple[float, ...]:
    """Return how well each tool fits ``question``; higher fits better. Deterministic."""
    return tuple(_index(tools).scores(_query(question)))


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
        begun = {word for tool in tools for word in words(tool.text)[:_BEGINNING_WORDS]}
        named = {word for name in self.names for word in name}
        once = {word for word, seen in documents.items() if seen == 1}
        #: The words for tasks that a single tool mentions, in its name or at the beginning.
        self.telling = once & EXPANSIONS.keys() & (begun | named)
        total = len(tools)
        self.idf = {
            word: math.log(1 + (total - seen + 0.5) / (seen + 0.5))
            for word, seen in documents.items()
        }
        self.priors = name_gains(self.names)

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


def _query(text: str) -> dict[str, float]:
    """Return the weighted words of a question; each word counts once, synonyms for less."""
    weights: dict[str, float] = {}
    for word in dict.fromkeys(words(_without_paths(text))):
        if word in STOP_STEMS:
            continue
        weights[word] = max(weights.get(word, 0.0), 1.0)
        for other in EXPANSIONS.get(word, ()):
            weights[other] = max(weights.get(other, 0.0), 0.6)
    return weights


def _without_paths(text: str) -> str:
    """The question with the kind of each address and path in its place."""
    text = _URL.sub(" fetch url webpage ", text)
    text = _GLOB.sub(" glob pattern ", text)
    text = _FILE.sub(lambda path: f" {_KINDS.get(path[1].lower(), 'file')} ", text)
    return _FOLDER.sub(" ", text)
