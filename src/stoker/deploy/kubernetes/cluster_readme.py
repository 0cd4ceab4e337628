"""The page that lies beside the files for a cluster: start, keys, upgrade and rollback."""

from __future__ import annotations

from collections.abc import Sequence

from stoker.counted import counted
from stoker.deploy.kubernetes.object_names import Names
from stoker.deploy.repeated_options import write_again
from stoker.deploy.site import Site
from stoker.deploy.site_file import SiteFile


def cluster_readme(site: Site, format_name: str, steps: Sequence[str], apply: str) -> SiteFile:
    """``README.md``. ``steps`` lead to a running site, ``apply`` changes it to what is written."""
    parts = (
        _head(site, format_name),
        "## Start\n\n" + _shell(*steps),
        "The first start downloads the model, which takes minutes to an hour. The Secret opens "
        "everything: keep it as you keep other Secrets of the cluster.",
        _first_answer(site),
        _upgrade(site, apply),
    )
    return SiteFile("README.md", "\n\n".join(parts) + "\n")


def _head(site: Site, format_name: str) -> str:
    plan = site.plan
    replicas = counted(site.request.replicas, "replica")
    gateways = counted(site.request.gateways, "gateway")
    gpus = f"with {counted(plan.gpus, 'GPU')} each" if plan.gpus else "on the CPU"
    return "\n\n".join(
        [
            f"# {plan.model.served_name} on Kubernetes",
            f"{replicas} of `{plan.model.id}` on {plan.engine} ({gpus}), behind {gateways}.",
            f"`stoker deploy {format_name}` wrote these files. `stoker deploy diff .` shows what "
            "was changed by hand since. The cluster needs Gateway API with its Inference "
            f"Extension, and `{site.request.cluster.gateway_class}`: "
            "docs/deploying-kubernetes.md of Stoker lists everything.",
        ]
    )


def _first_answer(site: Site) -> str:
    names = Names(site)
    within = f"kubectl -n {names.namespace}"
    key = f"{within} get secret {names.secrets} -o jsonpath='{{.data.first-key}}' | base64 -d"
    lines = [f'export FIRST_KEY="$({key})"']
    if site.request.tls_host is None:
        lines.append(f"{within} port-forward service/{names.gateway} {site.request.port} &")
    lines.append(f"stoker test {site.request.endpoint} --key-env FIRST_KEY")
    return "## The first answer\n\n" + _shell(*lines)


def _upgrade(site: Site, apply: str) -> str:
    rollout = f"kubectl -n {Names(site).namespace} rollout status"
    return "\n\n".join(
        [
            "## Upgrade and rollback",
            _shell(
                "cp -r . ../before",
                write_again(site.request, "NEW-PLAN.json"),
                apply,
                f"{rollout} deployment/{Names(site).engine} --timeout=2h",
            ),
            "A new replica answers before an old one is stopped, and an old one ends what it has "
            "begun: no request is lost. That takes the GPUs of one more replica while it lasts.",
            f"To go back: `{apply}` in the folder `before`.",
        ]
    )


def _shell(*lines: str) -> str:
    return "\n".join(["```sh", *lines, "```"])
