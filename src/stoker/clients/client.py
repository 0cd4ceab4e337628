"""What an editor or agent is to the rest of Stoker: ``Client``, and the values around it."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from stoker import paths
from stoker.config_files import FormatName, Keys
from stoker.tokens import budget_for

#: What clients get that refuse to start without a key, where the endpoint asks for none.
NO_KEY = "not-needed"
#: The name under which Stoker's provider and model stand in files that name theirs.
PROVIDER = "stoker"
TITLE = "Stoker"


@dataclass(frozen=True, slots=True)
class Connection:
    """One model at one endpoint. A limit is ``None`` where the endpoint does not report it."""

    #: The address, without ``/v1``.
    endpoint: str
    model: str
    #: Tokens of prompt and answer together.
    max_model_len: int | None
    max_output_tokens: int | None
    #: The environment variable that holds the endpoint's key; ``None`` where it asks for none.
    key_variable: str | None

    @property
    def base_url(self) -> str:
        """The address as OpenAI's clients take it."""
        return f"{self.endpoint}/v1"

    @property
    def max_prompt_tokens(self) -> int | None:
        """What the longest answer leaves of the window."""
        if self.max_model_len is None or self.max_output_tokens is None:
            return None
        return self.max_model_len - self.max_output_tokens

    def has_room(self, least_model_len: int) -> bool:
        """Whether the window is known, and large enough to be written for a client."""
        return self.max_model_len is not None and self.max_model_len >= least_model_len


def connection_to(
    endpoint: str, model: str, max_model_len: int | None, key_variable: str | None
) -> Connection:
    """The connection. Its answers have the room that the gateway keeps for them."""
    answer = None if max_model_len is None else budget_for(max_model_len).answer_tokens
    return Connection(endpoint, model, max_model_len, answer, key_variable)


@dataclass(frozen=True, slots=True)
class Places:
    """Where this user's programs keep their settings."""

    home: Path
    #: The folder of settings on Linux; on macOS, programs that follow Linux use it too.
    config: Path
    #: The folder of settings as the system names it.
    system_config: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def folder(self, variable: str, default: Path) -> Path:
        """The folder that ``variable`` names, or ``default`` where it is not set."""
        named = self.environment.get(variable)
        return paths.expanded(named) if named else default


def places_here() -> Places:
    """The places of the user who runs this."""
    home = Path.home()
    config = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
    mac = platform.system() == "Darwin"
    system = home / "Library/Application Support" if mac else config
    return Places(home, config, system, os.environ)


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A file of a client, and what to set in it."""

    path: Path
    format: FormatName
    values: Mapping[Keys, object]
    #: What the client requires in the file, set only where it is missing.
    required: Mapping[Keys, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Client:
    """An editor or agent that can use an endpoint."""

    name: str
    title: str
    api: Literal["chat", "responses", "messages"]
    #: Its command on PATH; ``None`` if it has no command.
    command: str | None
    #: A folder that it makes when it is installed or first started.
    folder: Callable[[Places], Path]
    #: The files to change; none where its settings can't be written.
    files: Callable[[Places, Connection], tuple[ConfigFile, ...]] = lambda _places, _to: ()
    #: The environment variables to set before it starts. A value ``$NAME`` is another variable's.
    variables: Callable[[Connection], Mapping[str, str]] = lambda _to: {}
    #: What else the person has to do, a sentence each.
    steps: Callable[[Connection], tuple[str, ...]] = lambda _to: ()
    #: Where its settings are described, and the day on which that was last read; ``None`` for a
    #: client that was run with what is written.
    documented: tuple[str, str] | None = None
    #: Values in its files that the client itself writes again: undoing ignores what they are now.
    rewrites: tuple[Keys, ...] = ()


def known(**limits: object) -> dict[str, object]:
    """The settings whose value is known."""
    return {name: value for name, value in limits.items() if value is not None}


def window_left_out(to: Connection, title: str, least_model_len: int) -> tuple[str, ...]:
    """The sentence for the person where a window is too small to be written for the client."""
    if to.max_model_len is None or to.has_room(least_model_len):
        return ()
    return (
        f"{title} can't work with a limit below {least_model_len:,} tokens, so the window is left "
        "out. Stoker's gateway shortens its requests to fit.",
    )


def key_in(variable: str) -> Callable[[Connection], Mapping[str, str]]:
    """For clients that read the endpoint's key from ``variable``, whatever holds it now."""

    def variables(to: Connection) -> Mapping[str, str]:
        return {} if to.key_variable in (None, variable) else {variable: f"${to.key_variable}"}

    return variables
