"""Options that several commands take, so that they read and behave the same everywhere."""

from __future__ import annotations

import os
import re
from typing import Annotated
from urllib.parse import urlsplit

import typer

from stoker.errors import UsageError

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, for programs.")]
KeyEnv = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="The environment variable that holds its key."),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Answer every question with yes.")]

_KEY_HINT = (
    "Leave them out. A key is named by the variable that holds it: --key-env NAME. Servers that "
    "want a name and a password can't be used."
)


def key_from(key_env: str | None) -> str | None:
    """The key that the named variable holds. Raises ``UsageError`` where it holds none."""
    if key_env is None:
        return None
    key = os.environ.get(key_env)
    if not key:
        raise UsageError(f"The variable {key_env} is not set.", fix="Set it, or leave it out.")
    return key


def address(url: str) -> str:
    """``url`` without what comes after the address. Raises ``UsageError`` where it is none."""
    refuse_secrets(url, _KEY_HINT)
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, brackets that don't close
        valid = False
    if not valid or parts.query or parts.fragment:
        raise UsageError(
            f"{without_secrets(url)!r} is not an address.",
            "It is http or https, a host and a port, and perhaps a path.",
            "Write it like http://127.0.0.1:11434.",
        )
    return url.rstrip("/").removesuffix("/v1")


def refuse_secrets(url: str, fix: str) -> None:
    """Raise ``UsageError`` where ``url`` holds a name and a password; it does not repeat them."""
    if "@" in url:
        raise UsageError(
            "The address holds a name and a password.",
            "Addresses are printed, logged and stored; secrets do not belong there.",
            fix,
        )


def without_secrets(text: str) -> str:
    """``text``, which was meant to be an address, less the parts in which a secret could be."""
    return re.split(r"[?#]", text.rpartition("@")[2])[0]


def count_without_name(count: int) -> UsageError:
    """What is wrong with ``--gpus`` where no ``--gpu`` says of which."""
    return UsageError(
        f"--gpus {count} does not say which GPU.",
        "It is the number of GPUs of an imagined machine; of this one all are used.",
        f'Name it: --gpu "RTX 4090" --gpus {count}. Or leave --gpus out.',
    )
