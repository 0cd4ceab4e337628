"""The page that lies beside a site's files: start, keys, upgrade and rollback, with its names."""

from __future__ import annotations

from collections.abc import Sequence

from stoker.counted import counted
from stoker.deploy.repeated_options import write_again
from stoker.deploy.site import Site
from stoker.deploy.site_file import SiteFile


def readme(site: Site, format_name: str, steps: Sequence[str], *, stoker: str) -> SiteFile:
    """``README.md``. ``stoker`` is how Stoker's command is run beside a gateway."""
    parts = (
        _head(site, format_name),
        "## Start\n\n" + _shell(*steps),
        "The first start downloads the model, which takes minutes to an hour. Back up `secrets/`, "
        "and keep it out of version control.",
        "## Users' keys\n\n" + _shell(f"{stoker} keys create ann", f"{stoker} keys list"),
        _upgrade(site),
        _rollback(site),
    )
    return SiteFile("README.md", "\n\n".join(parts) + "\n")


def _head(site: Site, format_name: str) -> str:
    plan, request = site.plan, site.request
    each = f"{counted(plan.gpus, 'GPU')} each" if plan.gpus else "on the CPU"
    plain = "It speaks plain HTTP: for other machines add `--tls-host NAME`, or use your own proxy."
    return "\n\n".join(
        [
            f"# {plan.model.served_name} for {counted(request.users, 'user')}",
            f"{counted(request.replicas, 'replica')} of `{plan.model.id}` on {plan.engine} "
            f"({each}) and {counted(request.gateways, 'gateway')} at {request.endpoint}."
            + ("" if request.tls_host else f" {plain}"),
            f"`stoker deploy {format_name}` wrote these files. `stoker deploy diff .` shows what "
            "was changed by hand since.",
        ]
    )


def _upgrade(site: Site) -> str:
    return "\n\n".join(
        [
            "## Upgrade",
            "Write the new files over the old ones, and let the script change what runs:",
            _shell(
                "cp -r . ../before",
                write_again(site.request, "NEW-PLAN.json"),
                "./upgrade.sh",
            ),
            _promise(site),
        ]
    )


def _rollback(site: Site) -> str:
    return "## Rollback\n\nThe same, with the earlier plan:\n\n" + _shell(
        write_again(site.request, "../before/stoker-deploy.json"),
        "./upgrade.sh",
    )


def _promise(site: Site) -> str:
    if site.request.replicas == 1:
        return (
            "There is one replica, so requests are answered 503 while it starts again. A second "
            "one closes that gap."
        )
    return (
        "Each replica ends what it has begun before it is stopped, and the others answer until it "
        "is back: no request is lost. While both versions run, either may answer. A new model "
        "answers to the old name too; its own name works when the script has ended."
    )


def _shell(*lines: str) -> str:
    return "\n".join(["```sh", *lines, "```"])
