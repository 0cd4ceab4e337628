"""A site as YAML for ``kubectl apply -k``: plain objects, and a kustomization to build upon."""

from __future__ import annotations

from collections.abc import Mapping

from stoker.deploy.exporter import Exporter
from stoker.deploy.kubernetes.cluster_readme import cluster_readme
from stoker.deploy.kubernetes.manifest import Because, ManifestFile, Node
from stoker.deploy.kubernetes.manifest_text import with_namespace, yaml_lines
from stoker.deploy.kubernetes.object_names import Names
from stoker.deploy.kubernetes.site_manifests import site_manifests
from stoker.deploy.kubernetes.site_secrets import make_secrets, push_image
from stoker.deploy.site import Site
from stoker.deploy.site_file import Line, SiteFile
from stoker.deploy.stoker_image import image_files


def render(site: Site) -> tuple[SiteFile, ...]:
    """The site's files: a kustomization, the namespace, and the objects by their concern."""
    manifests = site_manifests(site)
    written = [_file(site, manifest) for manifest in manifests]
    return (
        _kustomization(site, manifests),
        _namespace(site),
        *written,
        *image_files(site),
        cluster_readme(site, EXPORTER.name, next_steps(site), "kubectl apply -k ."),
    )


def _file(site: Site, manifest: ManifestFile) -> SiteFile:
    lines: list[Line | str] = [*manifest.head]
    for number, node in enumerate(manifest.objects):
        if number:
            lines.append("---")
        lines += with_namespace(yaml_lines(node), Names(site).namespace)
    return SiteFile.of(f"{manifest.name}.yaml", lines)


def _namespace(site: Site) -> SiteFile:
    level = Because("baseline", "No pod may have the host's network, processes or devices.")
    node: Mapping[str, Node] = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": Names(site).namespace,
            "labels": {"pod-security.kubernetes.io/enforce": level},
        },
    }
    return SiteFile.of("namespace.yaml", yaml_lines(node))


def _kustomization(site: Site, manifests: tuple[ManifestFile, ...]) -> SiteFile:
    files = ["namespace.yaml", *(f"{manifest.name}.yaml" for manifest in manifests)]
    node: Mapping[str, Node] = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": Names(site).namespace,
        "resources": Because(
            list(files),
            "Build your own changes upon this folder as a base: then it can be written again.",
        ),
    }
    return SiteFile.of("kustomization.yaml", yaml_lines(node))


def next_steps(site: Site) -> tuple[str, ...]:
    """From an empty namespace to the first answer."""
    names = Names(site)
    within = f"kubectl -n {names.namespace}"
    return (
        *push_image(site),
        "kubectl apply -f namespace.yaml",
        *make_secrets(site, within),
        "kubectl apply -k .",
        f"{within} rollout status deployment/{names.engine} --timeout=2h",
        f"{within} rollout status deployment/{names.gateway}",
    )


EXPORTER = Exporter(
    name="kubernetes",
    help="Write YAML for Kubernetes: vLLM behind llm-d's endpoint picker.",
    render=render,
    next_steps=next_steps,
    one_machine=False,
)
