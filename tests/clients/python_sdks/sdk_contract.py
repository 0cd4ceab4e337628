"""What each SDK here must show, and the printing of it.

A script calls every API that its SDK speaks and prints one JSON object: for each API, what the SDK
returned. ``tests/clients/test_sdks.py`` starts the scripts and compares.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

#: The gateway's address without ``/v1``, and the model's name.
ENDPOINT, MODEL = sys.argv[1:3]
BASE_URL = f"{ENDPOINT}/v1"
KEY = "not-needed"

HELLO = "Say hello."
WEATHER = "How is the weather in Paris?"
SUNNY = "sunny, 21 degrees"
#: More tokens than the window has, in one message, which can't be shortened.
TOO_LONG = "word " * 20_000
TOOL = "get_weather"
TOOL_WORDS = "Tells the weather of a city."
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


@dataclass(frozen=True)
class Api:
    """What an SDK does on one API."""

    #: The text of an answer to ``HELLO``.
    whole: Callable[[], str]
    #: The pieces of a streamed one.
    streamed: Callable[[], list[str]]
    #: The name and arguments of the call that ``WEATHER`` leads to, and the text after its result.
    tool: Callable[[], tuple[str, Any, str]]
    #: Asks ``TOO_LONG``.
    overflow: Callable[[], object]


def show(**apis: Api) -> None:
    """Print what each API does."""
    print(json.dumps({name: _shown(api) for name, api in apis.items()}))


def _shown(api: Api) -> dict[str, Any]:
    pieces = [piece for piece in api.streamed() if piece]
    called, arguments, answered = api.tool()
    return {
        "whole": api.whole(),
        "streamed": "".join(pieces),
        "pieces": len(pieces),
        "called": called,
        "arguments": json.loads(arguments) if isinstance(arguments, str) else arguments,
        "answered": answered,
        "overflow": _error(api.overflow),
    }


def _error(ask: Callable[[], object]) -> list[str]:
    """The names of the error's class and of those above it."""
    try:
        ask()
    except Exception as error:
        return [each.__name__ for each in type(error).__mro__] + [str(error)]
    return []
