"""A site runs in Docker from the folder that ``stoker deploy compose`` wrote, with real vLLM.

Two replicas, two routers, two gateways, PostgreSQL, Redis and nginx. No request is lost that has
not begun to stream: not where a replica and a gateway die, and not in a change of the model.

It takes minutes and 8 GB, so it runs where ``STOKER_DOCKER_SITE=1`` asks for it; with
``STOKER_SITE_CLIENTS=50 STOKER_SITE_LOAD_S=300`` in its long form.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
from tests.support import composed_site, vllm_cpu
from tests.support.composed_site import ComposedSite
from tests.support.one_layer import one_layer_folder
from tests.support.site_load import Load

from stoker.server.ports import any_free

pytestmark = [
    pytest.mark.docker,
    pytest.mark.skipif(
        os.environ.get("STOKER_DOCKER_SITE") != "1",
        reason="two real vLLM replicas in Docker: set STOKER_DOCKER_SITE=1",
    ),
]

_CLIENTS = int(os.environ.get("STOKER_SITE_CLIENTS", "12"))
_LOAD_S = float(os.environ.get("STOKER_SITE_LOAD_S", "60"))
_BEFORE, _AFTER = "smollm2", "smollm2-new"
#: A replica starts beside another one that works, on the same few cores.
_RETURN_S = 480.0


def plan(folder: Path, model: Path, served_name: str) -> Path:
    """A plan on the CPU, as ``stoker deploy --from`` reads it."""
    path = folder / f"{served_name}.json"
    wanted = vllm_cpu.plan(model, served_name, max_num_seqs=8)
    path.write_text(json.dumps({"plan": asdict(wanted)}, default=str))
    return path


@pytest.fixture
def change(
    docker_endpoint: str, tmp_path: Path
) -> Iterator[tuple[ComposedSite, Callable[[], None]]]:
    """A site that runs, and what writes the files of another model over its own."""
    mounts = composed_site.import_images(docker_endpoint)
    wheels = tmp_path / "wheels"
    composed_site.collect_wheels(wheels)
    model = one_layer_folder(vllm_cpu.installed().model, tmp_path)
    site = ComposedSite(tmp_path / "site", any_free(), docker_endpoint)
    site.write(plan(tmp_path, model, _BEFORE), wheels, mounts)
    site.run("./make-secrets.sh")
    try:
        site.run("docker", "compose", "up", "-d", "--build")
        site.await_healthy()
        yield site, lambda: site.write(plan(tmp_path, model, _AFTER), wheels, mounts)
    finally:
        site.run("docker", "compose", "down", "--volumes", "--timeout", "5")
        assert site.objects() == []


def clients(site: ComposedSite) -> Load:
    return Load(site.endpoint, site.key, _BEFORE, _CLIENTS, max_tokens=8, pause_s=4.0)


async def test_no_request_is_lost_to_crashes_and_to_a_change_of_the_model(
    change: tuple[ComposedSite, Callable[[], None]],
) -> None:
    site, write_other_model = change
    load = clients(site)
    async with load.asking():
        await asyncio.sleep(_LOAD_S / 6)
        await crash_and_return(site, ["replica-1", "gateway-1"], load_s=_LOAD_S)
    print("crashes:", dict(load.ended))
    assert load.faults == []
    assert load.ended["whole"] > 5 * _CLIENTS

    load = clients(site)
    async with load.asking():
        write_other_model()
        printed = await asyncio.to_thread(site.run, "./upgrade.sh")
        await asyncio.sleep(2)
    print("another model:", dict(load.ended))
    assert "Done" in printed
    assert load.faults == []
    assert load.ended["broken off"] == 0
    assert load.ended["whole"] > 5 * _CLIENTS
    assert site.models() == {_BEFORE, _AFTER}


async def crash_and_return(site: ComposedSite, services: list[str], *, load_s: float) -> None:
    """Kill them one after the other, and wait until Docker has brought all of them back."""
    began = time.monotonic()
    for service in services:
        site.kill(service)
        await asyncio.sleep(3)
    while not all(site.is_healthy(service) for service in services):
        assert time.monotonic() < began + _RETURN_S
        await asyncio.sleep(1)
    await asyncio.sleep(max(0.0, began + load_s - time.monotonic()))
    assert [site.restarts(service) for service in services] == [1] * len(services)
