"""``stoker up``: look, choose, fetch, start, prove, connect."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from dataclasses import replace as replace_fields
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from stoker import addresses, checks, engines, models, paths, planning, runtime
from stoker import host as machine
from stoker.cli import adopt, code, output, start
from stoker.cli.options import Bind, Json, KeyEnv, Yes
from stoker.cli.progress import Download
from stoker.editor import ENDPOINT
from stoker.engines import Options, embedded
from stoker.errors import StokerError, UsageError
from stoker.models import Model
from stoker.planning import Plan
from stoker.runtime import Deployment, Run

_QUESTION = "Write a Python function is_prime(n). Only the code."
_ANSWER_TOKENS = 200
_BIND = "127.0.0.1"
_PORT = 8000
#: A download of this size is announced and, on a terminal, asked for first.
_ASK_ABOVE_BYTES = 2 * 1024**3


@dataclass(frozen=True)
class _Wishes:
    """What the person asked for."""

    model: str | None
    engine: str | None
    context: int | None
    parallel: int | None
    offline: bool
    quiet: bool
    yes: bool
    keep: bool
    #: Arguments of the engine that the person sets.
    engine_args: tuple[str, ...]
    python: str | None
    native: bool
    image: str | None
    name: str | None
    private_ipc: bool
    volumes: tuple[str, ...]
    #: A GPU to plan for instead of this machine's own.
    gpu: str | None

    @property
    def fixed(self) -> tuple[str, ...]:
        """Arguments that are the person's: Stoker does not change them after a failed start."""
        names = [arg.partition("=")[0].lstrip("-").replace("_", "-") for arg in self.engine_args]
        return (*names, "max-model-len") if self.context else tuple(names)

    @property
    def flags(self) -> tuple[str, ...]:
        """The same as ``stoker up`` takes it, but for the model: a fix's command repeats it."""
        values = {
            "engine": self.engine,
            "context": self.context,
            "parallel": self.parallel,
            "python": self.python,
            "image": self.image,
            "name": self.name,
        }
        switches = {
            "offline": self.offline,
            "native": self.native,
            "private-ipc": self.private_ipc,
        }
        return (
            *(f"--{name}={value}" for name, value in values.items() if value is not None),
            *(f"--{name}" for name, on in switches.items() if on),
            *(f"--engine-arg={argument}" for argument in self.engine_args),
            *(f"--volume={volume}" for volume in self.volumes),
        )

    @property
    def key(self) -> tuple[str, ...]:
        """What tells these wishes from others; the same model file is the same wish."""
        path = Path(self.model).expanduser() if self.model else None
        model = str(path.resolve()) if path and models.exists(path) else (self.model or "")
        numbers = (str(self.context or ""), str(self.parallel or ""))
        how = (self.python, self.native or "", self.image, self.name, self.private_ipc or "")
        others = (*(str(part or "") for part in how), *self.engine_args, *self.volumes)
        return (model, self.engine or "", *numbers, *others)


