"""A site as a chart for Helm: the same objects, and what may be set in ``values.yaml``.

``helm template`` with the default values gives the objects of ``kubernetes_exporter``.
"""

from __future__ import annotations

import json
import re
from typing import Any

from stoker.deploy.exporter import Exporter
from stoker.deploy.kubernetes.cluster_readme import cluster_readme
from stoker.deploy.kubernetes.manifest import Because, ChartValue, ManifestFile, Node, settings
from stoker.deploy.kubernetes.manifest_text import escaped, helm_lines, yaml_lines
from stoker.deploy.kubernetes.object_names import Names
from stoker.deploy.kubernetes.site_manifests import site_manifests
from stoker.deploy.kubernetes.site_secrets import make_secrets, push_image
from stoker.deploy.site import Site
from stoker.deploy.site_file import Line, SiteFile
from stoker.deploy.stoker_image import image_files

_SCHEMA_TYPES = {bool: "boolean", int: "integer", str: "string", dict: "object", list: "array"}
#: The first release whose pods can sleep before they stop, without a feature gate.
_LEAST_KUBERNETES = ">=1.30.0-0"


def render(site: Site) -> tuple[SiteFile, ...]:
    """The chart's files."""
    manifests = site_manifests(site)
    found = {
        setting.path: setting
        for manifest in manifests
        for node in manifest.objects
        for setting in settings(node)
    }
    steps = next_steps(site)
    templates = [_template(manifest) for manifest in manifests]
    helpers = SiteFile(".helmignore", "image/\nstoker-deploy.json\n")
    return (
        helpers,
        _chart(site),
        _values(found),
        _schema(found),
        *templates,
        _notes(site),
        *image_files(site),
        cluster_readme(site, EXPORTER.name, steps, steps[-1]),
    )


def _template(manifest: ManifestFile) -> SiteFile:
    lines: list[Line | str] = [*manifest.head]
    for number, node in enumerate(manifest.objects):
        if number:
            lines.append("---")
        lines += helm_lines(node)
    return SiteFile.of(f"templates/{manifest.name}.yaml", lines)


def _chart(site: Site) -> SiteFile:
    found = re.match(r"\d+\.\d+\.\d+", site.stoker_version)
    node: dict[str, Node] = {
        "apiVersion": "v2",
        "name": site.request.name,
        "description": f"{site.plan.model.id} behind Stoker's gateways",
        "type": "application",
        "version": Because(found[0] if found else "0.1.0", "Raise it with each change of yours."),
        "appVersion": site.stoker_version,
        "kubeVersion": _LEAST_KUBERNETES,
    }
    return SiteFile.of("Chart.yaml", yaml_lines(node))


def _values(found: dict[str, ChartValue]) -> SiteFile:
    tree: dict[str, Any] = {}
    for path, setting in found.items():
        _put(tree, path, Because(setting.default, setting.why))
    head = ["# What may be set: docs/deploying-kubernetes.md of Stoker explains it.", ""]
    return SiteFile.of("values.yaml", [*head, *yaml_lines(tree)])


def _schema(found: dict[str, ChartValue]) -> SiteFile:
    """``values.schema.json``, by which Helm refuses misspelled values and wrong types."""
    schema: dict[str, Any] = {"$schema": "http://json-schema.org/draft-07/schema#", **_object()}
    for path, setting in found.items():
        inner = schema
        *parents, name = path.split(".")
        for parent in parents:
            inner = inner["properties"].setdefault(parent, _object())
        inner["properties"][name] = _property(setting)
    return SiteFile("values.schema.json", json.dumps(schema, indent=2) + "\n")


def _property(setting: ChartValue) -> dict[str, Any]:
    known = {"type": _SCHEMA_TYPES[type(setting.default)], "description": setting.why}
    if isinstance(setting.default, str):
        return {**known, "minLength": 1}
    return {**known, "minimum": 1} if isinstance(setting.default, int) else known


def _object() -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": {}}


def _put(tree: dict[str, Any], path: str, value: Node) -> None:
    *parents, name = path.split(".")
    for parent in parents:
        tree = tree.setdefault(parent, {})
    tree[name] = value


def _notes(site: Site) -> SiteFile:
    """What Helm prints after an installation."""
    within = "kubectl -n {{ .Release.Namespace }}"
    names = Names(site)
    lines = [
        f"The first start of the replicas downloads {escaped(site.plan.model.id)}. Watch it:",
        f"  {within} rollout status deployment/{names.engine} --timeout=2h",
        "The key of the first user:",
        f"  {within} get secret {names.secrets} -o jsonpath='{{.data.first-key}}' | base64 -d",
    ]
    return SiteFile("templates/NOTES.txt", "\n".join(lines) + "\n")


def next_steps(site: Site) -> tuple[str, ...]:
    """From an empty namespace to an installation."""
    names = Names(site)
    within = f"kubectl -n {names.namespace}"
    return (
        *push_image(site),
        f"kubectl create namespace {names.namespace}",
        *make_secrets(site, within),
        f"helm upgrade --install {site.request.name} . -n {names.namespace} --timeout 2h --wait",
    )


EXPORTER = Exporter(
    name="helm",
    help="Write a Helm chart with the same objects as the format kubernetes.",
    render=render,
    next_steps=next_steps,
    one_machine=False,
)
