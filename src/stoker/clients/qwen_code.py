"""Qwen Code."""

from __future__ import annotations

from pathlib import Path

from stoker.clients.client import (
    NO_KEY,
    TITLE,
    Client,
    ConfigFile,
    Connection,
    Places,
    window_left_out,
)
from stoker.config_files import Keys

_NAME = "Qwen Code"
#: It starts only with a key in the variable that the model names.
_KEY = "STOKER_API_KEY"
#: The smallest window that is written. Measured with 0.24.4: with 8,192 it summarises after every
#: result of a tool, with 16,384 it does a task of six files without a summary.
_LEAST_MODEL_LEN = 16_384


def _files(places: Places, to: Connection) -> tuple[ConfigFile, ...]:
    model: dict[str, object] = {
        "id": to.model,
        "name": TITLE,
        "envKey": to.key_variable or _KEY,
        "baseUrl": to.base_url,
    }
    if to.max_model_len is not None:
        config: dict[str, object] = {"samplingParams": {"max_tokens": to.max_output_tokens}}
        if to.has_room(_LEAST_MODEL_LEN):
            config["contextWindowSize"] = to.max_model_len
        model["generationConfig"] = config
    values: dict[Keys, object] = {
        ("modelProviders", "openai", ("name", TITLE)): model,
        ("security", "auth", "selectedType"): "openai",
        ("model", "name"): to.model,
    }
    if to.key_variable is None:
        values["env", _KEY] = NO_KEY
    return (ConfigFile(_folder(places) / "settings.json", "json", values),)


def _steps(to: Connection) -> tuple[str, ...]:
    return window_left_out(to, _NAME, _LEAST_MODEL_LEN)


def _folder(places: Places) -> Path:
    return places.home / ".qwen"


CLIENT = Client("qwen-code", _NAME, "chat", "qwen", _folder, _files, steps=_steps)
