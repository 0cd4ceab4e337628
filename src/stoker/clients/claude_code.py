"""Claude Code, Anthropic's agent. It speaks the Messages API only."""

from __future__ import annotations

from pathlib import Path

from stoker.clients.client import (
    NO_KEY,
    Client,
    ConfigFile,
    Connection,
    Places,
    key_in,
    window_left_out,
)
from stoker.config_files import Keys

_NAME = "Claude Code"
_KEY = "ANTHROPIC_AUTH_TOKEN"
#: The smallest window that is written. Claude Code summarises a conversation when less than 13,000
#: tokens and its longest answer are left, and then reads the last files again. Measured with
#: 2.1.332, whose instructions take 11,600 tokens: with 8,192 it sends nothing, with 16,384 to
#: 49,152 it summarises after every one to three tool calls, with 65,536 after seven.
_LEAST_MODEL_LEN = 65_536
#: The model that it uses, and those that it uses where it would choose one by its size.
_MODELS = (
    "ANTHROPIC_MODEL",
    "ANTHROPIC_DEFAULT_OPUS_MODEL",
    "ANTHROPIC_DEFAULT_SONNET_MODEL",
    "ANTHROPIC_DEFAULT_HAIKU_MODEL",
)


def _files(places: Places, to: Connection) -> tuple[ConfigFile, ...]:
    variables = {"ANTHROPIC_BASE_URL": to.endpoint, **dict.fromkeys(_MODELS, to.model)}
    if to.key_variable is None:
        variables[_KEY] = NO_KEY
    if to.max_model_len is not None:  # else it assumes a million tokens
        variables["CLAUDE_CODE_MAX_OUTPUT_TOKENS"] = str(to.max_output_tokens)
        if to.has_room(_LEAST_MODEL_LEN):
            variables["CLAUDE_CODE_MAX_CONTEXT_TOKENS"] = str(to.max_model_len)
    values: dict[Keys, object] = {("env", name): value for name, value in variables.items()}
    return (ConfigFile(_folder(places) / "settings.json", "json", values),)


def _steps(to: Connection) -> tuple[str, ...]:
    return window_left_out(to, _NAME, _LEAST_MODEL_LEN)


def _folder(places: Places) -> Path:
    return places.folder("CLAUDE_CONFIG_DIR", places.home / ".claude")


CLIENT = Client(
    "claude-code",
    _NAME,
    "messages",
    "claude",
    _folder,
    _files,
    variables=key_in(_KEY),
    steps=_steps,
)
