"""``stoker up``: flags in, events printed. The work is in ``application.launch``."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable
from dataclasses import asdict
from dataclasses import replace as replace_fields
from typing import Annotated

import typer

from stoker import engines
from stoker.application import Choice, LaunchRequest, launch
from stoker.application.launch import LaunchSettings, Preview
from stoker.application.launch_events import Chosen, Verified
from stoker.certificates.certificate_files import CertificateFiles
from stoker.cli import launch_options
from stoker.cli.commands import adopt, code
from stoker.cli.options import (
    Bind,
    Insecure,
    Json,
    KeyEnv,
    Port,
    Replace,
    TlsCert,
    TlsClientCa,
    TlsClientCerts,
    TlsKey,
    Usage,
    Yes,
    certificate_files,
)
from stoker.cli.render import choice_view, output, startup_progress
from stoker.cli.render.launch_view import LaunchView
from stoker.engines import ContainerLaunch, ProcessLaunch
from stoker.errors import UsageError
from stoker.server import LaunchSpec
from stoker.vscode import ENDPOINT

_USUAL = LaunchSettings()
#: A download of this size is announced and, on a terminal, confirmed first.
_CONFIRM_ABOVE_BYTES = 2 * 1024**3
#: Options that describe another machine.
_ELSEWHERE = ("gpu", "gpus", "host")
#: Options that an adopted server has a use for.
_OF_AN_ADOPTION = (
    "endpoint",
    "key_env",
    "port",
    "bind",
    "insecure",
    "tls_cert",
    "tls_key",
    "tls_client_ca",
    "tls_client_certs",
    "usage",
    "replace",
    "dry_run",
    "json",
    "yes",
)


def command(
    ctx: typer.Context,
    model: Annotated[
        str | None,
        typer.Argument(help="A short name, a hub id, a GGUF file or a folder. Default: what fits."),
    ] = None,
    engine: Annotated[
        str | None, typer.Option(help="The engine to run it on. Default: what fits.")
    ] = None,
    port: Port = _USUAL.port,
    bind: Bind = _USUAL.bind,
    purpose: launch_options.For = None,
    users: launch_options.Users = 1,
    context: launch_options.Context = None,
    parallel: launch_options.Parallel = None,
    completion: launch_options.Completion = launch_options.OFF,
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
    name: Annotated[
        str | None, typer.Option(help="The container's name. Default: vllm-server.")
    ] = None,
    volume: Annotated[
        list[str] | None,
        typer.Option(metavar="HOST:CONTAINER[:ro]", help="Mount one more folder. Repeatable."),
    ] = None,
    private_ipc: Annotated[
        bool,
        typer.Option("--private-ipc", help="Omit --ipc=host; --shm-size replaces it."),
    ] = False,
    python: Annotated[
        str | None, typer.Option(help="Run vLLM as a process of this Python, not in a container.")
    ] = None,
    native: Annotated[
        bool, typer.Option("--native", help="Like --python, in an environment that Stoker creates.")
    ] = False,
    endpoint: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Start nothing: adopt the server that runs there."),
    ] = None,
    key_env: KeyEnv = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Ctrl-C during the start leaves it starting.")
    ] = False,
    gpu: launch_options.Gpu = None,
    gpus: launch_options.Gpus = None,
    host: launch_options.HostFile = None,
    insecure: Insecure = False,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    tls_client_ca: TlsClientCa = None,
    tls_client_certs: TlsClientCerts = "required",
    usage: Usage = _USUAL.usage,
    replace: Replace = False,
    json: Json = False,
    yes: Yes = False,
) -> None:
    """Start a model that fits this machine, and connect it."""
    request = launch_options.request(ctx.params)
    settings = LaunchSettings(
        bind=bind,
        port=port,
        replace=replace,
        insecure=insecure,
        foreground=foreground,
        keep=keep,
        engine_args=tuple(engine_arg or ()),
        image=image,
        name=name,
        private_ipc=private_ipc,
        volumes=tuple(volume or ()),
        usage=usage,
        tls=certificate_files(tls_cert, tls_key, tls_client_ca, tls_client_certs),
    )
    settings = replace_fields(settings, flags=_flags(request, settings))
    _check_combination(ctx)
    if endpoint is not None:
        adopt.adopt(endpoint, key_env, settings, dry_run=dry_run, json=json)
        return
    if engine is not None:
        engines.get(engine)  # an unknown one is refused before anything else is done
    if dry_run:
        machine = launch_options.machine(gpu, gpus, host, offline=offline)
        _show_preview(launch.preview(request, machine, settings), settings.endpoint, json=json)
        return
    _launch(request, settings, json=json, yes=yes)


def _launch(request: LaunchRequest, settings: LaunchSettings, *, json: bool, yes: bool) -> None:
    if settings.foreground and not json:
        startup_progress.warn_open(settings.bind, insecure=settings.insecure)
    events = launch.start_model(request, settings)
    verified: Verified | None = None
    with LaunchView(events, quiet=json, keep=settings.keep) as view:
        for event in view:
            if isinstance(event, Chosen):
                _confirm_download(event.choice, ask=not json, yes=yes)
            elif isinstance(event, Verified):
                verified = event
    if verified is None:
        return  # it ran in the foreground, and was stopped
    _show_verified(verified, json=json)
    if not json:
        code.offer(verified.deployment.spec.endpoint, yes=yes)


def _flags(request: LaunchRequest, settings: LaunchSettings) -> tuple[str, ...]:
    """The options that lead to the same request and settings; a fix's command repeats them."""
    names = ("image", "name")
    values = {name: getattr(settings, name) for name in names}
    places = {"bind": settings.bind, "port": settings.port, "usage": settings.usage}
    return (
        *launch_options.words(request),
        *(f"--{name}={value}" for name, value in values.items() if value is not None),
        *(["--private-ipc"] if settings.private_ipc else []),
        *(["--insecure"] if settings.insecure else []),
        *(f"--engine-arg={argument}" for argument in settings.engine_args),
        *(f"--volume={volume}" for volume in settings.volumes),
        *(f"--{name}={value}" for name, value in places.items() if value != getattr(_USUAL, name)),
        *(_tls_flags(settings.tls) if settings.tls else ()),
    )


