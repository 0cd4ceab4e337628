"""An engine that is a Python script: a real child process, started as the product starts one."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

from stoker.engines import Backend, ProcessLaunch
from stoker.models import Model
from stoker.planning import MemoryPrediction, Plan
from stoker.server.deployment_state import LaunchSpec
from stoker.server.engine_process import ProcessRun
from stoker.server.engine_run import StartProgress

PLAN = Plan(
    Model("coder", "gguf", "disk", "coder"),
    "llama.cpp",
    8192,
    1,
    (),
    MemoryPrediction(0, 0, 0, 0),
)
SLEEPS = "import time; time.sleep(60)"


@dataclass
class ScriptedEngine:
    """Runs the scripts one after the other, one for each start, and the last one again."""

    scripts: tuple[str, ...]
    progress_every_s: float = 5.0
    #: What each start was asked to run.
    specs: list[LaunchSpec] = field(default_factory=list)

    async def start(self, spec: LaunchSpec, progress: StartProgress) -> ProcessRun:
        script = self.scripts[min(len(self.specs), len(self.scripts) - 1)]
        self.specs.append(spec)
        launch = ProcessLaunch((sys.executable, "-c", script))
        nowhere = Backend("http://127.0.0.1:9", spec.plan.engine)  # nothing answers there
        return await ProcessRun.start(launch, nowhere, self.progress_every_s)
