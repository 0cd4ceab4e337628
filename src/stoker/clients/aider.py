"""aider."""

from __future__ import annotations

from stoker.clients.client import NO_KEY, Client, ConfigFile, Connection, Places, key_in
from stoker.config_files import Keys

_KEY = "OPENAI_API_KEY"


def _files(places: Places, to: Connection) -> tuple[ConfigFile, ...]:
    name = f"openai/{to.model}"
    values: dict[Keys, object] = {("model",): name, ("openai-api-base",): to.base_url}
    if to.key_variable is None:
        values["openai-api-key",] = NO_KEY
    settings = ConfigFile(places.home / ".aider.conf.yml", "yaml", values)
    if to.max_model_len is None:
        return (settings,)
    limits = {
        "max_tokens": to.max_output_tokens,
        "max_input_tokens": to.max_model_len,
        "max_output_tokens": to.max_output_tokens,
        "litellm_provider": "openai",
        "mode": "chat",
    }
    return (
        settings,
        ConfigFile(places.home / ".aider.model.metadata.json", "json", {(name,): limits}),
    )


CLIENT = Client(
    "aider",
    "aider",
    "chat",
    "aider",
    lambda places: places.home / ".aider",
    _files,
    variables=key_in(_KEY),
    steps=lambda _to: ("If OPENAI_BASE_URL is set, unset it: it goes before these settings.",),
)
