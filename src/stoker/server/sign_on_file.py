"""Sign-on for what ``stoker up`` and ``stoker adopt`` run, which have no configuration file."""

from __future__ import annotations

import os
from pathlib import Path

from stoker import paths
from stoker.access.sign_on.sign_on_rules import NO_SIGN_ON, SignOnRules


def path() -> Path:
    """The file that the user writes: the sections ``issuer``, ``proxy`` and ``grant``."""
    return paths.config_dir() / "sign-on.toml"


def rules() -> SignOnRules:
    """Its rules; none where there is no file. Raises ``UsageError`` for a mistake."""
    # A link that leads nowhere is a mistake, too: without its rules the gateway would be open.
    if not os.path.lexists(path()):
        return NO_SIGN_ON
    from stoker.gateway import gateway_config  # noqa: PLC0415  (60 ms, and few have the file)

    return gateway_config.load_sign_on(path())
