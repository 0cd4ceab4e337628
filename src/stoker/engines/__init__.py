"""How each inference server is launched and spoken to: one module an engine, one row a name."""

from __future__ import annotations

import importlib
from typing import cast

from stoker.engines.container import ContainerLaunch, Mount
from stoker.engines.protocol import (
    Backend,
    Engine,
    Options,
    ProcessLaunch,
    ServedModel,
    ToolSupport,
)
from stoker.errors import UsageError

__all__ = [
    "ENGINES",
    "Backend",
    "ContainerLaunch",
    "Engine",
    "Mount",
    "Options",
    "ProcessLaunch",
    "ServedModel",
    "ToolSupport",
    "get",
]

#: Engine name -> module of this package. A new engine is one new file and one new row.
ENGINES = {
    "llama.cpp": "llama_cpp",
    "vllm": "vllm",
}


def get(name: str) -> Engine:
    """The engine called ``name``. Raises ``UsageError`` for one that Stoker does not know."""
    module = ENGINES.get(name)
    if module is None:
        raise UsageError(
            f"There is no engine called {name!r}.",
            fix=f"Choose one of: {', '.join(sorted(ENGINES))}.",
        )
    return cast(Engine, importlib.import_module(f"{__name__}.{module}"))
