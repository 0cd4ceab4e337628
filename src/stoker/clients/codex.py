"""Codex, OpenAI's agent. It speaks the Responses API only."""

from __future__ import annotations

from pathlib import Path

from stoker.clients.client import PROVIDER, TITLE, Client, ConfigFile, Connection, Places, known
from stoker.config_files import Keys


def _files(places: Places, to: Connection) -> tuple[ConfigFile, ...]:
    provider = {"name": TITLE, "base_url": to.base_url, "wire_api": "responses"}
    values: dict[Keys, object] = {
        ("model",): to.model,
        ("model_provider",): PROVIDER,
        ("model_providers", PROVIDER): {**provider, **known(env_key=to.key_variable)},
    }
    if to.max_model_len is not None:  # else it assumes 258,400 tokens
        values["model_context_window",] = to.max_model_len
    return (ConfigFile(_folder(places) / "config.toml", "toml", values),)


def _folder(places: Places) -> Path:
    return places.folder("CODEX_HOME", places.home / ".codex")


CLIENT = Client("codex", "Codex", "responses", "codex", _folder, _files)
