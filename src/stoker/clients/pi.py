"""pi, the coding agent."""

from __future__ import annotations

from pathlib import Path

from stoker.clients.client import (
    NO_KEY,
    PROVIDER,
    Client,
    ConfigFile,
    Connection,
    Places,
    known,
)
from stoker.config_files import Keys


def _files(places: Places, to: Connection) -> tuple[ConfigFile, ...]:
    limits = known(contextWindow=to.max_model_len, maxTokens=to.max_output_tokens)
    provider = {
        "baseUrl": to.base_url,
        "api": "openai-completions",
        "apiKey": f"${to.key_variable}" if to.key_variable else NO_KEY,
        "models": [{"id": to.model, **limits}],
    }
    chosen: dict[Keys, object] = {("defaultProvider",): PROVIDER, ("defaultModel",): to.model}
    folder = _folder(places)
    return (
        ConfigFile(folder / "models.json", "json", {("providers", PROVIDER): provider}),
        ConfigFile(folder / "settings.json", "json", chosen),
    )


def _folder(places: Places) -> Path:
    return places.folder("PI_CODING_AGENT_DIR", places.home / ".pi/agent")


CLIENT = Client("pi", "pi", "chat", "pi", _folder, _files)
