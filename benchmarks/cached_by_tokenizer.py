"""What an engine would find in its cache, by a model's tokenizer alone: a part of ``warm.py``.

Recorded agent conversations are fitted as the gateway fits them for a backend that reads so many
tokens a second, and each prompt is compared with those before it. Nothing is answered, so that it
shows what is cut for a larger model too, and takes two minutes.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile

from benchmarks.last_runs import record_table
from tests.support import real_models
from tests.support.recorded import FIXTURES, Body, load

from stoker import tokens
from stoker.gateway.prompt.fit_settings import FitSettings
from stoker.gateway.prompt.prefill_limit import PrefillLimit
from stoker.gateway.prompt.stable_head import StableHead

#: In tokens a second: 7 billion parameters on a few cores, on many, and on a small GPU. Limits move
#: in steps, so that what holds at two speeds need not hold between them.
SPEEDS = range(20, 121, 5)
PARAMETERS = 7_000_000_000
#: Qwen2.5-Coder-0.5B gets a short head and short results, and a line behind each question.
SMALL_PARAMETERS = 494_000_000
HARNESSES = ("local", "copilot")
#: The window whose rows are the table of the docs.
RECORDED_WINDOW = 8192
#: The goals, and the tools that are to be kept in a window.
CACHED, LEAST_CACHED, TOOLS = 0.9, 0.7, {8192: 15, 32_768: 39}


@dataclass(frozen=True)
class Prompt:
    """One prompt, and how many leading tokens one before it had."""

    tokens: int
    cached: int
    tools: int
    system_chars_cut: int


class Fitter:
    """Fits as the gateway does for one backend, with Qwen2.5-Coder's tokenizer and template."""

    def __init__(self, window: int, tokens_per_s: float, parameters: int = PARAMETERS) -> None:
        settings = FitSettings(
            max_prompt_tokens="auto", prefill_tokens_per_s=tokens_per_s, parameters=parameters
        )
        self._names_tools = settings.is_small_model
        self._name = f"{parameters / 1e9:g} B at {window:>6}, {tokens_per_s:>4} tokens/s"
        self._local = tokens.LocalTokenizer.from_gguf(real_models.qwen())
        assert self._local.template is not None
        self._template = self._local.template
        self._overheads = tokens.overheads_of(self._template.source)
        known = tokens.drive(tokens.calibrate(), self._local)
        self._calibration = tokens.drive(tokens.calibrate_calls(known), self._local)
        self._window, self._limit, self._head = window, PrefillLimit(settings), StableHead()
        self._read: list[list[int]] = []

    def __str__(self) -> str:
        return self._name

    def prompt(self, request: Body) -> Prompt:
        """What is sent of a request."""
        time = self._limit.reading_time(request)
        kept = self._head.keep(request).request
        budget = tokens.budget_for(self._window, None, time=time)
        steps = tokens.fit(
            kept,
            budget,
            overheads=self._overheads,
            calibration=self._calibration,
            names_tools=self._names_tools,
        )
        sent = tokens.drive(steps, self._local)
        text = self._template.render(sent.request)
        ids = self._local.tokenizer.encode(text, add_special_tokens=False).ids
        cached = max((_shared(before, ids) for before in self._read), default=0)
        self._read.append(ids)
        tools = len(sent.request.get("tools") or ())
        return Prompt(len(ids), cached, tools, sent.cuts.system_chars_cut)


def _shared(before: list[int], after: list[int]) -> int:
    pairs = zip(before, after, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def report(*, is_recorded: bool = False) -> None:
    """A line for each window, conversation and speed."""
    cells: dict[float, list[str]] = {}
    for parameters, window in (*((PARAMETERS, w) for w in TOOLS), (SMALL_PARAMETERS, 8192)):
        for harness in HARNESSES:
            for speed in SPEEDS:
                prompts = _replayed(harness, Fitter(window, speed, parameters), TOOLS[window])
                if (parameters, window) == (PARAMETERS, RECORDED_WINDOW):
                    cells.setdefault(speed, []).append(_cell(prompts))
    if is_recorded:
        head = ("tokens/s", "local harness", "Copilot harness (14 tools)")
        rows = [(speed, *each) for speed, each in cells.items()]
        record_table("warm_tokenizer", head, rows, "counted, not timed")


def _replayed(harness: str, fitter: Fitter, tools: int) -> list[Prompt]:
    """What is sent of a conversation, with a line printed."""
    requests = load(FIXTURES / f"six_turns_{harness}.json.gz")
    prompts = [fitter.prompt(request) for request in requests]
    wanted = min(tools, len(requests[0]["tools"]))
    print(f"{fitter}, {harness:8}: {_line(prompts, wanted)}", flush=True)
    return prompts


def _cell(prompts: list[Prompt]) -> str:
    cached, least, tools = _shares(prompts)
    return f"{cached:.1%}, {least:.1%}, {tools}"


def _shares(prompts: list[Prompt]) -> tuple[float, float, int]:
    """The share cached of all but the first, which finds an empty cache; its least; least tools."""
    later = prompts[1:]
    cached = sum(each.cached for each in later) / sum(each.tokens for each in later)
    least = min(each.cached / each.tokens for each in later)
    return cached, least, min(each.tools for each in prompts)


def _line(prompts: list[Prompt], wanted_tools: int) -> str:
    cached, least, tools = _shares(prompts)
    cut = max(each.system_chars_cut for each in prompts)
    reached = cached >= CACHED and least >= LEAST_CACHED and tools >= wanted_tools
    return (
        f"{cached:.1%} cached, {least:.1%} at least, {tools} tools or more, {cut:,} characters of "
        f"the system prompt cut{'' if reached else '   MISSED'}"
    )
