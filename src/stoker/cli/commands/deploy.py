"""``stoker deploy``: write the files that run a plan on servers, and show what was changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import stoker
from stoker.application import deployment_site
from stoker.cli import launch_options
from stoker.cli.options import Bind, Json, Port
from stoker.cli.render import deploy_view, output
from stoker.deploy import EXPORTERS, Cluster, Images, SiteRequest, exporter_for
from stoker.errors import UsageError


class FormatGroup(TyperGroup):
    """A group whose commands are formats: it explains a format that there is not."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command. Raises ``UsageError`` for an unknown format."""
        found = super().get_command(ctx, cmd_name)
        return found if found is not None else exporter_for(cmd_name)


app = typer.Typer(
    cls=FormatGroup, no_args_is_help=True, add_completion=False, rich_markup_mode=None
)


@app.callback()
def group() -> None:
    """Write the files that run a model on servers, for several people."""


def command(
    ctx: typer.Context,
    model: Annotated[
        str | None, typer.Argument(help="A short name or a hub id. Default: the best.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="The folder for the files.")
    ] = None,
    plan: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="PLAN",
            help="The plan, a file of stoker plan --json. Default: what is chosen now.",
        ),
    ] = None,
    replicas: Annotated[int, typer.Option(help="Copies of the model, which share the load.")] = 1,
    gateways: Annotated[
        int, typer.Option(help="Gateways. Two or more share PostgreSQL and Redis.")
    ] = 2,
    users: launch_options.Users = 1,
    purpose: launch_options.For = None,
    context: launch_options.Context = None,
    engine: Annotated[str | None, typer.Option(help="The engine. Default: vllm.")] = None,
    gpu: launch_options.Gpu = None,
    gpus: launch_options.Gpus = None,
    host: launch_options.HostFile = None,
    name: Annotated[str, typer.Option(help="The site's name, a part of other names.")] = "stoker",
    bind: Bind = "127.0.0.1",
    port: Port = 8000,
    tls_host: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Serve https under this host name."),
    ] = None,
    monitoring: Annotated[
        bool, typer.Option("--monitoring/--no-monitoring", help="Run Prometheus too, with alerts.")
    ] = True,
    image: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=IMAGE",
            help="Another image, also by digest, for: "
            + ", ".join(field.name for field in fields(Images))
            + ". May be repeated.",
        ),
    ] = None,
    cluster: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="For Kubernetes and Helm: "
            + ", ".join(field.name for field in fields(Cluster))
            + ". May be repeated.",
        ),
    ] = None,
    replacing: Annotated[
        bool, typer.Option("--replace", help="Write over the files of an earlier stoker deploy.")
    ] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show the lines of the files with their reasons.")
    ] = False,
    json: Json = False,
) -> None:
    """Write the files of this format."""
    if out is None and not explain:
        raise UsageError(
            "No folder is named.", "The files need a place.", "Add -o DIR, or --explain to look."
        )
    request = SiteRequest(
        format=str(ctx.info_name),
        replicas=replicas,
        gateways=gateways,
        users=users,
        name=name,
        bind=bind,
        port=port,
        tls_host=tls_host,
        monitoring=monitoring,
        images=_images(image or []),
        cluster=_cluster(cluster or []),
    )
    before = deployment_site.check_folder(out, replacing=replacing) if out else None
    if plan is not None:
        machine, chosen = None, deployment_site.plan_in(plan)
    else:
        machine = launch_options.machine(gpu, gpus, host)
        wanted = launch_options.request(ctx.params)
        chosen = deployment_site.plan_here(request, wanted, machine)
    record = deployment_site.new_record(request, chosen, machine, before)
    site, files = deployment_site.site_for(record), deployment_site.rendered(record)
    kept = deployment_site.write(record, files, out) if out else ()
    if json:
        output.as_json(deploy_view.document(site, files, out, kept=kept))
        return
    if explain:
        output.say("\n".join(deploy_view.explanation(files)))
    for path in kept:
        output.say(f"Kept {path}: what was changed by hand.")
    if out is not None:
        steps = exporter_for(request.format).next_steps(site)
        output.say("\n".join(deploy_view.written_lines(site, out, steps)))


@app.command("diff")
def diff(
    folder: Annotated[Path, typer.Argument(help="A folder that stoker deploy wrote.")],
    json: Json = False,
) -> None:
    """Show what was changed by hand in a folder. The exit code is 1 if something was."""
    record = deployment_site.read_record(folder)
    if record is None:
        raise UsageError(
            f"{folder} holds no deployment.",
            f"There is no {deployment_site.RECORD} in it.",
            "Name a folder that stoker deploy wrote.",
        )
    changes = [
        *deployment_site.edited(record, folder),
        *deployment_site.added(record, folder),
    ]
    if json:
        output.as_json(deploy_view.changes_document(record, changes))
    else:
        for line in deploy_view.change_lines(changes) or ["Nothing was changed."]:
            output.say(line)
    if record.stoker_version != stoker.__version__:
        output.warn(
            f"Stoker {record.stoker_version} wrote the folder, and this is {stoker.__version__}: "
            "what it would write may differ by itself."
        )
    if changes:
        raise typer.Exit(1)


def _images(given: Sequence[str]) -> Images:
    """``engine=vllm/vllm-openai@sha256:...`` and the like. Raises ``UsageError``."""
    names = [field.name for field in fields(Images)]
    found = Images()
    for text in given:
        name, equals, image = text.partition("=")
        if not equals or name not in names or not image or any(c.isspace() for c in image):
            raise UsageError(
                f"--image {text!r} names no image.",
                f"It is NAME=IMAGE, with one of: {', '.join(names)}.",
                "For example: --image engine=vllm/vllm-openai@sha256:DIGEST",
            )
        found = replace(found, **{name: image})
    return found


def _cluster(given: Sequence[str]) -> Cluster:
    """``pool=green`` and the like. Raises ``UsageError``."""
    names = [field.name for field in fields(Cluster)]
    found: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or name not in names or not value or any(c.isspace() for c in value):
            raise UsageError(
                f"--cluster {text!r} sets nothing.",
                f"It is NAME=VALUE, with one of: {', '.join(names)}.",
                "For example: --cluster max_replicas=6",
            )
        found[name] = _number(text, value) if name == "max_replicas" else value
    return Cluster(**found)


def _number(text: str, value: str) -> int:
    if not value.isdecimal() or len(value) > 4:
        raise UsageError(f"--cluster {text!r} is not a number.", fix="Write it like 6.")
    return int(value)


for _format in EXPORTERS:
    app.command(_format, help=exporter_for(_format).help)(command)
