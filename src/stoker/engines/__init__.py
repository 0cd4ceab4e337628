"""How each inference server is launched and spoken to: one module an engine, one row a name."""

from __future__ import annotations

import importlib
from typing import cast

from stoker.engines.base import (
    Backend,
    Engine,
    Options,
    ProcessLaunch,
    Recognised,
    ServedModel,
    ServerClient,
    ToolSupport,
)
from stoker.engines.container_spec import ContainerLaunch, Mount
from stoker.engines.model_listing import ALIAS, is_alias
from stoker.errors import UsageError

__all__ = [
    "ALIAS",
    "ENGINES",
    "Backend",
    "ContainerLaunch",
    "Engine",
    "Mount",
    "Options",
    "ProcessLaunch",
    "Recognised",
    "ServedModel",
    "ServerClient",
    "ToolSupport",
    "get",
    "is_alias",
    "server_client",
]

#: Engine name -> module of this package. A new engine is one new file and one new row.
ENGINES = {
    "llama.cpp": "llama_cpp",
    "vllm": "vllm",
    "ollama": "ollama",
    "tgi": "tgi",
    "lm-studio": "lm_studio",
    "sglang": "sglang",
    "tensorrt-llm": "tensorrt_llm",
    "stoker": "stoker_gateway",
    "openai": "openai",
}


#: Those that Stoker starts itself. The others it speaks to where they run already.
STARTED = ("llama.cpp", "vllm")


def get(name: str) -> Engine:
    """The engine called ``name``, to start. Raises ``UsageError`` for one that it can't start."""
    if name not in STARTED:
        known = "Stoker does not start it." if name in ENGINES else ""
        raise UsageError(
            f"There is no engine called {name!r}." if not known else f"{name} runs by itself.",
            known,
            f"Choose one of: {', '.join(STARTED)}; or adopt what runs: stoker adopt URL.",
        )
    return cast(Engine, server_client(name))


def server_client(name: str) -> ServerClient:
    """How the engine called ``name`` is spoken to. Raises ``KeyError`` for an unknown one."""
    return cast(ServerClient, importlib.import_module(f"{__name__}.{ENGINES[name]}"))
