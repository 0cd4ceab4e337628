"""opencode."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from stoker.clients.client import PROVIDER, TITLE, Client, ConfigFile, Connection, Places
from stoker.config_files import Keys


def settings(to: Connection) -> Mapping[Keys, object]:
    """The provider and the model, in the form that programs built on opencode read too."""
    options = {"baseURL": to.base_url}
    if to.key_variable is not None:
        options["apiKey"] = f"{{env:{to.key_variable}}}"
    model: dict[str, object] = {"name": to.model}
    if to.max_model_len is not None:
        model["limit"] = {"context": to.max_model_len, "output": to.max_output_tokens}
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": TITLE,
        "options": options,
        "models": {to.model: model},
    }
    chosen = f"{PROVIDER}/{to.model}"
    return {
        ("provider", PROVIDER): provider,
        ("model",): chosen,
        # Titles and summaries.
        ("small_model",): chosen,
    }


def _files(places: Places, to: Connection) -> tuple[ConfigFile, ...]:
    folder = _folder(places)
    with_comments = folder / "opencode.jsonc"
    path = with_comments if with_comments.exists() else folder / "opencode.json"
    return (ConfigFile(path, "json", settings(to)),)


def _folder(places: Places) -> Path:
    return places.config / "opencode"


CLIENT = Client("opencode", "opencode", "chat", "opencode", _folder, _files)
