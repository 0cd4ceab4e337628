"""Qwen Code."""

from __future__ import annotations

from pathlib import Path

from stoker.clients.client import NO_KEY, TITLE, Client, ConfigFile, Connection, Places
from stoker.config_files import Keys

#: It starts only with a key in the variable that the model names.
_KEY = "STOKER_API_KEY"


def _files(places: Places, to: Connection) -> tuple[ConfigFile, ...]:
    model: dict[str, object] = {
        "id": to.model,
        "name": TITLE,
        "envKey": to.key_variable or _KEY,
        "baseUrl": to.base_url,
    }
    if to.max_model_len is not None:
        model["generationConfig"] = {
            "contextWindowSize": to.max_model_len,
            "samplingParams": {"max_tokens": to.max_output_tokens},
        }
    values: dict[Keys, object] = {
        ("modelProviders", "openai", ("name", TITLE)): model,
        ("security", "auth", "selectedType"): "openai",
        ("model", "name"): to.model,
    }
    if to.key_variable is None:
        values["env", _KEY] = NO_KEY
    return (ConfigFile(_folder(places) / "settings.json", "json", values),)


def _folder(places: Places) -> Path:
    return places.home / ".qwen"


CLIENT = Client("qwen-code", "Qwen Code", "chat", "qwen", _folder, _files)
