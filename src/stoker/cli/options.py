"""Options that several commands take, so that they read and behave the same everywhere."""

from __future__ import annotations

import os
import re
from typing import Annotated

import typer

from stoker.engines import backend_key
from stoker.errors import UsageError
from stoker.network_addresses import is_bindable, is_url, without_api_path
from stoker.usage_records import store_at


def _bind(value: str) -> str:
    """``value`` as it is. Raises ``UsageError`` where it is not an address to listen on."""
    if not is_bindable(value):
        raise UsageError(
            f"--bind {value!r} is not an address to listen on.",
            "It is one IP address of this machine, without brackets, or a host name.",
            "Omit it for this machine only, or write 0.0.0.0 for every address.",
        )
    return value


def _place_of_usage(value: str) -> str:
    """``value`` as it is. Raises ``UsageError`` where usage can't be kept there."""
    store_at(value)
    return value


Bind = Annotated[
    str,
    typer.Option(
        callback=_bind,
        help="The gateway's address. Any but 127.0.0.1 exposes the gateway to the network.",
    ),
]
Insecure = Annotated[
    bool,
    typer.Option(
        "--insecure",
        help="Listen beyond this machine without keys: every machine that reaches the address may "
        "use the models, at your cost, and read what is served.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, for programs.")]
KeyEnv = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="The environment variable that holds its key."),
]
Port = Annotated[int, typer.Option(min=1, max=65535, help="The gateway's port.")]
Replace = Annotated[bool, typer.Option("--replace", help="Replace what runs now.")]
Usage = Annotated[
    str,
    typer.Option(
        callback=_place_of_usage,
        metavar="WHERE",
        help="Where usage is recorded: sqlite, off, or env:NAME for a variable with PostgreSQL's "
        "URL.",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Answer every question with yes.")]

_KEY_HINT = (
    "Omit them. A key is passed by the name of the variable that holds it: --key-env NAME. Servers "
    "that require a name and a password can't be used."
)


def key_from(key_env: str | None) -> str | None:
    """The key that the named variable holds. Raises ``UsageError`` where it holds none."""
    if key_env is None:
        return None
    value = os.environ.get(key_env)
    if value is None:
        raise UsageError(
            f"The variable {key_env} is not set.",
            fix="Set it to the server's key. A server without one needs no --key-env.",
        )
    try:
        return backend_key.cleaned(value)
    except ValueError as error:
        raise UsageError(
            f"The variable {key_env} holds no key: {error}.",
            fix=f"Set {key_env} to the key alone. A server without one needs no --key-env.",
        ) from None


def address(url: str) -> str:
    """``url`` without the path of the API. Raises ``UsageError`` where it is no address."""
    refuse_secrets(url, _KEY_HINT)
    if not is_url(url) or "?" in url or "#" in url:
        raise UsageError(
            f"{without_secrets(url)!r} is not an address.",
            "An address is http or https, a host and a port, and optionally a path.",
            "Write it like http://127.0.0.1:11434.",
        )
    return without_api_path(url)


def refuse_secrets(url: str, fix: str) -> None:
    """Raise ``UsageError`` where ``url`` holds a name and a password; it does not repeat them."""
    if "@" in url:
        raise UsageError(
            "The address holds a name and a password.",
            "Addresses are printed, logged and stored; secrets do not belong there.",
            fix,
        )


def without_secrets(text: str) -> str:
    """``text``, meant as an address, without the parts that could hold a secret."""
    return re.split(r"[?#]", text.rpartition("@")[2])[0]