def command(
    model: Annotated[
        str | None,
        typer.Argument(help="A short name, a hub id, a GGUF file or a folder. Default: what fits."),
    ] = None,
    engine: Annotated[
        str | None, typer.Option(help="The engine to run it on. Default: what fits.")
    ] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="The gateway's port.")] = _PORT,
    bind: Bind = _BIND,
    context: Annotated[
        int | None,
        typer.Option(min=256, help="Context of one request in tokens. Default: what fits."),
    ] = None,
    parallel: Annotated[
        int | None,
        typer.Option(min=1, max=1024, help="Requests answered at the same time."),
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Use only what is on this machine.")
    ] = False,
    foreground: Annotated[
        bool, typer.Option("--foreground", help="Stay, and stop on Ctrl-C.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be started, and why; start nothing.")
    ] = False,
    engine_arg: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Set an argument of the engine. Repeatable."),
    ] = None,
    image: Annotated[str | None, typer.Option(help="Another container image for vLLM.")] = None,
    name: Annotated[str | None, typer.Option(help="The container's name [vllm-server].")] = None,
    volume: Annotated[
        list[str] | None,
        typer.Option(metavar="HOST:CONTAINER[:ro]", help="Mount one more folder. Repeatable."),
    ] = None,
    private_ipc: Annotated[
        bool,
        typer.Option("--private-ipc", help="Leave --ipc=host out; --shm-size then does the work."),
    ] = False,
    python: Annotated[
        str | None, typer.Option(help="Run vLLM as a process of this Python, not in a container.")
    ] = None,
    native: Annotated[
        bool, typer.Option("--native", help="Like --python, with an environment Stoker makes.")
    ] = False,
    endpoint: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Start nothing: adopt the server that runs there."),
    ] = None,
    key_env: KeyEnv = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Ctrl-C while it starts leaves it starting.")
    ] = False,
    gpu: Annotated[
        str | None,
        typer.Option(metavar="NAME", help='With --dry-run: for this GPU, as "RTX 4060 8GB".'),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Put it in the place of what runs now.")
    ] = False,
    json: Json = False,
    yes: Yes = False,
) -> None:
    """Start a model that fits this machine, and connect it."""
    wishes = _Wishes(
        model=model,
        engine=engine,
        context=context,
        parallel=parallel,
        offline=offline,
        quiet=json,
        yes=yes,
        keep=keep,
        engine_args=tuple(engine_arg or ()),
        python=python,
        native=native,
        image=image,
        name=name,
        private_ipc=private_ipc,
        volumes=tuple(volume or ()),
        gpu=gpu,
    )
    _check_together(wishes, endpoint=endpoint, key_env=key_env, dry_run=dry_run)
    where = addresses.endpoint(bind, port)
    if endpoint is not None:
        _refuse_beside_endpoint(wishes, foreground)
        if dry_run:
            adopt.preview(endpoint, key_env, where, json=json)
            return
        adopt.adopt(endpoint, key_env, Run(bind, port, ("adopted", endpoint), replace), json=json)
        return
    if engine is not None:
        engines.get(engine)  # an unknown one is said before anything is looked at
    if dry_run:
        _show(*_choose(wishes), where, json)
        return
    places = (("--bind", bind, _BIND), ("--port", port, _PORT))
    flags = (*wishes.flags, *(f"{name}={value}" for name, value, usual in places if value != usual))
    run = Run(bind, port, wishes.key, replace, fixed=wishes.fixed, flags=flags)
    running = runtime.already_running(run)
    if running is not None and not foreground:
        if not json:
            output.say("Already running.")
        _prove_and_connect(start.until_ready(running, quiet=True), wishes)
        return
    if not replace:
        runtime.check_can_start(run)
    plan, options = _fetch(wishes)
    run = replace_fields(run, options=options)
    if foreground:
        if not json:
            start.warn_open(bind)
        runtime.serve(plan, run, on_change=start.Phases(json).show)
        return
    _prove_and_connect(start.background(plan, run, quiet=json, keep=keep), wishes)


def _check_together(
    wishes: _Wishes, *, endpoint: str | None, key_env: str | None, dry_run: bool
) -> None:
    """Raise ``UsageError`` for an option without the one that it belongs to."""
    if wishes.gpu is not None and not dry_run:
        raise UsageError("--gpu only plans.", "This machine has the GPUs it has.", "Add --dry-run.")
    if key_env is not None and endpoint is None:
        raise UsageError(
            "--key-env is for a server that runs already.",
            "A server that Stoker starts gets a key of its own.",
            "Leave it out, or name the server: --endpoint URL.",
        )


