"""Continue: its extensions and its CLI read one file."""

from __future__ import annotations

from pathlib import Path

from stoker.clients.client import NO_KEY, TITLE, Client, ConfigFile, Connection, Places, known


def _files(places: Places, to: Connection) -> tuple[ConfigFile, ...]:
    limits = known(contextLength=to.max_model_len, maxTokens=to.max_output_tokens)
    model: dict[str, object] = {
        "name": TITLE,
        "provider": "openai",
        "model": to.model,
        "apiBase": to.base_url,
        "apiKey": f"${{{{ secrets.{to.key_variable} }}}}" if to.key_variable else NO_KEY,
        "roles": ["chat", "edit", "apply"],
        "capabilities": ["tool_use"],
    }
    if limits:
        model["contextLength"] = to.max_model_len
        model["defaultCompletionOptions"] = limits
    return (
        ConfigFile(
            _folder(places) / "config.yaml",
            "yaml",
            {("models", ("name", TITLE)): model},
            required={("name",): "Local", ("version",): "1.0.0", ("schema",): "v1"},
        ),
    )


def _folder(places: Places) -> Path:
    return places.home / ".continue"


CLIENT = Client(
    "continue",
    "Continue",
    "chat",
    "cn",
    _folder,
    _files,
    steps=lambda _to: (f"Choose {TITLE} in its model picker, or with /model in its CLI.",),
)
