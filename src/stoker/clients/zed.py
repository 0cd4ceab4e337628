"""Zed. It reads keys from its own key store or from a variable, never from its settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from stoker.clients.client import (
    NO_KEY,
    PROVIDER,
    Client,
    ConfigFile,
    Connection,
    Places,
    key_in,
    known,
)
from stoker.config_files import Keys

#: Zed makes the variable's name of the provider's.
_KEY = "STOKER_API_KEY"


def _files(places: Places, to: Connection) -> tuple[ConfigFile, ...]:
    if to.max_model_len is None:
        return ()  # it requires the window of a model
    model = {
        "name": to.model,
        "max_tokens": to.max_model_len,
        **known(max_output_tokens=to.max_output_tokens),
    }
    provider = {"api_url": to.base_url, "available_models": [model]}
    chosen = {"provider": PROVIDER, "model": to.model}
    values: dict[Keys, object] = {
        ("language_models", "openai_compatible", PROVIDER): provider,
        ("agent", "default_model"): chosen,
    }
    return (ConfigFile(_folder(places) / "settings.json", "json", values),)


def _variables(to: Connection) -> Mapping[str, str]:
    return {_KEY: NO_KEY} if to.key_variable is None else key_in(_KEY)(to)


def _steps(to: Connection) -> tuple[str, ...]:
    if to.max_model_len is None:
        return ("The endpoint does not report its window, which Zed requires: nothing is written.",)
    return (f"Or enter the key in Zed's agent settings, below LLM providers, {PROVIDER}.",)


def _folder(places: Places) -> Path:
    return places.config / "zed"


CLIENT = Client(
    "zed",
    "Zed",
    "chat",
    "zed",
    _folder,
    _files,
    variables=_variables,
    steps=_steps,
    documented=("https://zed.dev/docs/ai/use-api-access", "2026-11-29"),
)
