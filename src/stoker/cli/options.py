"""Options that several commands take, so that they read and behave the same everywhere."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from stoker.errors import UsageError

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, for programs.")]
KeyEnv = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="The environment variable that holds its key."),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Answer every question with yes.")]


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
    if not url.startswith(("http://", "https://")):
        raise UsageError(f"{url!r} is not an address.", fix="Write it like http://127.0.0.1:11434.")
    return url.rstrip("/").removesuffix("/v1")


def count_without_name(count: int) -> UsageError:
    """What is wrong with ``--gpus`` where no ``--gpu`` says of which."""
    return UsageError(
        f"--gpus {count} does not say which GPU.",
        "It is the number of GPUs of an imagined machine; of this one all are used.",
        f'Name it: --gpu "RTX 4090" --gpus {count}. Or leave --gpus out.',
    )
