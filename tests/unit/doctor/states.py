"""Hand-written states of the whole chain: a healthy one, and functions that change it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from stoker.doctor.snapshot import EndpointReading, ListedModel, ModelFile, Port, Readings
from stoker.engines import Options
from stoker.errors import Problem
from stoker.host import ContainerRuntime, Cpu, Disk, Gpu, GpuProcess, Host, HubAnswer, Memory
from stoker.models import Kept, Model
from stoker.planning import MemoryPrediction, Plan
from stoker.server import CompletionSpec, Deployment, LaunchSpec, LiveState, ProcessId
from stoker.server.engine_state import EngineState
from stoker.vscode import Editor, Look, SettingsFile, Shipped, Versions

GIB = 1024**3
HERE = "http://127.0.0.1:8000"
REMOTE = "https://models.example.com"
SETTING = "huggingface.customTGIEndpoint"
UTILITY = "chat.byokUtilityModelDefault"
ANONYMOUS = "chat.allowAnonymousAccess"
USER = Path("/home/ada/.config/Code/User/settings.json")
WORKSPACE = Path("/home/ada/secret-project/.vscode/settings.json")

NO_DOCKER = ContainerRuntime("docker", reachable=False, problem="Docker is not installed.")
NO_PODMAN = ContainerRuntime("podman", reachable=False, problem="Podman is not installed.")
DOCKER_OFF = replace(NO_DOCKER, problem="Docker is installed, but its daemon is not running.")
DOCKER = ContainerRuntime(
    "docker", reachable=True, version="28.3.1", endpoint="unix:///var/run/docker.sock", nvidia=True
)
RTX = Gpu(
    0,
    "nvidia",
    "NVIDIA GeForce RTX 4090",
    24 * GIB,
    23 * GIB,
    compute_capability=(8, 9),
    driver="580.65.06",
    cuda="13.0",
)

HOST = Host(
    "Linux",
    "x86_64",
    Cpu("Some CPU", 8, 16),
    Memory(32 * GIB, 24 * GIB),
    Disk("/home/ada/.cache/stoker", 500 * GIB, 200 * GIB),
    runtimes=(NO_DOCKER, NO_PODMAN),
)
MODEL = Model(
    "qwen2.5-coder-7b", "gguf", "hub", "qwen2.5-coder-7b", Path("/home/ada/m.gguf"), "Q4_K_M"
)
PLAN = Plan(MODEL, "llama.cpp", 32768, 1, (), MemoryPrediction(0, 0, 0, 0))
DEPLOYMENT = Deployment(
    LaunchSpec(PLAN, "127.0.0.1", 8000), LiveState("ready", ProcessId(100, 1.0), ready_at=2.0)
)
ANSWERS = EndpointReading(
    HERE,
    status=200,
    models=(ListedModel("qwen2.5-coder-7b", 65536),),
    stoker_version="0.1.0",
    ready=True,
    took_ms=3,
)


def settings(
    endpoint: object = None, utility: object = None, others: Mapping[str, object] | None = None
) -> SettingsFile:
    """The user's settings file. With a utility model, chat also works without an account."""
    anonymous = True if utility is not None else None
    values = {SETTING: endpoint, UTILITY: utility, ANONYMOUS: anonymous, **(others or {})}
    return SettingsFile(USER, "user", {k: v for k, v in values.items() if v is not None})


def look(*files: SettingsFile, name: str = "VS Code", **versions: Any) -> Look:
    """An editor with these settings files."""
    known: dict[str, Any] = {"vscode": "1.139.1", "listed": True, "extension": "0.1.0", **versions}
    where = USER if name == "VS Code" else USER.parents[2] / name / "User/settings.json"
    return Look(Editor(name, Path("/usr/bin/code"), where), Versions(**known), files)


CONNECTED = settings(HERE, "mainAgent")

#: Nothing is installed, and nothing runs.
EMPTY = Readings(
    host=HOST,
    shipped=Shipped("0.1.0", "1.106.0"),
    stoker_version="0.1.0",
    port=Port("127.0.0.1", 8000, free=True),
    hub=HubAnswer(True, clock_ahead_s=0.0),
)
#: A deployment that VS Code uses.
HEALTHY = replace(
    EMPTY,
    port=Port("127.0.0.1", 8000, free=False, holder="python (pid 100)"),
    deployment=DEPLOYMENT,
    running=True,
    engine_alive=True,
    model_file=ModelFile(Path("/home/ada/m.gguf"), 5 * GIB, 5 * GIB),
    kept=Kept(Path("/home/ada/.cache/stoker/models"), 5 * GIB),
    models_here=1,
    editors=(look(CONNECTED),),
    connected=(str(USER),),
    endpoints={HERE: ANSWERS},
)


def host(**changes: Any) -> Readings:
    """The healthy chain on another machine."""
    return replace(HEALTHY, host=replace(HOST, **changes))


def deployed(
    options: Options | None = None,
    plan: Plan = PLAN,
    bind: str = "127.0.0.1",
    insecure: bool = False,
    **state: Any,
) -> Readings:
    """The healthy chain with another deployment."""
    options = options or Options()
    spec = replace(DEPLOYMENT.spec, plan=plan, options=options, bind=bind, insecure=insecure)
    ours = Deployment(spec, replace(DEPLOYMENT.state, **state))
    return replace(HEALTHY, deployment=ours)


def completing(status: EngineState, problem: Problem | None = None) -> Readings:
    """The healthy chain with an engine that completes code beside the other one."""
    spec = replace(DEPLOYMENT.spec, completion=CompletionSpec(PLAN))
    state = LiveState(status, problem=problem)
    ours = replace(DEPLOYMENT, spec=spec, completion=state)
    return replace(HEALTHY, deployment=ours)


def answering(text: str = HERE, **changes: Any) -> Readings:
    """The healthy chain with another answer at its endpoint."""
    return replace(HEALTHY, endpoints={text: replace(ANSWERS, url=text, **changes)})


def remote(url: str = REMOTE, **changes: Any) -> Readings:
    """Nothing runs here; VS Code uses a server elsewhere."""
    there = replace(ANSWERS, url=url, stoker_version=None, ready=None)
    return replace(
        EMPTY,
        editors=(look(settings(endpoint=url, utility="mainAgent")),),
        endpoints={url: replace(there, **changes)},
    )


def in_editor(*files: SettingsFile, **versions: Any) -> Readings:
    """The healthy chain with other settings or versions in the editor."""
    old = EndpointReading("http://127.0.0.1:1234", failure="refused")
    other = replace(ANSWERS, url="http://gpu-box:8000")
    bad = EndpointReading("ftp://x", failure="invalid")
    there = {HERE: ANSWERS, old.url: old, other.url: other, bad.url: bad}
    return replace(HEALTHY, editors=(look(*(files or (CONNECTED,)), **versions),), endpoints=there)


def gpu_process(gib: int, pid: int = 7) -> GpuProcess:
    """A program that holds GPU memory."""
    return GpuProcess(pid, "blender", gib * GIB)
