"""Cline's CLI. It stores keys in its settings, so one that is needed is entered in Cline itself."""

from __future__ import annotations

from pathlib import Path

from stoker.clients.client import NO_KEY, Client, ConfigFile, Connection, Places, known
from stoker.config_files import Keys

_PROVIDER = "openai-compatible"
#: Cline requires the time of the last change, in ISO 8601, and writes it again whenever it starts.
_UPDATED: Keys = ("providers", _PROVIDER, "updatedAt")
_UPDATED_AT = "2026-01-01T00:00:00.000Z"


def _files(places: Places, to: Connection) -> tuple[ConfigFile, ...]:
    settings = {
        "provider": _PROVIDER,
        "model": to.model,
        "baseUrl": to.base_url,
        **known(
            apiKey=NO_KEY if to.key_variable is None else None,
            contextWindow=to.max_model_len,
            maxTokens=to.max_output_tokens,
        ),
    }
    values: dict[Keys, object] = {
        ("providers", _PROVIDER, "settings", name): value for name, value in settings.items()
    }
    values["lastUsedProvider",] = _PROVIDER
    required: dict[Keys, object] = {
        ("version",): 1,
        ("modes",): {},
        _UPDATED: _UPDATED_AT,
        ("providers", _PROVIDER, "tokenSource"): "manual",
    }
    path = _folder(places) / "data/settings/providers.json"
    return (ConfigFile(path, "json", values, required),)


def _steps(to: Connection) -> tuple[str, ...]:
    if to.key_variable is None:
        return ()
    return (f'Store the key: cline auth -p {_PROVIDER} -k "${to.key_variable}"',)


def _folder(places: Places) -> Path:
    return places.home / ".cline"


CLIENT = Client(
    "cline", "Cline CLI", "chat", "cline", _folder, _files, steps=_steps, rewrites=(_UPDATED,)
)
