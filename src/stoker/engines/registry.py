"""The one table of engines. Code elsewhere asks an engine, and names none."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from functools import cache
from typing import cast

from stoker.engines.base import Engine, Launcher, LogMarks, ServerClient
from stoker.errors import UsageError

#: The name of each engine, and the module whose ``ENGINE`` it is. To add an engine is to add a row.
#:
#: A running server is recognised by asking in this order: what names itself in ``/v1/models`` comes
#: first, because a server that answers any path with something would be taken for another.
ENGINES: dict[str, str] = {
    "stoker": "stoker.engines.stoker_gateway",
    "vllm": "stoker.engines.vllm",
    "sglang": "stoker.engines.sglang",
    "tensorrt-llm": "stoker.engines.tensorrt_llm",
    "tgi": "stoker.engines.tgi",
    "ollama": "stoker.engines.ollama",
    "lm-studio": "stoker.engines.lm_studio",
    "llama.cpp": "stoker.engines.llama_cpp",
    "litellm": "stoker.engines.litellm",
    "openai": "stoker.engines.openai",
}
#: What every server with OpenAI's API is recognised as, when no other engine knows it.
FALLBACK = "openai"


def lookup(name: str) -> Engine:
    """The engine called ``name``. Raises ``KeyError`` for an unknown one."""
    return _engine(ENGINES[name])


@cache
def _engine(module: str) -> Engine:
    """The import system's own look-up costs a request 40 us: three engines are asked for in it."""
    return cast(Engine, importlib.import_module(module).ENGINE)


def all_engines() -> Iterator[Engine]:
    """Every engine, in the order in which a running server is recognised."""
    for name in ENGINES:
        if name != FALLBACK:
            yield lookup(name)
    yield lookup(FALLBACK)


def started() -> list[Engine]:
    """Those that Stoker starts itself. The others have to run already."""
    return [engine for engine in all_engines() if engine.launcher is not None]


def planned() -> list[Engine]:
    """Those that Stoker plans for; first those that it starts, too."""
    found = [engine for engine in all_engines() if engine.planner is not None]
    return sorted(found, key=lambda engine: engine.launcher is None)


def get(name: str) -> Launcher:
    """How the engine ``name`` is started. Raises ``UsageError`` for one that Stoker can't start."""
    launcher = lookup(name).launcher if name in ENGINES else None
    if launcher is not None:
        return launcher
    names = ", ".join(engine.name for engine in started())
    fix = f"Choose one of: {names}; or adopt a running server: stoker adopt URL."
    if name not in ENGINES:
        raise UsageError(f"There is no engine called {name!r}.", "", fix)
    raise UsageError(f"Stoker does not start {name}.", "You start it yourself.", fix)


def server_client(name: str) -> ServerClient:
    """How a server of the engine ``name`` is asked. Raises ``KeyError`` for an unknown one."""
    return cast(ServerClient, importlib.import_module(lookup(name).client))


def running_metrics() -> list[str]:
    """What engines call the number of requests that they work on (``Engine.running_metric``)."""
    return [e.running_metric for e in all_engines() if e.running_metric is not None]


def log_marks() -> LogMarks:
    """The marks in the logs of all engines that Stoker starts."""
    marks = [engine.launcher.log_marks for engine in started() if engine.launcher is not None]
    return LogMarks(
        starts=tuple(text for each in marks for text in each.starts),
        ready=tuple(text for each in marks for text in each.ready),
        ordered_ends=tuple(text for each in marks for text in each.ordered_ends),
    )
