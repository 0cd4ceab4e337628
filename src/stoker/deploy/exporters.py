"""The one table of formats."""

from __future__ import annotations

import importlib
from typing import cast

from stoker.deploy.exporter import Exporter
from stoker.errors import UsageError

#: The name of each format, and the module whose ``EXPORTER`` it is.
#:
#: To add a format is to add a file and a row.
EXPORTERS: dict[str, str] = {
    "compose": "stoker.deploy.compose",
    "systemd": "stoker.deploy.systemd",
    "quadlet": "stoker.deploy.quadlet",
    "kubernetes": "stoker.deploy.kubernetes.kubernetes_exporter",
    "helm": "stoker.deploy.kubernetes.helm_exporter",
}


def exporter_for(name: str) -> Exporter:
    """The exporter for a format. Raises ``UsageError`` for an unknown one."""
    if name not in EXPORTERS:
        raise UsageError(
            f"There is no deployment format called {name!r}.",
            fix=f"Choose one of: {', '.join(EXPORTERS)}.",
        )
    return cast(Exporter, importlib.import_module(EXPORTERS[name]).EXPORTER)
