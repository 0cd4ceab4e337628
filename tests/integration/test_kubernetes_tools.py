"""What real Helm, kubectl and the extensions' own models say of the files for Kubernetes."""

from __future__ import annotations

import json
import os
import subprocess
from base64 import b64decode
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from tests.support import cluster_sites, kubernetes_tools
from tests.support.kubernetes_tools import KubernetesTools

from stoker.deploy import Site, exporter_for
from stoker.deploy.kubernetes import site_secrets
from stoker.deploy.kubernetes.manifest import plain
from stoker.deploy.kubernetes.object_names import Names
from stoker.deploy.kubernetes.site_manifests import site_manifests
from stoker.deploy.stoker_image import image_name

pytestmark = [pytest.mark.kubernetes, pytest.mark.usefixtures("home")]

Object = dict[str, Any]
_CHECK = Path(__file__).parent / "kubernetes_models" / "check_objects.mjs"
#: API groups of extensions, and the npm package that has their models.
_PACKAGES = {
    "cert-manager.io": "cert-manager",
    "gateway.networking.k8s.io": "gateway-api",
    "networking.istio.io": "istio",
    "keda.sh": "keda",
    "monitoring.coreos.com": "prometheus-operator",
}


@pytest.fixture(scope="module")
def tools() -> KubernetesTools:
    return kubernetes_tools.programs()


@pytest.fixture(params=list(cluster_sites.SITES))
def site(request: pytest.FixtureRequest) -> Site:
    return cluster_sites.SITES[request.param]()


def written(format_name: str, site: Site, folder: Path) -> Path:
    for file in exporter_for(format_name).render(site):
        place = folder / file.path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(file.text)
    return folder


def output_of(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def read(text: str) -> list[Object]:
    return list(YAML(typ="safe", pure=True).load_all(text))


def by_name(objects: Sequence[Object]) -> dict[tuple[str, str], Object]:
    return {(node["kind"], node["metadata"]["name"]): node for node in objects}


def objects(site: Site) -> list[Object]:
    return [plain(node) for manifest in site_manifests(site) for node in manifest.objects]


def in_namespace(node: Any, namespace: str) -> Any:
    """An object with the name of the namespace, which the builders leave open."""
    return json.loads(json.dumps(node).replace("@namespace@", namespace))


def test_helm_makes_of_the_chart_the_objects_of_the_other_format(
    tools: KubernetesTools, site: Site, tmp_path: Path
) -> None:
    chart = written("helm", site, tmp_path / "chart")
    plain_files = written("kubernetes", site, tmp_path / "files")
    namespace = Names(site).namespace
    text = output_of(tools.helm, "template", "any", str(chart), "--namespace", namespace)
    of_chart = by_name(read(text))
    of_files = by_name(
        [
            node
            for path in plain_files.glob("*.yaml")
            if path.name not in ("kustomization.yaml", "namespace.yaml")
            for node in read(path.read_text())
        ]
    )
    assert of_chart == of_files
    assert of_files == by_name([in_namespace(node, namespace) for node in objects(site)])


def test_helm_finds_nothing_wrong_with_the_chart(
    tools: KubernetesTools, site: Site, tmp_path: Path
) -> None:
    chart = written("helm", site, tmp_path / "chart")
    report = output_of(tools.helm, "lint", "--strict", str(chart))
    assert "0 chart(s) failed" in report


def test_values_of_the_chart_reach_its_objects(tools: KubernetesTools, tmp_path: Path) -> None:
    chart = written("helm", cluster_sites.SITES["issued"](), tmp_path / "chart")
    values = (
        "engine.replicas=3",
        "engine.image=registry.example.com/vllm@sha256:0123",
        "engine.resources.limits.nvidia\\.com/gpu=2",
        "gateway.serviceType=NodePort",
        "tls.host=other.example.com",
        "tls.secretName=other-tls",
    )
    given = [part for value in values for part in ("--set", value)]
    made = by_name(read(output_of(tools.helm, "template", "any", str(chart), *given)))
    engine = made["Deployment", "models-blue-engine"]["spec"]
    container = engine["template"]["spec"]["containers"][0]
    assert engine["replicas"] == 3
    assert container["image"] == "registry.example.com/vllm@sha256:0123"
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 2
    assert made["Service", "models-gateway"]["spec"]["type"] == "NodePort"
    certificate = made["Certificate", "models-tls"]["spec"]
    assert (certificate["dnsNames"], certificate["secretName"]) == (
        ["other.example.com"],
        "other-tls",
    )


@pytest.mark.parametrize("wrong", ["engine.replica=3", "engine.replicas=many", "engine.replicas=0"])
def test_helm_refuses_a_value_that_is_misspelled_or_of_another_type(
    tools: KubernetesTools, wrong: str, tmp_path: Path
) -> None:
    chart = written("helm", cluster_sites.SITES["rtx-5090"](), tmp_path / "chart")
    command = (tools.helm, "template", "any", str(chart), "--set", wrong)
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode != 0
    assert "don't meet the specifications of the schema" in done.stderr


def test_kustomize_builds_upon_the_folder(
    tools: KubernetesTools, site: Site, tmp_path: Path
) -> None:
    base = written("kubernetes", site, tmp_path / "base")
    overlay = tmp_path / "overlay"
    overlay.mkdir()
    image = image_name(site).rpartition(":")[0]
    (overlay / "kustomization.yaml").write_text(
        f"resources: [../base]\nimages: [{{name: {image}, newTag: '7'}}]\n"
    )
    built = by_name(read(output_of(tools.kubectl, "kustomize", str(overlay))))
    assert len(built) == len(objects(site)) + 1
    namespace = Names(site).namespace
    placed = [node for (kind, _), node in built.items() if kind != "Namespace"]
    assert {node["metadata"]["namespace"] for node in placed} == {namespace}
    gateway = built["Deployment", Names(site).gateway]["spec"]["template"]["spec"]
    assert gateway["containers"][0]["image"].endswith(":7")
    assert base.exists()


def test_the_printed_command_makes_the_secret_that_the_files_name(
    tools: KubernetesTools, tmp_path: Path
) -> None:
    site = cluster_sites.SITES["keda"]()
    command = site_secrets.make_secrets(site, "kubectl -n any")[0]
    # The same command, but the object is printed and not sent to a cluster.
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(f'#!/bin/sh\nexec {tools.kubectl} "$@" --dry-run=client -o yaml\n')
    kubectl.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "HF_TOKEN": "hf_1"}
    done = subprocess.run(
        ("bash", "-c", command), env=environment, capture_output=True, text=True, check=True
    )
    (secret,) = read(done.stdout)
    values = {key: b64decode(value).decode() for key, value in secret["data"].items()}
    assert set(values) == set(site_secrets.secret_keys(site))
    assert secret["metadata"]["name"] == Names(site).secrets
    assert len(set(values.values())) == len(values)
    assert all(len(value) >= 40 for key, value in values.items() if key != "hub-token")
    assert f":{values['postgres-password']}@stoker-postgres:5432/" in values["postgresql-url"]
    assert f":{values['redis-password']}@stoker-redis:6379/" in values["redis-url"]


