"""Turns readings into findings: one function for each link, in the order of the chain."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from stoker.doctor import hardware_checks, model_source_checks, server_checks, vscode_checks
from stoker.doctor.finding import Finding, links
from stoker.doctor.snapshot import Readings

#: Link id -> the function that checks it. A new link is one row here and one in data/doctor.toml.
CHECKS: Mapping[str, Callable[[Readings], Iterator[Finding]]] = {
    "driver": hardware_checks.driver,
    "cuda": hardware_checks.cuda,
    "containers": hardware_checks.containers,
    "toolkit": hardware_checks.toolkit,
    "port": hardware_checks.port,
    "disk": hardware_checks.disk,
    "memory": hardware_checks.memory,
    "models": model_source_checks.models,
    "hub": model_source_checks.hub,
    "proxy": model_source_checks.proxy,
    "engine": server_checks.engine,
    "gateway": server_checks.gateway,
    "endpoint": server_checks.endpoint,
    "tls": server_checks.tls,
    "clock": server_checks.clock,
    "editor": vscode_checks.editor,
    "extension": vscode_checks.extension,
    "setting": vscode_checks.setting,
    "old-settings": vscode_checks.old_settings,
    "chat": vscode_checks.chat,
    "looking": hardware_checks.looking,
}


def diagnose(readings: Readings) -> tuple[Finding, ...]:
    """The findings of every link, in the order of the chain. Pure."""
    return tuple(f for link in links() for f in CHECKS[link.id](readings))


def is_whole(findings: Iterable[Finding]) -> bool:
    """Whether a chat message reaches the model and its answer comes back: nothing is broken."""
    return not any(finding.state == "broken" for finding in findings)
