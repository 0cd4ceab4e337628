"""Open Interpreter, whose default profile holds the model."""

from __future__ import annotations

from pathlib import Path

from stoker.clients.client import NO_KEY, Client, ConfigFile, Connection, Places, key_in, known
from stoker.config_files import Keys

_KEY = "OPENAI_API_KEY"
#: The version of the profile's form. Without it, the program offers to convert the file.
_FORM = "0.2.5"


def _files(places: Places, to: Connection) -> tuple[ConfigFile, ...]:
    settings = {
        "model": f"openai/{to.model}",
        "api_base": to.base_url,
        **known(
            api_key=NO_KEY if to.key_variable is None else None,
            context_window=to.max_model_len,
            max_tokens=to.max_output_tokens,
        ),
    }
    values: dict[Keys, object] = {("llm", name): value for name, value in settings.items()}
    path = _folder(places) / "profiles/default.yaml"
    return (ConfigFile(path, "yaml", values, required={("version",): _FORM}),)


def _folder(places: Places) -> Path:
    return places.system_config / "open-interpreter"


CLIENT = Client(
    "open-interpreter",
    "Open Interpreter",
    "chat",
    "interpreter",
    _folder,
    _files,
    variables=key_in(_KEY),
)