def _tls_flags(tls: CertificateFiles) -> tuple[str, ...]:
    pair = f"--tls-cert={tls.certificate}", f"--tls-key={tls.key}"
    if tls.client_ca is None:
        return pair
    clients = f"--tls-client-ca={tls.client_ca}", f"--tls-client-certs={tls.client_certificates}"
    return (*pair, *clients)


def _check_combination(ctx: typer.Context) -> None:
    """Raise ``UsageError`` for options that exclude each other, or that need another one."""
    adopts, dry_run = ctx.params["endpoint"] is not None, ctx.params["dry_run"]
    elsewhere = _given(ctx, _ELSEWHERE)
    if elsewhere and not dry_run and not adopts:
        raise UsageError(
            f"{elsewhere[0]} means another machine, and nothing can be started there from here.",
            "It shows what stoker up would start there.",
            "Add --dry-run.",
        )
    if ctx.params["key_env"] is not None and not adopts:
        raise UsageError(
            "--key-env is for a server that is already running.",
            "A server that Stoker starts gets a key of its own.",
            "Omit it, or name the server: --endpoint URL.",
        )
    others = _given(ctx, ctx.params.keys() - set(_OF_AN_ADOPTION))
    if adopts and others:
        raise UsageError(
            f"--endpoint can't be used together with {', '.join(others)}.",
            "That server is already running, with its own model and settings.",
            "Omit --endpoint to start a server; omit the others to adopt the one there.",
        )


def _given(ctx: typer.Context, names: Iterable[str]) -> list[str]:
    """Those of the parameters that the user set, as they are written."""
    wanted, given = set(names), []
    for parameter in ctx.command.params:
        source = ctx.get_parameter_source(parameter.name) if parameter.name in wanted else None
        if source is not None and source.name == "COMMANDLINE":
            written = parameter.opts[0]
            given.append(written if written.startswith("-") else written.upper())
    return given