def _refuse_beside_endpoint(wishes: _Wishes, foreground: bool) -> None:
    """Raise ``UsageError`` for what only a server can take that is still to be started."""
    given = {
        "MODEL": wishes.model,
        "--engine": wishes.engine,
        "--context": wishes.context,
        "--parallel": wishes.parallel,
        "--offline": wishes.offline,
        "--foreground": foreground,
        "--engine-arg": wishes.engine_args,
        "--image": wishes.image,
        "--name": wishes.name,
        "--volume": wishes.volumes,
        "--private-ipc": wishes.private_ipc,
        "--python": wishes.python,
        "--native": wishes.native,
        "--keep": wishes.keep,
        "--gpu": wishes.gpu,
    }
    named = [name for name, value in given.items() if value]
    if named:
        raise UsageError(
            f"--endpoint can't be given together with {', '.join(named)}.",
            "The server there runs already, with the model and the settings of its own start.",
            "Leave --endpoint out to start a server; leave the others out to adopt the one there.",
        )


def _choose(wishes: _Wishes) -> tuple[Plan, Options]:
    seen = _look(wishes)
    plan = seen.choose(seen.host, seen.candidates)
    return runtime.overridden(plan, wishes.engine_args), _place(plan, seen.host, wishes)


def _place(plan: Plan, host: machine.Host, wishes: _Wishes) -> Options:
    return runtime.place(
        plan.engine,
        host,
        python=wishes.python,
        native=wishes.native,
        image=wishes.image,
        name=wishes.name,
        private_ipc=wishes.private_ipc,
        volumes=wishes.volumes,
        say=_silent if wishes.quiet else output.say,
    )


@dataclass(frozen=True)
class _Seen:
    """What there is to choose from, and the choice."""

    host: machine.Host
    candidates: list[Model]
    choose: Callable[[machine.Host, Sequence[Model]], Plan]


def _look(wishes: _Wishes) -> _Seen:
    host = machine.detect(paths.cache_dir(), ask_hub=not wishes.offline)
    # What a deployment holds now is free for the one that takes its place.
    available = host.memory.available_bytes + runtime.reclaimable_bytes()
    host = replace_fields(host, memory=replace_fields(host.memory, available_bytes=available))
    if wishes.gpu is not None:
        host = machine.with_gpu(host, machine.find_gpu(wishes.gpu))
    spec = None
    if host.gpus:
        spec = machine.lookup_gpu(host.gpus[0].name, host.gpus[0].memory_total_bytes)
    choose = partial(
        planning.choose,
        wishes=planning.Wishes(
            engine=wishes.engine,
            context=wishes.context,
            parallel=wishes.parallel,
            named=wishes.model is not None,
            llama_offload=bool(wishes.gpu) or not host.gpus or embedded.offloads(),
        ),
        gpu=spec,
        catalogue=models.model_catalogue(),
    )
    return _Seen(host, _candidates(wishes, host), choose)


def _candidates(wishes: _Wishes, host: machine.Host) -> list[Model]:
    """What can be meant. An imagined machine asks nobody: it takes what the catalogue knows."""
    if wishes.model is not None and wishes.gpu is not None:
        with contextlib.suppress(StokerError):
            known, variant = models.find_known_model(wishes.model)
            return [known.model(variant)]
    found = models.resolve(wishes.model, hub_reachable=host.hub_reachable, offline=wishes.offline)
    if wishes.model is not None or not _vllm_at_hand(wishes, host):
        return found
    served = planning.candidates_of(models.model_catalogue())
    return [*(c.model for c in served if c.model.format == "safetensors"), *found]


def _vllm_at_hand(wishes: _Wishes, host: machine.Host) -> bool:
    """Whether vLLM can be started here, and its models fetched, with nothing else to install."""
    if wishes.gpu is not None:
        return True  # a machine that is only imagined has what it needs
    containers = any(runtime.reachable and runtime.nvidia for runtime in host.runtimes)
    engine = containers or wishes.python is not None or wishes.native
    return bool(host.gpus) and engine and host.hub_reachable is True and not wishes.offline


