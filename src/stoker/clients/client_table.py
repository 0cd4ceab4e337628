"""The table of clients: one row each, the module that holds all that Stoker knows about it."""

from __future__ import annotations

from stoker.clients import (
    aider,
    claude_code,
    cline,
    codex,
    continue_dev,
    copilot_cli,
    jetbrains,
    kilo,
    llm,
    mini_swe_agent,
    open_interpreter,
    opencode,
    pi,
    qwen_code,
    zed,
)
from stoker.clients.client import Client

#: Every client that ``stoker connect`` knows.
CLIENTS: tuple[Client, ...] = (
    codex.CLIENT,
    claude_code.CLIENT,
    copilot_cli.CLIENT,
    opencode.CLIENT,
    kilo.CLIENT,
    qwen_code.CLIENT,
    cline.CLIENT,
    continue_dev.CLIENT,
    pi.CLIENT,
    aider.CLIENT,
    mini_swe_agent.CLIENT,
    llm.CLIENT,
    open_interpreter.CLIENT,
    zed.CLIENT,
    jetbrains.CLIENT,
)
