"""``stoker up``: look, choose, fetch, start, prove, connect."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from dataclasses import replace as replace_fields
from pathlib import Path
from typing import Annotated

import typer

from stoker import checks, engines, models, network_addresses, server
from stoker.application import (
    Choice,
    HostFacts,
    LaunchRequest,
    choose,
    download_bytes,
    this_machine,
)
from stoker.cli import launch_options
from stoker.cli.commands import adopt, code
from stoker.cli.options import Bind, Json, KeyEnv, Yes
from stoker.cli.render import choice_view, output, startup_progress
from stoker.cli.render.progress import Download
from stoker.engines import Options, placement
from stoker.errors import StokerError, UsageError
from stoker.planning import Plan
from stoker.server import Deployment, Run
from stoker.vscode import ENDPOINT

_QUESTION = "Write a Python function is_prime(n). Only the code."
_ANSWER_TOKENS = 200
_BIND = "127.0.0.1"
_PORT = 8000
#: A download of this size is announced and, on a terminal, asked for first.
_ASK_ABOVE_BYTES = 2 * 1024**3


@dataclass(frozen=True)
class _Asked:
    """What the person asked for: what to start, and how."""

    launch: LaunchRequest
    quiet: bool
    yes: bool
    keep: bool
    #: Arguments of the engine that the person sets.
    engine_args: tuple[str, ...]
    image: str | None
    name: str | None
    private_ipc: bool
    volumes: tuple[str, ...]

    @property
    def fixed(self) -> tuple[str, ...]:
        """Arguments that are the person's: Stoker does not change them after a failed start."""
        names = [arg.partition("=")[0].lstrip("-").replace("_", "-") for arg in self.engine_args]
        return (*names, "max-model-len") if self.launch.context else tuple(names)

    @property
    def flags(self) -> tuple[str, ...]:
        """The same as ``stoker up`` takes it, but for the model: a fix's command repeats it."""
        values = {"image": self.image, "name": self.name}
        return (
            *launch_options.words(self.launch),
            *(f"--{name}={value}" for name, value in values.items() if value is not None),
            *(["--private-ipc"] if self.private_ipc else []),
            *(f"--engine-arg={argument}" for argument in self.engine_args),
            *(f"--volume={volume}" for volume in self.volumes),
        )

    @property
    def key(self) -> tuple[str, ...]:
        """What tells this request from others; the same model file is the same request."""
        asked = self.launch
        path = Path(asked.model).expanduser() if asked.model else None
        model = str(path.resolve()) if path and models.exists(path) else (asked.model or "")
        what = (asked.engine, asked.context, asked.parallel, asked.purpose, asked.users)
        how = (asked.python, asked.native, self.image, self.name, self.private_ipc)
        others = (*(str(part or "") for part in (*what, *how)), *self.engine_args, *self.volumes)
        return (model, *others)


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
    purpose: launch_options.For = None,
    users: launch_options.Users = 1,
    context: launch_options.Context = None,
    parallel: launch_options.Parallel = None,
    offline: launch_options.Offline = False,
    foreground: Annotated[
        bool, typer.Option("--foreground", help="Stay, and stop on Ctrl-C.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Print what would be started, here or on --gpu or --host, and why; start nothing.",
        ),
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
    gpu: launch_options.Gpu = None,
    gpus: launch_options.Gpus = None,
    host: launch_options.HostFile = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Put it in the place of what runs now.")
    ] = False,
    json: Json = False,
    yes: Yes = False,
) -> None:
    """Start a model that fits this machine, and connect it."""
    asked = _Asked(
        launch=LaunchRequest(
            model=model,
            purpose=purpose,
            users=users,
            context=context,
            parallel=parallel,
            engine=engine,
            offline=offline,
            python=python,
            native=native,
        ),
        quiet=json,
        yes=yes,
        keep=keep,
        engine_args=tuple(engine_arg or ()),
        image=image,
        name=name,
        private_ipc=private_ipc,
        volumes=tuple(volume or ()),
    )
    elsewhere = {"--gpu": gpu, "--gpus": gpus, "--host": host}
    _check_together(elsewhere, endpoint=endpoint, key_env=key_env, dry_run=dry_run)
    where = network_addresses.endpoint(bind, port)
    if endpoint is not None:
        _refuse_beside_endpoint(asked, elsewhere, foreground)
        if dry_run:
            adopt.preview(endpoint, key_env, where, json=json)
            return
        adopt.adopt(endpoint, key_env, Run(bind, port, ("adopted", endpoint), replace), json=json)
        return
    if engine is not None:
        engines.get(engine)  # an unknown one is said before anything is looked at
    if dry_run:
        _preview(asked, launch_options.machine(gpu, gpus, host, offline=offline), where)
        return
    places = (("--bind", bind, _BIND), ("--port", port, _PORT))
    flags = (*asked.flags, *(f"{name}={value}" for name, value, usual in places if value != usual))
    run = Run(bind, port, asked.key, replace, fixed=asked.fixed, flags=flags)
    running = server.already_running(run)
    if running is not None and not foreground:
        if not json:
            output.say("Already running.")
        _prove_and_connect(startup_progress.until_ready(running, quiet=True), asked)
        return
    if not replace:
        server.check_can_start(run)
    plan, options = _fetch(asked)
    run = replace_fields(run, options=options)
    if foreground:
        if not json:
            startup_progress.warn_open(bind)
        server.serve(plan, run, on_change=startup_progress.Phases(json).show)
        return
    _prove_and_connect(startup_progress.background(plan, run, quiet=json, keep=keep), asked)


