"""How llama.cpp is started: a child process around xllamacpp's server, or its makers' image."""

from __future__ import annotations

import json
import sys

from stoker.engines.base import LogMarks, Options, PlacementRequest, ProcessLaunch
from stoker.engines.container_spec import ContainerLaunch
from stoker.engines.llama_cpp import llama_container, llama_drafts, xllamacpp_package
from stoker.engines.llama_cpp.llama_experts import ARGUMENT as EXPERTS
from stoker.engines.llama_cpp.llama_slots import FOLDER
from stoker.engines.llama_cpp.llama_worker import HTTP_THREADS
from stoker.errors import StokerError
from stoker.host import Host
from stoker.planning import Argument, Plan

#: How long a thread that has finished its part spins before it sleeps (libgomp's own default is
#: for a machine of one's own). An editor, a browser and a build share the cores with the model:
#: there a spinning thread takes the core from the one that it waits for. Measured with
#: ``benchmarks/llama_threads.py`` on 2 cores and SmolLM2-135M, with 4 busy programs beside it:
#: 16 tokens/s instead of 1 to 2. On idle cores it costs the smallest model 12% (70 tokens/s
#: instead of 82) and Qwen2.5-Coder-0.5B nothing (26).
_THREADS = {"GOMP_SPINCOUNT": "1000"}

#: What the worker prints when its server listens (``llama_worker``).
_READY = "stoker: ready on"
#: The others are of llama-server, which logs the same without Stoker's worker around it: its
#: builds of 2024 to b11549.
LOG_MARKS = LogMarks(
    starts=("load_model: loading model '", "main: loading model"),
    ready=(_READY, "server is listening on http", "init: listening on http", "all slots are idle"),
)

#: Text that llama.cpp's server logs, and the phase that begins there. Seen in build b11549.
_PHASES = (
    ("loading model", "load"),
    ("llama threadpool init", "warm up"),
    (_READY, "ready"),
    ("init: listening on http", "ready"),
)


def launch(plan: Plan, *, port: int, key: str, options: Options) -> ProcessLaunch | ContainerLaunch:
    """A container where the options have one, else a worker around ``xllamacpp.Server``.

    Raises ``StokerError`` where xllamacpp is not installed.
    """
    plan = plan.with_arguments(_counters(plan))
    if options.endpoint is not None:
        return llama_container.launch(
            plan, port=port, key=key, options=options, env=_THREADS, http_threads=HTTP_THREADS
        )
    if not xllamacpp_package.installed():
        raise xllamacpp_package.not_installed()
    arguments = (*plan.arguments, *_slot_folder(options))
    # Only Linux ends a stopped process with its parent.
    pausable = options.stands_back and sys.platform == "linux"
    spec = {
        "model": str(plan.model.path),
        "alias": plan.model.served_name,
        "port": port,
        "key": key,
        "arguments": {a.name: a.value for a in arguments},
        "ends_with_parent": pausable,
    }
    argv = (sys.executable, "-m", "stoker.engines.llama_cpp.llama_worker")
    return ProcessLaunch(
        argv=argv,
        env=_THREADS,
        arguments=arguments,
        stdin=json.dumps(spec) + "\n",
        pausable=pausable,
    )


def _counters(plan: Plan) -> tuple[Argument, ...]:
    """What has it count its drafts for ``stoker status``."""
    if not llama_drafts.drafts(plan):
        return ()
    return (Argument("endpoint_metrics", True, "It reports there how many drafts were right."),)


def _slot_folder(options: Options) -> tuple[Argument, ...]:
    if options.slot_folder is None:
        return ()
    reason = "What was read is kept here, so that the next start need not read it again."
    # llama.cpp puts a file's name right behind it.
    return (Argument(FOLDER, f"{options.slot_folder}/", reason),)


def runs_on_gpu(plan: Plan) -> bool:
    """Whether any layer is on a GPU: the user may have set another number than was planned."""
    layers = plan.argument("n_gpu_layers")
    return plan.gpus > 0 if layers is None else layers != 0


def computes_on_cpu(plan: Plan) -> bool:
    """Whether a layer or its experts are left to the CPU. -1 stands for all layers."""
    layers = plan.argument("n_gpu_layers")
    if not runs_on_gpu(plan) or plan.argument(EXPERTS) is not None:
        return True
    return layers is not None and layers != -1


def phase(line: str) -> str | None:
    """The phase that this log line begins."""
    return next((phase for text, phase in _PHASES if text in line), None)


def obstacle(host: Host, wanted: PlacementRequest) -> StokerError | None:
    """Why llama.cpp can't be started; of a machine elsewhere it is taken to be installed."""
    if not wanted.here or wanted.image is not None or xllamacpp_package.installed():
        return None
    return xllamacpp_package.not_installed()


def assumed(plan: Plan, host: Host) -> str:
    """The build that a host elsewhere is taken to have; on the CPU any will do."""
    if not plan.gpus:
        return ""
    # The wheels for macOS use the GPU.
    own = "" if host.system == "Darwin" else " (the one on PyPI uses the CPU)"
    return f"llama.cpp built for its GPU{own}, or Docker whose containers reach it"
