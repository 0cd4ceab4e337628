"""``stoker version``: print the versions of Stoker, Python and the main libraries."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version

from stoker import __version__
from stoker.cli.options import Json
from stoker.cli.render import output

_PARTS = ("xllamacpp", "aiohttp", "huggingface_hub", "tokenizers")


def command(json: Json = False) -> None:
    """Show the versions of Stoker, Python and its main libraries."""
    versions = {"stoker": __version__, "python": platform.python_version()}
    versions |= {name: _version(name) for name in _PARTS}
    if json:
        output.as_json(versions)
        return
    for name, version in versions.items():
        output.say(f"{name:16} {version}")


def _version(name: str) -> str:
    try:
        return installed_version(name)
    except PackageNotFoundError:
        return "not installed"
