"""What a backend reports of tokens and speed, in whichever API's words, as one pair of counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: A prompt of fewer tokens is no measure of how fast prompts are read.
_MEASURABLE_TOKENS = 256
#: The names of an answer's tokens: OpenAI's chats and completions, Responses and Messages,
#: llama.cpp's own API.
_COMPLETION = ("completion_tokens", "output_tokens", "tokens_predicted")
#: Those of the whole prompt.
_PROMPT = ("prompt_tokens", "tokens_evaluated")
#: Messages counts these apart from ``input_tokens``
#: (https://docs.anthropic.com/en/docs/build-with-claude/prompt-caching).
_CACHED = ("cache_read_input_tokens", "cache_creation_input_tokens")
#: Where ``usage`` names the tokens of the prompt that came from the engine's cache: OpenAI's chats
#: and completions, Responses.
_CACHE_DETAILS = ("prompt_tokens_details", "input_tokens_details")
#: Where it names the tokens of the answer that were reasoning: the same APIs.
_REASONING_DETAILS = ("completion_tokens_details", "output_tokens_details")
#: What an answer without any of these does not report.
_PARTS = frozenset({*_CACHED, *_CACHE_DETAILS, *_REASONING_DETAILS})
#: Where an event holds its ``usage``: in itself, in the message that begins (Messages), in the
#: response that ends (Responses), in what Groq adds to its last chunk.
_HOLDERS = ("message", "response", "x_groq")
_ELSEWHERE = frozenset({*_HOLDERS, "tokens_evaluated"})
#: No request has as many: a server that reports more is wrong, and its sums fit in no database.
_MOST_TOKENS = 10**9
#: What only a report of usage has, as JSON: a quote inside a text is escaped.
USAGE_KEYS = (b'_tokens"', b'"tokens_predicted"')


class UsageReport:
    """The tokens of one request, from its whole answer or from the events of its stream.

    ``choices`` is how many answers to each prompt were asked for. llama.cpp reports each one's
    tokens by itself, all others report one sum; a server that reports again and again repeats the
    sum so far.
    """

    def __init__(self, choices: int = 1) -> None:
        self._choices = choices
        #: The sum of what was reported, until there is more.
        self._usage: dict[str, int] | None = None
        self._prompt_tokens: int | None = None
        #: Of events that belong to one choice, by its index: there may be several prompts.
        self._prompt_of_choice: dict[int, int] = {}
        #: Of events that belong to one choice, by its index; the last one counts.
        self._of_choice: dict[int, int] = {}
        #: Of events that belong to none.
        self._of_all: list[int] = []
        #: How fast it read the prompt, where it reports that (llama.cpp does).
        self.prefill_tokens_per_s: float | None = None
        #: The tokens of the prompt that came from its cache; ``None`` where it does not report any.
        self.cached_tokens: int | None = None
        #: The tokens of the answer that were reasoning; ``None`` where it does not report any.
        self.reasoning_tokens: int | None = None

    @property
    def usage(self) -> dict[str, int] | None:
        """``prompt_tokens`` and ``completion_tokens``, as far as reported; ``None`` without any."""
        if self._usage is None:
            prompt, completion = self._all_prompt_tokens(), self._completion_tokens()
            counts = {} if prompt is None else {"prompt_tokens": prompt}
            if completion is not None:
                counts["completion_tokens"] = completion
            self._usage = counts
        return self._usage or None

    def note(self, value: Mapping[str, Any]) -> None:
        """Take the report from an event or a whole answer, if it is in there."""
        usages = _usages_in(value)
        if not usages:
            return
        self._usage = None
        choices = value.get("choices")
        index = _only_index(choices) if choices else None
        for usage in usages:
            self._note_prompt(_prompt_tokens(usage), index)
            self._note_completion(_first(usage, _COMPLETION), index)
            if _PARTS.isdisjoint(usage):
                continue
            cached = _cached_tokens(usage)
            if cached is not None:
                self.cached_tokens = cached
            reasoning = _detail(usage, _REASONING_DETAILS, "reasoning_tokens")
            if reasoning is not None:
                self.reasoning_tokens = reasoning
        timings = value.get("timings")
        if isinstance(timings, dict):
            self._note_timings(timings)

    def _note_prompt(self, count: int | None, index: int | None) -> None:
        if not count:  # a last event may leave the prompt out or call it 0
            return
        # Estimates come first.
        self._prompt_tokens = count if index is None else None
        if index is not None:
            self._prompt_of_choice[index] = count

    def _all_prompt_tokens(self) -> int | None:
        """Every prompt once: a prompt's answers all report it."""
        if self._prompt_tokens is not None or not self._prompt_of_choice:
            return self._prompt_tokens
        counts = self._prompt_of_choice.values()
        return max(*counts, sum(counts) // self._choices, 0)

    def _note_completion(self, count: int | None, index: int | None) -> None:
        if count is None:
            return
        if index is not None:
            self._of_choice[index] = count
        elif self._choices > 1:
            self._of_all.append(count)
        else:
            self._of_all = [count]

    def _completion_tokens(self) -> int | None:
        counts = self._of_all or list(self._of_choice.values())
        return sum(counts) if counts else None

    def _note_timings(self, timings: Mapping[str, Any]) -> None:
        """What llama.cpp reports of a prompt."""
        cached = _whole(timings.get("cache_n"))
        if cached is not None:
            self.cached_tokens = cached
        read, speed = timings.get("prompt_n"), timings.get("prompt_per_second")
        if isinstance(read, int) and isinstance(speed, int | float) and speed > 0:
            self.prefill_tokens_per_s = speed if read >= _MEASURABLE_TOKENS else None


def _only_index(choices: Any) -> int | None:
    """The index of the choice that an event belongs to; ``None`` where it belongs to none."""
    if not (isinstance(choices, list) and len(choices) == 1 and isinstance(choices[0], dict)):
        return None
    index = choices[0].get("index")
    return index if isinstance(index, int) else 0


def _usages_in(value: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    usage = value.get("usage")
    found: list[Mapping[str, Any]] = [usage] if isinstance(usage, dict) else []
    if _ELSEWHERE.isdisjoint(value):
        return found
    if _whole(value.get("tokens_evaluated")) is not None:
        found.insert(0, value)  # llama.cpp's own API has no ``usage``
    for name in _HOLDERS:
        holder = value.get(name)
        usage = holder.get("usage") if isinstance(holder, dict) else None
        if isinstance(usage, dict):
            found.append(usage)
    return found


def _prompt_tokens(usage: Mapping[str, Any]) -> int | None:
    """All tokens of the prompt, those from a cache included."""
    whole = _first(usage, _PROMPT)
    if whole is not None:
        return whole
    new = _whole(usage.get("input_tokens"))
    if new is not None and "input_tokens_details" in usage:  # Responses: the cached ones are in it
        return new
    if new is not None:
        return new + sum(_whole(usage.get(name)) or 0 for name in _CACHED)
    total = _whole(usage.get("total_tokens"))  # all that some report of embeddings and rankings
    return None if total is None else max(0, total - (_first(usage, _COMPLETION) or 0))


def _cached_tokens(usage: Mapping[str, Any]) -> int | None:
    found = _detail(usage, _CACHE_DETAILS, "cached_tokens")
    return _whole(usage.get(_CACHED[0])) if found is None else found


def _detail(usage: Mapping[str, Any], holders: tuple[str, ...], name: str) -> int | None:
    """A part of one of the counts, from the first of the holders that is there."""
    for holder in holders:
        details = usage.get(holder)
        if isinstance(details, dict):
            return _whole(details.get(name))
    return None


def _first(usage: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    for name in names:
        count = usage.get(name)
        if type(count) is int and 0 <= count <= _MOST_TOKENS:
            return count
    return None


def _whole(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value <= _MOST_TOKENS else None