def _check_together(
    elsewhere: Mapping[str, object], *, endpoint: str | None, key_env: str | None, dry_run: bool
) -> None:
    """Raise ``UsageError`` for an option without the one that it belongs to."""
    named = [name for name, value in elsewhere.items() if value is not None]
    if named and not dry_run and endpoint is None:
        raise UsageError(
            f"{named[0]} means another machine, on which nothing can be started from here.",
            "It shows what stoker up would start there.",
            "Add --dry-run.",
        )
    if key_env is not None and endpoint is None:
        raise UsageError(
            "--key-env is for a server that runs already.",
            "A server that Stoker starts gets a key of its own.",
            "Leave it out, or name the server: --endpoint URL.",
        )


def _refuse_beside_endpoint(
    asked: _Asked, elsewhere: Mapping[str, object], foreground: bool
) -> None:
    """Raise ``UsageError`` for what only a server can take that is still to be started."""
    launch = asked.launch
    given = {
        "MODEL": launch.model,
        "--engine": launch.engine,
        "--purpose": launch.purpose,
        "--users": launch.users if launch.users != 1 else None,
        "--context": launch.context,
        "--parallel": launch.parallel,
        "--offline": launch.offline,
        "--foreground": foreground,
        "--engine-arg": asked.engine_args,
        "--image": asked.image,
        "--name": asked.name,
        "--volume": asked.volumes,
        "--private-ipc": asked.private_ipc,
        "--python": launch.python,
        "--native": launch.native,
        "--keep": asked.keep,
        **elsewhere,
    }
    named = [name for name, value in given.items() if value]
    if named:
        raise UsageError(
            f"--endpoint can't be given together with {', '.join(named)}.",
            "The server there runs already, with the model and the settings of its own start.",
            "Leave --endpoint out to start a server; leave the others out to adopt the one there.",
        )


def _preview(asked: _Asked, machine: HostFacts, endpoint: str) -> None:
    """What would be started, and why; nothing is."""
    choice = choose(asked.launch, machine)
    plan = server.overridden(choice.plan, asked.engine_args)
    _show(choice, plan, _place(plan, machine, asked, dry_run=True), endpoint, asked.quiet)


