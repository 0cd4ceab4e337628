"""Cline's CLI. It stores keys in its settings, so one that is needed is entered in Cline itself."""

from __future__ import annotations

from pathlib import Path

from stoker.clients.client import (
    NO_KEY,
    Client,
    ConfigFile,
    Connection,
    Places,
    known,
    window_left_out,
)
from stoker.config_files import Keys

_PROVIDER = "openai-compatible"
#: Cline requires the time of the last change, in ISO 8601, and writes it again whenever it starts.
_UPDATED: Keys = ("providers", _PROVIDER, "updatedAt")
_UPDATED_AT = "2026-01-01T00:00:00.000Z"
_NAME = "Cline CLI"
#: The smallest window that is written. Measured with 3.0.65: with 8,192 it summarises after every
#: result of a tool, with 16,384 from the third on, without a limit never in a task of six files.
_LEAST_MODEL_LEN = 32_768


def _files(places: Places, to: Connection) -> tuple[ConfigFile, ...]:
    settings = {
        "provider": _PROVIDER,
        "model": to.model,
        "baseUrl": to.base_url,
        **known(
            apiKey=NO_KEY if to.key_variable is None else None,
            contextWindow=to.max_model_len if to.has_room(_LEAST_MODEL_LEN) else None,
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
    left_out = window_left_out(to, _NAME, _LEAST_MODEL_LEN)
    if to.key_variable is None:
        return left_out
    return (f'Store the key: cline auth -p {_PROVIDER} -k "${to.key_variable}"', *left_out)


def _folder(places: Places) -> Path:
    return places.home / ".cline"


CLIENT = Client(
    "cline", _NAME, "chat", "cline", _folder, _files, steps=_steps, rewrites=(_UPDATED,)
)
