"""Fuzz the stream parsers: ``pip install atheris``, then ``python tests/fuzz/tool_parsing.py``.

Every input is parsed whole and in pieces. Both must agree, every call must be valid, and without
a call the text must come out as it went in. Takes libFuzzer's options (``-max_total_time=60``).
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import atheris

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]
with atheris.instrument_imports(include=["stoker.tokens.tool_calls"]):
    from stoker.tokens.tool_calls import TextPart, ToolCall, ToolCallParser

from tests.unit.tokens.test_tool_parsing import NOT_CALLS, ONE_CALL, SEVERAL, TOOLS  # noqa: E402

SEEDS = (*ONE_CALL.values(), *SEVERAL.values(), *NOT_CALLS)


def parse(pieces: Sequence[str]) -> tuple[str, list[ToolCall]]:
    """Return the text and the calls of an answer that came in ``pieces``."""
    ids = (str(number) for number in itertools.count())
    parser = ToolCallParser(TOOLS, new_id=lambda: next(ids))
    events = [event for piece in pieces for event in parser.feed(piece)]
    events += parser.finish()
    text = "".join(event.text for event in events if isinstance(event, TextPart))
    return text, [event for event in events if isinstance(event, ToolCall)]


def one_input(data: bytes) -> None:
    """Check one answer, cut at places that the fuzzer chose."""
    provider = atheris.FuzzedDataProvider(data)
    seed = SEEDS[provider.ConsumeIntInRange(0, len(SEEDS) - 1)]
    at = provider.ConsumeIntInRange(0, len(seed))
    cuts = [provider.ConsumeIntInRange(0, 200) for _ in range(6)]
    inserted = provider.ConsumeUnicodeNoSurrogates(sys.maxsize)
    whole = seed[:at] + inserted + seed[at:]
    ends = sorted({0, len(whole), *(min(cut, len(whole)) for cut in cuts)})
    pieces = [whole[a:b] for a, b in itertools.pairwise(ends)]
    text, calls = parse([whole])
    if parse(pieces) != (text, calls):
        raise AssertionError(f"cut at {ends}, {whole!r} reads otherwise")
    if not calls and text != whole:
        raise AssertionError(f"{whole!r} came out as {text!r}")
    for call in calls:
        if not isinstance(json.loads(call.arguments), dict):
            raise AssertionError(f"{call} has no arguments")


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