def _confirm_download(choice: Choice, *, ask: bool, yes: bool) -> None:
    """Have the user confirm a large download. Raises ``UsageError`` where that is not possible."""
    size, names = choice.download_bytes, " and ".join(plan.model.id for plan in choice.plans)
    if size < _CONFIRM_ABOVE_BYTES or yes:
        return
    if not ask or not sys.stdin.isatty():
        raise UsageError(
            f"{names} must be downloaded: {output.size(size)}."
            if len(choice.plans) > 1
            else f"{names} has to be downloaded: {output.size(size)}.",
            "No terminal to confirm this on.",
            "Pass --yes, or name a smaller model.",
        )
    typer.confirm(f"Download {names}, {output.size(size)}?", default=True, abort=True)


def _show_preview(shown: Preview, endpoint: str, *, json: bool) -> None:
    choice = shown.choice
    if json:
        output.as_json(_preview_document(shown, endpoint))
        return
    for line in (*shown.plan.reasons, *choice_view.notes(choice)):
        output.say(line)
    second = choice.runner_up
    if second is not None:
        model = second.model
        output.say(f"Next best: {model.id} ({model.quantization}) on {second.engine}.")
    _show_command(f"Would run, behind {endpoint}", shown.launch)
    if shown.completion is not None:
        _show_command("Would run beside it, to complete code", shown.completion)


def _show_command(title: str, launched: ProcessLaunch | ContainerLaunch) -> None:
    output.say(f"\n{title}:\n  {shlex.join(launched.argv)}\n\nwith:")
    for argument in launched.parts:
        output.say(f"  {argument.name} = {argument.value}\n      {argument.reason}")


def _preview_document(shown: Preview, endpoint: str) -> dict[str, object]:
    choice, plan = shown.choice, shown.plan
    return {
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
        "completion": choice_view.completion_document(choice.completion),
        "endpoint": endpoint,
        **_command_document(shown.launch),
        "completion_command": shown.completion and _command_document(shown.completion),
        "reasons": plan.reasons,
    }


def _command_document(launched: ProcessLaunch | ContainerLaunch) -> dict[str, object]:
    return {"argv": launched.argv, "arguments": [asdict(part) for part in launched.parts]}


def _show_verified(verified: Verified, *, json: bool) -> None:
    if json:
        output.as_json(_verified_document(verified))
        return
    spec, answer = verified.deployment.spec, verified.answer
    model = spec.plan.model
    speed = f"{answer.tokens_per_s:.0f} tokens/s, " if answer.tokens_per_s else ""
    output.say("\n")
    for name, value in (
        ("Endpoint", spec.endpoint),
        ("Model", f"{model.id}, from the {model.origin}"),
        ("Engine", spec.plan.engine),
        ("Context", f"{spec.plan.max_model_len:,} tokens, {spec.plan.parallel} at a time"),
        *_completion_rows(spec),
        ("Speed", f"{speed}first token after {output.duration(answer.ttft_s)}"),
        ("VS Code", f'"{ENDPOINT}": "{spec.endpoint}"'),
        ("Next", "stoker status, stoker logs -f, stoker down"),
    ):
        output.say(f"{name:10} {value}")
    startup_progress.warn_open(spec.bind, insecure=spec.insecure)


def _completion_rows(spec: LaunchSpec) -> list[tuple[str, str]]:
    """What completes code, where that was asked for."""
    if spec.completion is not None:
        plan = spec.completion.plan
        return [("Completion", f"{plan.model.id} on {plan.engine}, which starts now")]
    return [("Completion", "by the same model")] if spec.plan.completion_slots else []


def _verified_document(verified: Verified) -> dict[str, object]:
    spec, answer = verified.deployment.spec, verified.answer
    return {
        "endpoint": spec.endpoint,
        "model": spec.plan.model.id,
        "served_name": spec.plan.model.served_name,
        "engine": spec.plan.engine,
        "max_model_len": spec.plan.max_model_len,
        "parallel": spec.plan.parallel,
        "completion_model": spec.completion.plan.model.served_name if spec.completion else None,
        "first_answer": answer.text,
        "ttft_s": round(answer.ttft_s, 3),
        "tokens_per_s": answer.tokens_per_s and round(answer.tokens_per_s, 1),
        "vscode_settings": {ENDPOINT: spec.endpoint},
    }