def _place(plan: Plan, machine: HostFacts, asked: _Asked, *, dry_run: bool = False) -> Options:
    return placement.place(
        plan.engine,
        machine.host,
        python=asked.launch.python,
        native=asked.launch.native,
        image=asked.image,
        name=asked.name,
        private_ipc=asked.private_ipc,
        volumes=asked.volumes,
        here=machine.here,
        dry_run=dry_run,
        say=_silent if asked.quiet else output.say,
    )


def _fetch(asked: _Asked) -> tuple[Plan, Options]:
    """The best whose model can really be had: a source that fails gives way to the next.

    Raises the first source's error where none can be had.
    """
    say = _silent if asked.quiet else output.say
    say("Looking at this machine")
    machine = this_machine(ask_hub=not asked.launch.offline)
    launch, first_error = asked.launch, None
    while True:
        try:
            choice = choose(launch, machine)
            plan = choice.plan
        except StokerError as error:
            raise first_error or error from None
        for line in (*plan.reasons, *choice_view.notes(choice)):
            say(f"  {line}")
        _agree(plan, asked)
        # Before the download: a machine that can't run the engine need not wait for the model.
        options = _place(plan, machine, asked)
        try:
            with Download(asked.quiet) as download:
                plan = replace_fields(plan, model=models.fetch(plan.model, download.show))
        except StokerError as error:
            first_error = first_error or error
            launch = launch.without(plan.model)
            say(f"  No {plan.model.id} from the {plan.model.origin}: {error.what} {error.why}")
            continue
        return server.overridden(plan, asked.engine_args), options


def _agree(plan: Plan, asked: _Asked) -> None:
    size = download_bytes(plan)
    if size < _ASK_ABOVE_BYTES or asked.yes:
        return
    if asked.quiet or not sys.stdin.isatty():
        raise UsageError(
            f"{plan.model.id} has to be downloaded: {output.size(size)}.",
            "No terminal to confirm this on.",
            "Add --yes, or name a smaller model.",
        )
    typer.confirm(f"Download {plan.model.id}, {output.size(size)}?", default=True, abort=True)


def _silent(_: str) -> None:
    """For --json: nothing but the document is printed."""


def _show(choice: Choice, plan: Plan, options: Options, endpoint: str, json: bool) -> None:
    launch = server.dry_run(plan, options)
    if json:
        output.as_json(
            {
                "model": plan.model.id,
                "quantization": plan.model.quantization,
                "engine": plan.engine,
                "max_model_len": plan.max_model_len,
                "parallel": plan.parallel,
                "purpose": choice.purpose,
                "download_bytes": choice.download_bytes,
                "fingerprint": plan.fingerprint,
                "runner_up": choice.runner_up and choice.runner_up.model.id,
                "blocked": [choice_view.blocked_document(one) for one in choice.preferred],
                "endpoint": endpoint,
                "argv": launch.argv,
                "arguments": [asdict(part) for part in launch.parts],
                "reasons": plan.reasons,
            }
        )
        return
    for line in (*plan.reasons, *choice_view.notes(choice), *_second(choice)):
        output.say(line)
    output.say(f"\nWould run, behind {endpoint}:\n  {shlex.join(launch.argv)}\n\nwith:")
    for argument in launch.parts:
        output.say(f"  {argument.name} = {argument.value}\n      {argument.reason}")


def _second(choice: Choice) -> list[str]:
    second = choice.runner_up
    if second is None:
        return []
    return [f"Next best: {second.model.id} ({second.model.quantization}) on {second.engine}."]


def _prove_and_connect(deployment: Deployment, asked: _Asked) -> None:
    _prove(deployment, asked.quiet)
    if not asked.quiet:
        code.offer(deployment.endpoint, yes=asked.yes)


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
    startup_progress.warn_open(deployment.bind)


def _stream(text: str) -> None:
    print(text, end="", flush=True)
