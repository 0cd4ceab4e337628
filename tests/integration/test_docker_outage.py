"""An outage of the Docker daemon does not count as the end of the engine."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest
from tests.support import docker_daemon

from stoker.engines import ContainerLaunch
from stoker.server import ports
from stoker.server.engine_container import ContainerRun

pytestmark = pytest.mark.docker


def test_daemon_that_goes_away_makes_the_engine_silent_and_not_ended(tmp_path: Path) -> None:
    launch = ContainerLaunch(
        name="engine",
        image=docker_daemon.BASE_IMAGE,
        command=("python3", "-u", "-c", "print('hello'); import time; time.sleep(600)"),
        inner_port=8000,
        port=ports.any_free(),
        env={"VLLM_API_KEY": "k"},
    )

    async def begin(endpoint: str) -> ContainerRun:
        return await ContainerRun.start(
            launch, "vllm", endpoint=endpoint, replace=False, report=lambda _: None
        )

    async def first_line(run: ContainerRun) -> str:
        lines = run.lines()
        async with contextlib.aclosing(lines):  # type: ignore[type-var]
            return await anext(lines)

    with docker_daemon.running(tmp_path) as endpoint:
        docker_daemon.import_base(endpoint)
        run = asyncio.run(begin(endpoint))
        assert run.backend.key == "k"
        assert asyncio.run(first_line(run)) == "hello"
        assert not asyncio.run(run.ended())
        assert asyncio.run(run.silent()) is None
    assert not asyncio.run(run.ended())
    silent = asyncio.run(run.silent())
    assert silent is not None
    asyncio.run(run.end(grace_s=1))