def _fetch(wishes: _Wishes) -> tuple[Plan, Options]:
    say = _silent if wishes.quiet else output.say
    say("Looking at this machine")
    seen = _look(wishes)
    options = Options()

    def on_plan(plan: Plan) -> None:
        nonlocal options
        for reason in plan.reasons:
            say(f"  {reason}")
        _agree(plan, wishes)
        # Before the download: a machine that can't run the engine need not wait for the model.
        options = _place(plan, seen.host, wishes)

    def on_skip(skipped: Model, error: StokerError) -> None:
        say(f"  {skipped.id} can't be had from the {skipped.origin}: {error.what} {error.why}")

    with Download(wishes.quiet) as download:
        plan = runtime.choose_and_prepare(
            seen.host, seen.candidates, seen.choose, on_plan, download.show, on_skip
        )
    return runtime.overridden(plan, wishes.engine_args), options


def _agree(plan: Plan, wishes: _Wishes) -> None:
    size = plan.model.weights_bytes or 0
    if plan.model.path is not None or size < _ASK_ABOVE_BYTES or wishes.yes:
        return
    if wishes.quiet or not sys.stdin.isatty():
        raise UsageError(
            f"{plan.model.id} has to be downloaded: {output.size(size)}.",
            "Nobody is there to agree to that.",
            "Add --yes, or name a smaller model.",
        )
    typer.confirm(f"Download {plan.model.id}, {output.size(size)}?", default=True, abort=True)


def _silent(_: str) -> None:
    """For --json: nothing but the document is printed."""


def _show(plan: Plan, options: Options, endpoint: str, json: bool) -> None:
    launch = runtime.dry_run(plan, options)
    if json:
        output.as_json(
            {
                "model": plan.model.id,
                "engine": plan.engine,
                "max_model_len": plan.max_model_len,
                "parallel": plan.parallel,
                "endpoint": endpoint,
                "argv": launch.argv,
                "arguments": [asdict(part) for part in launch.parts],
                "reasons": plan.reasons,
            }
        )
        return
    for reason in plan.reasons:
        output.say(reason)
    output.say(f"\nWould run, behind {endpoint}:\n  {shlex.join(launch.argv)}\n\nwith:")
    for argument in launch.parts:
        output.say(f"  {argument.name} = {argument.value}\n      {argument.reason}")


def _prove_and_connect(deployment: Deployment, wishes: _Wishes) -> None:
    _prove(deployment, wishes.quiet)
    if not wishes.quiet:
        code.offer(deployment.endpoint, yes=wishes.yes)


def _prove(deployment: Deployment, json: bool) -> None:
    plan, model = deployment.plan, deployment.plan.model
    if not json:
        output.say(f"\nAsking it: {_QUESTION}\n")
    answer = checks.ask(
        deployment.endpoint,
        model.served_name,
        _QUESTION,
        max_tokens=_ANSWER_TOKENS,
        on_text=_silent if json else _stream,
    )
    setting = {ENDPOINT: deployment.endpoint}
    if json:
        output.as_json(
            {
                "endpoint": deployment.endpoint,
                "model": model.id,
                "served_name": model.served_name,
                "engine": plan.engine,
                "max_model_len": plan.max_model_len,
                "parallel": plan.parallel,
                "first_answer": answer.text,
                "ttft_s": round(answer.ttft_s, 3),
                "tokens_per_s": answer.tokens_per_s and round(answer.tokens_per_s, 1),
                "vscode_settings": setting,
            }
        )
        return
    speed = f"{answer.tokens_per_s:.0f} tokens/s, " if answer.tokens_per_s else ""
    output.say("\n")
    for name, value in (
        ("Endpoint", deployment.endpoint),
        ("Model", f"{model.id}, from the {model.origin}"),
        ("Engine", plan.engine),
        (
            "Context",
            f"{deployment.plan.max_model_len:,} tokens, {deployment.plan.parallel} at a time",
        ),
        ("Speed", f"{speed}first token after {output.duration(answer.ttft_s)}"),
        ("VS Code", f'"{ENDPOINT}": "{deployment.endpoint}"'),
        ("Next", "stoker status, stoker logs -f, stoker down"),
    ):
        output.say(f"{name:9} {value}")
    start.warn_open(deployment.bind)


def _stream(text: str) -> None:
    print(text, end="", flush=True)
