"""The network of containers whose engine needs none: they are reached, and reach no other machine.

Measured with Docker 20.10: in an internal network nothing outside this machine is reached and
no name is resolved, and ports can't be published. The host reaches a container at its own address.
"""

from __future__ import annotations

import contextlib
from typing import Any

import docker
import docker.errors

from stoker.engines.container_spec import (
    OFFLINE_NETWORK,
    OWNER,
    OWNER_LABEL,
    PORT_LABEL,
    ContainerLaunch,
)
from stoker.errors import StokerError


def ensure(client: docker.DockerClient) -> None:
    """Make the network where it is missing.

    Raises the client's errors, and ``StokerError`` where one of that name leads outside.
    """
    found = [net for net in client.networks.list(names=[OFFLINE_NETWORK]) if _is_it(net)]
    if not found:
        labels = {OWNER_LABEL: OWNER}
        client.networks.create(OFFLINE_NETWORK, driver="bridge", internal=True, labels=labels)
    elif not found[0].attrs.get("Internal"):
        raise StokerError(
            f"The Docker network {OFFLINE_NETWORK} leads outside.",
            "Stoker runs engines there that need no network, so that they have no way out.",
            f"Remove it, and Stoker makes it again: docker network rm {OFFLINE_NETWORK}.",
        )


def remove_unused(client: docker.DockerClient) -> None:
    """Remove the network, unless another container uses it."""
    with contextlib.suppress(docker.errors.DockerException):
        for network in client.networks.list(names=[OFFLINE_NETWORK]):
            if _is_it(network) and (network.attrs.get("Labels") or {}).get(OWNER_LABEL) == OWNER:
                network.remove()


def wiring(launch: ContainerLaunch) -> dict[str, Any]:
    """How the container is reached, as Docker's client wants it."""
    if launch.offline:
        return {"network": OFFLINE_NETWORK}
    return {"ports": {f"{launch.inner_port}/tcp": ("127.0.0.1", launch.port)}}


def address(attrs: dict[str, Any]) -> tuple[str, int] | None:
    """Where this machine reaches a container's engine; ``None`` where it does not, or not yet."""
    networks = attrs.get("NetworkSettings", {}).get("Networks") or {}
    own = (networks.get(OFFLINE_NETWORK) or {}).get("IPAddress")
    port = (attrs["Config"].get("Labels") or {}).get(PORT_LABEL)
    if own and port:
        return own, int(port)
    bindings = (attrs.get("HostConfig", {}).get("PortBindings") or {}).values()
    ports = (int(b["HostPort"]) for bound in bindings for b in bound or () if b.get("HostPort"))
    return next((("127.0.0.1", port) for port in ports), None)


def _is_it(network: Any) -> bool:
    """The daemon's filter also finds names that contain this one."""
    return bool(network.name == OFFLINE_NETWORK)
