"""Starts an engine the way its launch asks for: as a process, in a container, or not at all."""

from __future__ import annotations

import secrets
from dataclasses import replace
from functools import partial

import aiohttp

from stoker import engines
from stoker.engines import Backend, ContainerLaunch
from stoker.server import ports
from stoker.server.deployment_state import LaunchSpec
from stoker.server.engine_external import ExternalRun
from stoker.server.engine_process import ProcessRun
from stoker.server.engine_run import EngineRun, StartProgress


class PlannedEngineFactory:
    """Starts the planned engine. Each start has a new port and a new key."""

    def __init__(
        self, http: aiohttp.ClientSession, slot_folder: str | None = None, *, niceness: int = 0
    ) -> None:
        self._http = http
        self._niceness = niceness
        #: Where the engine keeps what it has read, over all its starts.
        self._slot_folder = slot_folder

    async def start(self, spec: LaunchSpec, progress: StartProgress) -> EngineRun:
        """Start the engine of ``spec``."""
        plan, stands_back = spec.plan, self._niceness > 0
        options = replace(spec.options, slot_folder=self._slot_folder, stands_back=stands_back)
        if options.adopted is not None:
            external = Backend(options.adopted, plan.engine, options.key)
            client = engines.server_client(plan.engine)
            return ExternalRun(external, partial(client.ready, self._http, external))
        key, port = secrets.token_urlsafe(32), ports.any_free()
        launch = engines.get(plan.engine).launch(plan, port=port, key=key, options=options)
        if isinstance(launch, ContainerLaunch):
            return await _start_container(launch, spec, progress)
        backend = Backend(f"http://127.0.0.1:{port}", plan.engine, key)
        return await ProcessRun.start(launch, backend, niceness=self._niceness)


async def _start_container(
    launch: ContainerLaunch, spec: LaunchSpec, progress: StartProgress
) -> EngineRun:
    from stoker.server.engine_container import ContainerRun  # noqa: PLC0415  (slow to import)

    progress.container(launch.name)
    return await ContainerRun.start(
        launch,
        spec.plan.engine,
        endpoint=spec.options.endpoint,
        replace=spec.replace,
        report=progress.note,
    )
