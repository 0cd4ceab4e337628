"""Addresses of databases in settings: a password stands in a variable, never in the setting."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qs, urlsplit

from stoker.errors import UsageError

#: The value of a setting that stands for SQLite: a file of this user.
SQLITE = "sqlite"
_ENV = "env:"


def address_in(setting: str, env: Mapping[str, str]) -> str:
    """The address that a setting means: the setting itself, or with ``env:NAME`` the variable's.

    Raises ``UsageError``, whose text never repeats an address: it may hold a password.
    """
    if setting.startswith(_ENV):
        return _variable(setting.removeprefix(_ENV), env)
    if _has_password(setting):
        raise UsageError(
            "The address of the database holds a password.",
            "Files and command lines are read by others.",
            "Put the address into a variable, and write env: and the variable's name.",
        )
    return setting


def _variable(name: str, env: Mapping[str, str]) -> str:
    value = env.get(name, "").strip()
    if not value:
        raise UsageError(
            f"The variable {name} is not set.",
            "It holds the address of the database.",
            "Set it and start again.",
        )
    return value


def _has_password(address: str) -> bool:
    try:
        parts = urlsplit(address)
    except ValueError:
        return False  # its reader refuses it
    return parts.password is not None or "password" in parse_qs(parts.query)