def of_extensions(site: Site) -> list[Object]:
    return [n for n in objects(site) if n["apiVersion"].rpartition("/")[0] in _PACKAGES]


def test_the_models_of_the_extensions_take_every_object(site: Site) -> None:
    folder = kubernetes_tools.models()
    found = of_extensions(site)
    assert len(found) >= 3
    assert problems(folder, found) == [""] * len(found)
    broken = deepcopy(found)
    for node in broken:
        node["spec"] = "nothing"
    assert all(problems(folder, broken))


def problems(folder: Path, found: Sequence[Object]) -> list[str]:
    done = subprocess.run(
        ("node", str(_CHECK), str(folder)),
        input=json.dumps(found),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    answer: list[str] = json.loads(done.stdout)
    return answer


def test_no_field_of_an_extension_is_one_that_its_api_does_not_have(tmp_path: Path) -> None:
    # The models pass fields that they don't know. Their types do not: TypeScript looks at each.
    folder = kubernetes_tools.models()
    found = [node for made in cluster_sites.SITES.values() for node in of_extensions(made())]
    assert unknown_fields(folder, found, tmp_path) == 0
    broken = deepcopy(found)
    for node in broken:
        node["spec"]["replica"] = 1
    assert unknown_fields(folder, broken, tmp_path) == len(found)


def unknown_fields(folder: Path, found: Sequence[Object], place: Path) -> int:
    """How many errors TypeScript finds where each object is given the type of its API."""
    lines = []
    for number, node in enumerate(found):
        group, _, version = node["apiVersion"].partition("/")
        module = f"@kubernetes-models/{_PACKAGES[group]}/{group}/{version}"
        kind = f'import("{module}").I{node["kind"]}'
        lines.append(f"export const o{number}: {kind} = {json.dumps(node)};")
    source = place / "objects.ts"
    source.write_text("\n".join(lines) + "\n")
    modules = place / "node_modules"
    if not modules.exists():
        modules.symlink_to(folder / "node_modules")
    compiler = str(folder / "node_modules/typescript/bin/tsc")
    options = ("--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext", "--types", "")
    done = subprocess.run(
        ("node", compiler, *options, str(source)),
        cwd=place,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return done.stdout.count("error TS2353") if "TS2353" in done.stdout else len(done.stdout)
