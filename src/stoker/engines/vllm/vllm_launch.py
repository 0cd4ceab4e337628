"""How vLLM is started: the arguments, and the container or process around them.

Facts about flags are of vLLM 0.10 to 0.32, read in its sources and checked against 0.32.0 running
(tests marked ``vllm``).
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from stoker import paths
from stoker.engines.base import Options, ProcessLaunch
from stoker.engines.container_spec import SHM_BYTES, ContainerLaunch, Mount
from stoker.engines.vllm.vllm_kv_offloading import region_bytes, without_offloading
from stoker.errors import StokerError, UsageError
from stoker.planning import Argument, Plan

VERSION = "0.32.0"
#: https://docs.vllm.ai/en/latest/deployment/docker/ and
#: https://docs.vllm.ai/en/latest/getting_started/installation/cpu/ (the CPU image needs AVX-512:
#: https://github.com/vllm-project/vllm/issues/18660)
GPU_IMAGE = f"vllm/vllm-openai:v{VERSION}"
#: https://docs.vllm.ai/en/latest/getting_started/installation/gpu/ has it for AMD.
ROCM_IMAGE = f"vllm/vllm-openai-rocm:v{VERSION}"
CPU_IMAGE = f"public.ecr.aws/q9t5s3a7/vllm-cpu-release-repo:v{VERSION}"
CONTAINER = "vllm-server"
#: The variable from which vLLM takes the key that requests must carry (vllm/envs.py).
KEY_VARIABLE = "VLLM_API_KEY"
#: vLLM imports it by its name (``in_engine/stoker_key_guard.py``).
KEY_GUARD = "stoker_key_guard.KeyGuard"
_GUARD_FOLDER = Path(__file__).parent / "in_engine"
_INNER_PORT = 8000
_INNER_HUB = "/root/.cache/huggingface"
_INNER_COMPILED = "/root/.cache/vllm"
_INNER_MODEL = "/model"
_INNER_GUARD = "/stoker"
#: Variables that are no secret, each with its reason.
SHOWN_ENV = {
    "PYTHONPATH": "where vLLM finds the check of its key",
    "VLLM_NO_USAGE_STATS": "vLLM reports to its makers how it is used, unless this is set",
    "HF_HUB_OFFLINE": "nothing is asked of the model hub: the weights are here",
    "VLLM_HOST_IP": "vLLM's processes meet on loopback",
    "VLLM_CPU_KVCACHE_SPACE": "the KV cache's size in GiB: on the CPU vLLM takes it from here",
}
#: Where vLLM's processes meet: without this it looks for the address that leads outside.
OFFLINE_ENV = {"HF_HUB_OFFLINE": "1", "VLLM_HOST_IP": "127.0.0.1"}
_HUB_REASON = "models stay on the host: a new container need not download them again"


def launch(plan: Plan, *, port: int, key: str, options: Options) -> ProcessLaunch | ContainerLaunch:
    """vLLM as a process of the environment that ``options`` names, or else as a container."""
    require_folder(plan)
    if not _is_planned_version(options):
        plan = replace(plan, arguments=without_offloading(plan.arguments))
    env = {KEY_VARIABLE: key, **_cpu_env(plan, options), **_network_env(plan)}
    if options.python is not None:
        model = str(plan.model.path or plan.model.id)
        given = arguments(plan, model)
        listen = ("--host", "127.0.0.1", "--port", str(port))
        # A module, not the script `vllm`: vLLM's builds for the CPU have a script that fails.
        module = "vllm.entrypoints.openai.api_server"
        argv = (options.python, "-m", module, *flags(given), *listen)
        folders = filter(None, (str(_GUARD_FOLDER), os.environ.get("PYTHONPATH")))
        env |= {"PYTHONUNBUFFERED": "1", "PYTHONPATH": os.pathsep.join(folders)}
        return ProcessLaunch(argv=argv, arguments=given, env=env)
    model, mounts = _placed(plan)
    given = arguments(plan, model)
    return ContainerLaunch(
        name=options.name or CONTAINER,
        image=options.image or _image(options),
        command=flags(given),
        inner_port=_INNER_PORT,
        port=port,
        arguments=given,
        mounts=_with_own(mounts, options.volumes),
        gpus=options.gpus,
        devices=options.devices,
        groups=options.groups,
        host_ipc=not options.private_ipc,
        shm_bytes=SHM_BYTES + region_bytes(plan),
        offline=options.offline_network and plan.model.path is not None,
        env={**env, "PYTHONPATH": _INNER_GUARD},
        shown_env=SHOWN_ENV,
    )


def own_environment() -> Path:
    """The environment with vLLM in Stoker's cache; it may not be there yet."""
    return paths.cache_dir() / f"vllm-{VERSION}"


def own_python() -> str:
    """The Python of that environment."""
    return str(own_environment() / "bin" / "python")


def _is_planned_version(options: Options) -> bool:
    """Whether ``VERSION`` is what runs: an image or a Python of the user's may have another."""
    if options.python is not None:
        return options.python == own_python()
    return options.image is None


