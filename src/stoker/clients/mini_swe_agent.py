"""mini-swe-agent. It has no setting for a window."""

from __future__ import annotations

from pathlib import Path

from stoker.clients.client import NO_KEY, Client, ConfigFile, Connection, Places, key_in
from stoker.config_files import Keys

_KEY = "OPENAI_API_KEY"


def _files(places: Places, to: Connection) -> tuple[ConfigFile, ...]:
    variables = {
        "MSWEA_MODEL_NAME": f"openai/{to.model}",
        "OPENAI_BASE_URL": to.base_url,
        # It stops at a model whose price it does not know.
        "MSWEA_COST_TRACKING": "ignore_errors",
        # Else it asks for a model and a key first.
        "MSWEA_CONFIGURED": "true",
    }
    if to.key_variable is None:
        variables[_KEY] = NO_KEY
    values: dict[Keys, object] = {(name,): value for name, value in variables.items()}
    return (ConfigFile(_folder(places) / ".env", "env", values),)


def _folder(places: Places) -> Path:
    return places.folder("MSWEA_GLOBAL_CONFIG_DIR", places.system_config / "mini-swe-agent")


CLIENT = Client(
    "mini-swe-agent", "mini-swe-agent", "chat", "mini", _folder, _files, variables=key_in(_KEY)
)
