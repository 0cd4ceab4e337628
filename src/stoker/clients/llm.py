"""llm, the command-line tool. It has no setting for a window."""

from __future__ import annotations

from pathlib import Path

from stoker.clients.client import PROVIDER, Client, ConfigFile, Connection, Places, known


def _files(places: Places, to: Connection) -> tuple[ConfigFile, ...]:
    model = {
        "model_id": PROVIDER,
        "model_name": to.model,
        "api_base": to.base_url,
        "supports_tools": True,
        **known(api_key_name=PROVIDER if to.key_variable else None),
    }
    path = _folder(places) / "extra-openai-models.yaml"
    return (ConfigFile(path, "yaml", {(("model_id", PROVIDER),): model}),)


def _steps(to: Connection) -> tuple[str, ...]:
    use = f"Use it with: llm -m {PROVIDER} 'a question'. By default: llm models default {PROVIDER}"
    # It reads keys of such models from its own store only.
    store = f'Store the key: llm keys set {PROVIDER} --value "${to.key_variable}"'
    return (use,) if to.key_variable is None else (store, use)


def _folder(places: Places) -> Path:
    return places.folder("LLM_USER_PATH", places.system_config / "io.datasette.llm")


CLIENT = Client("llm", "llm", "chat", "llm", _folder, _files, steps=_steps)