def _image(options: Options) -> str:
    if options.devices:
        return ROCM_IMAGE
    return GPU_IMAGE if options.gpus else CPU_IMAGE


def arguments(plan: Plan, model: str) -> tuple[Argument, ...]:
    """``model`` as vLLM finds it, the plan's arguments in its spelling, and what all are given."""
    at_hub = plan.model.path is None
    weights = Argument(
        "model",
        model,
        "its id at the model hub: vLLM fetches what is not there yet"
        if at_hub
        else f"the folder with its files, {plan.model.path}, as vLLM sees it",
    )
    served = Argument(
        "served-model-name", plan.model.served_name, "the name that clients see and ask for"
    )
    details = Argument(
        "enable-prompt-tokens-details",
        True,
        "answers report how much of a prompt the prefix cache held: stoker bench compares by it",
    )
    guard = Argument(
        "middleware",
        KEY_GUARD,
        "every path but /health asks for the key: vLLM itself leaves /invocations, /tokenize, "
        "/metrics and others open",
    )
    planned = (Argument(_spelled(a.name), a.value, a.reason) for a in plan.arguments)
    return (weights, *planned, served, details, guard)


def flags(given: Sequence[Argument]) -> tuple[str, ...]:
    """The arguments as vLLM's command line takes them; one that is empty keeps vLLM's default."""
    found: list[str] = []
    for argument in given:
        if argument.value == "":
            continue
        if argument.value is True:
            found.append(f"--{argument.name}")
        elif argument.value is False:
            found.append(f"--no-{argument.name}")
        else:
            found += [f"--{argument.name}", str(argument.value)]
    return tuple(found)


def _spelled(argument: str) -> str:
    return argument.lstrip("-").replace("_", "-")


def _cpu_env(plan: Plan, options: Options) -> dict[str, str]:
    """On the CPU vLLM takes its KV cache's size from the environment, in whole GiB."""
    if options.gpus or options.devices or plan.argument("kv_cache_memory_bytes") is not None:
        return {}
    return {"VLLM_CPU_KVCACHE_SPACE": str(max(1, math.ceil(plan.memory.kv_cache_bytes / 1024**3)))}


def _network_env(plan: Plan) -> dict[str, str]:
    """What vLLM may ask for over the network: with weights on this machine, nothing."""
    asks_hub = plan.model.path is None
    return {"VLLM_NO_USAGE_STATS": "1", **(_hub_env() if asks_hub else OFFLINE_ENV)}


def _hub_env() -> dict[str, str]:
    names = ("HF_TOKEN", "HF_ENDPOINT", "HF_HUB_OFFLINE", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY")
    return {n: os.environ[n] for n in names if os.environ.get(n)}


def _placed(plan: Plan) -> tuple[str, tuple[Mount, ...]]:
    """The model as the container sees it, and what to mount for that."""
    compiled = Mount(
        str(paths.cache_dir() / "vllm-compiled"),
        _INNER_COMPILED,
        "what torch.compile made is kept: the next start skips that minute",
    )
    hub = Path(os.environ.get("HF_HOME") or Path.home() / ".cache/huggingface")
    guard = Mount(
        str(_GUARD_FOLDER), _INNER_GUARD, "the check of its key, which vLLM loads", read_only=True
    )
    path = plan.model.path
    if path is None or path.is_relative_to(hub):
        # A snapshot in the hub's cache is links to files beside it: the whole cache is needed.
        inside = plan.model.id if path is None else f"{_INNER_HUB}/{path.relative_to(hub)}"
        return inside, (Mount(str(hub), _INNER_HUB, _HUB_REASON), compiled, guard)
    model = Mount(str(path.resolve()), _INNER_MODEL, "the model's folder, to read", read_only=True)
    return _INNER_MODEL, (model, compiled, guard)


def _with_own(mounts: Sequence[Mount], volumes: Sequence[str]) -> tuple[Mount, ...]:
    """Stoker's mounts and the user's: where both have one place inside, the user's counts.

    Raises ``UsageError`` for the place of the key check: vLLM would find none, and end.
    """
    own = tuple(Mount.parse(volume) for volume in volumes)
    targets = {mount.target for mount in own}
    if _INNER_GUARD in targets:
        raise UsageError(
            f"The place {_INNER_GUARD} in vLLM's container is taken.",
            "Stoker mounts the check of the engine's key there.",
            "Mount the volume at another place.",
        )
    return (*(mount for mount in mounts if mount.target not in targets), *own)


def require_folder(plan: Plan) -> None:
    """vLLM serves Hugging Face folders. Raises ``StokerError`` for another format."""
    if plan.model.format != "safetensors":
        raise StokerError(
            f"vLLM can't serve {plan.model.id}.",
            f"Its files are {plan.model.format}, and vLLM needs a Hugging Face folder.",
            "Use llama.cpp for it: stoker up --engine llama.cpp.",
        )
