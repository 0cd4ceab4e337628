"""llama.cpp's own server image as a container: which one, and the plan as its command line.

Images and tags: docs/docker.md and .github/workflows/docker.yml of llama.cpp; flags and the
variable with the key: common/arg.cpp (b11434), and the parser of b11549 (tests marked ``docker``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from stoker.engines.base import Options
from stoker.engines.container_spec import ContainerLaunch, Mount
from stoker.engines.placement import KFD
from stoker.planning import Argument, Plan
from stoker.planning.serving_plan import Value

#: The build of the pinned images: the release v0.7.0, whose tags all families have.
BUILD = "b11382"
_REPOSITORY = "ghcr.io/ggml-org/llama.cpp"
CONTAINER = "llama-cpp-server"
#: The variable from which llama.cpp's server takes the key that requests must carry.
KEY_VARIABLE = "LLAMA_API_KEY"
#: Where the image's own health check asks.
_INNER_PORT = 8080
_INNER_MODELS = "/models"
#: Names of the plan (``xllamacpp.CommonParams``) whose flag is not the same word.
_FLAGS = {
    "n_ctx": "ctx-size",
    "n_parallel": "parallel",
    "cpuparams.n_threads": "threads",
    "cpuparams_batch.n_threads": "threads-batch",
    "n_gpu_layers": "n-gpu-layers",
    "tensor_buft_overrides": "override-tensor",
    "n_batch": "batch-size",
    "n_ubatch": "ubatch-size",
    "flash_attn_type": "flash-attn",
    "cache_ram_mib": "cache-ram",
    "fit_params": "fit",
    "n_threads_http": "threads-http",
    "slot_save_path": "slot-save-path",
    "speculative.types": "spec-type",
    "speculative.draft.n_max": "spec-draft-n-max",
}
_CACHE_TYPES: Mapping[Value, str] = {0: "f32", 1: "f16", 8: "q8_0", 30: "bf16"}
#: Values that the command line names otherwise: llama.h, ggml.h and common.h have the numbers.
_WORDS: Mapping[str, Mapping[Value, str]] = {
    "n_gpu_layers": {-1: "all", -2: "all"},
    "flash_attn_type": {-1: "auto", 0: "off", 1: "on"},
    "fit_params": {False: "off", True: "on"},
    "cache_type_k": _CACHE_TYPES,
    "cache_type_v": _CACHE_TYPES,
}
#: One of the files that a large GGUF is split into (src/llama.cpp, ``llama_split_path``).
_PART = re.compile(r"(.*)-\d{5}-of-(\d{5})\.gguf")


def image(options: Options) -> str:
    """The image for the GPU that the options pass on; without one, that for the CPU."""
    if options.image:
        return options.image
    family = "-cuda" if options.gpus else ""
    if options.devices:
        family = "-rocm" if KFD in options.devices else "-vulkan"
    return f"{_REPOSITORY}:server{family}-{BUILD}"


def launch(
    plan: Plan, *, port: int, key: str, options: Options, env: Mapping[str, str], http_threads: int
) -> ContainerLaunch:
    """The container. Before the download its model's file has no place on the host yet."""
    path = plan.model.path
    given = (*_around(plan, http_threads), *plan.arguments)
    own = tuple(Mount.parse(volume) for volume in options.volumes)
    return ContainerLaunch(
        name=options.name or CONTAINER,
        image=image(options),
        command=flags(given),
        inner_port=_INNER_PORT,
        port=port,
        arguments=given,
        mounts=(*(_mounts(path) if path else ()), *own),
        gpus=options.gpus,
        devices=options.devices,
        groups=options.groups,
        host_ipc=False,
        offline=options.offline_network,
        env={KEY_VARIABLE: key, **env},
        shown_env=dict.fromkeys(env, "a thread that waits for others sleeps soon"),
    )


def flags(given: Sequence[Argument]) -> tuple[str, ...]:
    """The arguments as ``llama-server`` takes them; one that is empty keeps its default."""
    return tuple(part for one in given if one.value != "" for part in _parts(one))


def _parts(argument: Argument) -> Iterator[str]:
    value = _word(argument)
    yield f"--{'no-' if value is False else ''}{_flag(argument.name)}"
    if not isinstance(value, bool):
        yield str(value)


def _flag(name: str) -> str:
    return _FLAGS.get(name, name.replace("_", "-"))


def _word(argument: Argument) -> Value:
    return _WORDS.get(argument.name, {}).get(argument.value, argument.value)


def _around(plan: Plan, http_threads: int) -> tuple[Argument, ...]:
    """What every plan is given beside its own arguments."""
    path = plan.model.path
    name = path.name if path else f"{plan.model.served_name}.gguf"
    where = f"{path}, as the container sees it" if path else "what is downloaded before the start"
    return (
        Argument("model", f"{_INNER_MODELS}/{name}", where),
        Argument("alias", plan.model.served_name, "the name that clients see and ask for"),
        Argument("host", "0.0.0.0", "inside the container; only this machine reaches it there"),  # noqa: S104
        Argument("port", _INNER_PORT, "where the image's own health check asks"),
        Argument("ui", False, "no page of its own: clients go through the gateway"),
        Argument(
            "n_threads_http", http_threads, "with fewer, many short questions at once keep others"
        ),
    )


def _mounts(path: Path) -> tuple[Mount, ...]:
    """Each file of the model by itself: in a hub's cache they are links to files elsewhere."""
    part = _PART.fullmatch(path.name)
    files = sorted(path.parent.glob(f"{part[1]}-*-of-{part[2]}.gguf")) if part else [path]
    return tuple(
        Mount(str(file.resolve()), f"{_INNER_MODELS}/{file.name}", "the model, to read", True)
        for file in files
    )
