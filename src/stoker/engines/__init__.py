"""The engines, each in a module or folder of its own: planned for, launched and spoken to."""

from __future__ import annotations

from stoker.engines.base import (
    Backend,
    Engine,
    InfillApi,
    Launcher,
    LogMarks,
    Options,
    PlacementRequest,
    Planner,
    PrefillReport,
    ProcessLaunch,
    PromptReader,
    Recognised,
    SavedSlot,
    ServedModel,
    ServerClient,
    SlotFiles,
    ToolSupport,
)
from stoker.engines.container_spec import ContainerLaunch, Mount
from stoker.engines.model_listing import ALIAS, is_alias, says_no_tools
from stoker.engines.registry import (
    ENGINES,
    get,
    log_marks,
    lookup,
    planned,
    running_metrics,
    server_client,
    started,
)

__all__ = [
    "ALIAS",
    "ENGINES",
    "Backend",
    "ContainerLaunch",
    "Engine",
    "InfillApi",
    "Launcher",
    "LogMarks",
    "Mount",
    "Options",
    "PlacementRequest",
    "Planner",
    "PrefillReport",
    "ProcessLaunch",
    "PromptReader",
    "Recognised",
    "SavedSlot",
    "ServedModel",
    "ServerClient",
    "SlotFiles",
    "ToolSupport",
    "get",
    "is_alias",
    "log_marks",
    "lookup",
    "planned",
    "running_metrics",
    "says_no_tools",
    "server_client",
    "started",
]
