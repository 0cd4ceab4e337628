"""From readings to findings: one function a link, in the order of the chain."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from stoker.doctor import editors, machine, serving, sources
from stoker.doctor.finding import Finding, links
from stoker.doctor.readings import Readings

#: Link -> what judges it. A new link is one row here and one in data/doctor.toml.
JUDGES: Mapping[str, Callable[[Readings], Iterator[Finding]]] = {
    "driver": machine.driver,
    "cuda": machine.cuda,
    "containers": machine.containers,
    "toolkit": machine.toolkit,
    "port": machine.port,
    "disk": machine.disk,
    "memory": machine.memory,
    "models": sources.models,
    "hub": sources.hub,
    "proxy": sources.proxy,
    "engine": serving.engine,
    "gateway": serving.gateway,
    "endpoint": serving.endpoint,
    "tls": serving.tls,
    "clock": serving.clock,
    "editor": editors.editor,
    "extension": editors.extension,
    "setting": editors.setting,
    "old-settings": editors.old_settings,
    "chat": editors.chat,
    "looking": machine.looking,
}


def diagnose(readings: Readings) -> tuple[Finding, ...]:
    """What can be said of every link, in the order of the chain. Pure."""
    return tuple(f for link in links() for f in JUDGES[link.id](readings))


def is_whole(findings: Iterable[Finding]) -> bool:
    """Whether a chat gets from the editor to the model and back: nothing is broken."""
    return not any(finding.state == "broken" for finding in findings)
