"""The objects of a site: what Kubernetes takes, and what finds what."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support import cluster_sites, kubernetes_schemas

from stoker.deploy import Cluster, Site, exporter_for
from stoker.deploy.kubernetes import site_secrets
from stoker.deploy.kubernetes.manifest import plain
from stoker.deploy.kubernetes.object_names import Names
from stoker.deploy.kubernetes.route_objects import PICKED_PATHS
from stoker.deploy.kubernetes.site_manifests import site_manifests
from stoker.gateway.api import path_rules

pytestmark = pytest.mark.usefixtures("home")

Object = dict[str, Any]
#: What a pod is made from, and where its template is.
_WORKLOADS = ("Deployment", "StatefulSet")
_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
#: Kinds that a cluster knows after an extension was installed: validated with the real tools.
_EXTENSIONS = {
    "AgentgatewayParameters",
    "Certificate",
    "DestinationRule",
    "Gateway",
    "HTTPRoute",
    "PrometheusRule",
    "ScaledObject",
    "ServiceMonitor",
}
#: Most objects of two sites are alike, and a schema of Kubernetes takes a while.
_checked: set[str] = set()


def objects(site: Site) -> list[Object]:
    return [plain(node) for manifest in site_manifests(site) for node in manifest.objects]


def of_kind(found: list[Object], *kinds: str) -> list[Object]:
    return [node for node in found if node["kind"] in kinds]


def pods(found: list[Object]) -> list[Object]:
    return [node["spec"]["template"] for node in of_kind(found, *_WORKLOADS)]


def parts(node: Any) -> Iterator[dict[str, Any]]:
    """Every mapping within an object."""
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    if isinstance(node, list):
        for part in node:
            yield from parts(part)


def matches(selector: dict[str, str], labels: dict[str, str]) -> bool:
    return selector.items() <= labels.items()


@st.composite
def sites(draw: st.DrawFn) -> Site:
    replicas = draw(st.integers(1, 8))
    name = draw(st.from_regex(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?", fullmatch=True))
    cluster = Cluster(
        pool=draw(st.from_regex(r"[a-z]([-a-z0-9]{0,8}[a-z0-9])?", fullmatch=True)),
        gateway_class=draw(st.sampled_from(["istio", "agentgateway"])),
        max_replicas=draw(st.one_of(st.none(), st.integers(replicas + 1, 64))),
        autoscaler=draw(st.sampled_from(["keda", "hpa"])),
        issuer=draw(st.one_of(st.none(), st.just("internal-ca"))),
        storage_class=draw(st.one_of(st.none(), st.just("cephfs"))),
    )
    return cluster_sites.site(
        draw(st.sampled_from(["l40s", "2x-h200", "cpu", "cpu-folder"])),
        replicas=replicas,
        gateways=draw(st.integers(1, 16)),
        users=draw(st.integers(1, 5000)),
        name=name,
        port=draw(st.integers(1, 65535)),
        tls_host=draw(st.one_of(st.none(), st.just("llm.example.com"))),
        monitoring=draw(st.booleans()),
        cluster=cluster,
    )


_many = settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@_many
@given(site=sites())
def test_kubernetes_takes_every_object_of_its_own(site: Site) -> None:
    for node in objects(site):
        if node["kind"] in _EXTENSIONS:
            assert not kubernetes_schemas.is_known(node)
        elif (text := json.dumps(node)) not in _checked:
            kubernetes_schemas.check(node)
            _checked.add(text)


@pytest.mark.parametrize(
    ("kind", "path", "wrong"),
    [
        ("Deployment", ("spec", "replica"), 2),
        ("Deployment", ("spec", "replicas"), "2"),
        ("Service", ("spec", "ports"), [{"prot": 80}]),
        ("InferencePool", ("spec", "endpointPickerRef", "failureMode"), "Open"),
        ("InferencePool", ("spec", "targetPort"), 8000),
        ("NetworkPolicy", ("spec", "podselector"), {}),
    ],
)
def test_the_schemas_refuse_what_is_misspelled(
    kind: str, path: tuple[str, ...], wrong: object
) -> None:
    node = json.loads(json.dumps(of_kind(objects(cluster_sites.site("l40s")), kind)[0]))
    kubernetes_schemas.check(node)
    *parents, last = path
    inner = node
    for parent in parents:
        inner = inner[parent]
    inner[last] = wrong
    with pytest.raises(jsonschema.ValidationError):
        kubernetes_schemas.check(node)


@_many
@given(site=sites())
def test_every_selector_finds_the_pods_of_its_own_workload_and_no_other(site: Site) -> None:
    found = objects(site)
    workloads = {node["metadata"]["name"]: node for node in of_kind(found, *_WORKLOADS)}
    labels = {name: w["spec"]["template"]["metadata"]["labels"] for name, w in workloads.items()}
    selectors = {name: w["spec"]["selector"]["matchLabels"] for name, w in workloads.items()}
    selectors |= {n["metadata"]["name"]: n["spec"]["selector"] for n in of_kind(found, "Service")}
    for node in of_kind(found, "PodDisruptionBudget"):
        selectors[node["metadata"]["name"]] = node["spec"]["selector"]["matchLabels"]
    for name, selector in selectors.items():
        assert [held for held in labels if matches(selector, labels[held])] == [name]
    pool = of_kind(found, "InferencePool")[0]["spec"]["selector"]["matchLabels"]
    assert [held for held in labels if matches(pool, labels[held])] == [Names(site).engine]


@_many
@given(site=sites())
def test_whatever_an_object_refers_to_is_there_or_is_to_be_made_by_the_user(site: Site) -> None:
    found = objects(site)
    names = Names(site)
    there = {(node["kind"], node["metadata"]["name"]) for node in found}
    there |= {("Secret", names.secrets)}
    if site.request.tls_host:
        there |= {("Secret", names.certificate)}
    if site.engine.model_folder is not None:
        there |= {("PersistentVolumeClaim", names.models)}
    for part in parts([pod["spec"] for pod in pods(found)]):
        for key, kind, named in (
            ("configMap", "ConfigMap", "name"),
            ("secret", "Secret", "secretName"),
            ("secretKeyRef", "Secret", "name"),
            ("persistentVolumeClaim", "PersistentVolumeClaim", "claimName"),
        ):
            if key in part:
                assert (kind, part[key][named]) in there
        if "serviceAccountName" in part:
            assert ("ServiceAccount", part["serviceAccountName"]) in there
    for target in (
        n["spec"]["scaleTargetRef"] for n in found if "scaleTargetRef" in n.get("spec", {})
    ):
        assert ("Deployment", target["name"]) in there
    for monitor in of_kind(found, "ServiceMonitor"):
        selector = monitor["spec"]["selector"]["matchLabels"]
        services = of_kind(found, "Service")
        seen = [n for n in services if matches(selector, n["metadata"]["labels"])]
        ports = {port["name"] for port in seen[0]["spec"]["ports"]}
        assert len(seen) == 1
        assert monitor["spec"]["endpoints"][0]["port"] in ports


@_many
@given(site=sites())
def test_the_route_leads_to_the_pool_and_the_pool_to_its_picker(site: Site) -> None:
    found = objects(site)
    services = {node["metadata"]["name"]: node for node in of_kind(found, "Service")}
    pool = of_kind(found, "InferencePool")[0]
    route = of_kind(found, "HTTPRoute")[0]
    gateway = of_kind(found, "Gateway")[0]
    picked, others = route["spec"]["rules"]
    assert picked["backendRefs"][0]["name"] == pool["metadata"]["name"]
    other = services[others["backendRefs"][0]["name"]]
    assert other["spec"]["ports"][0]["port"] == others["backendRefs"][0]["port"]
    assert route["spec"]["parentRefs"] == [{"name": gateway["metadata"]["name"]}]
    picker = services[pool["spec"]["endpointPickerRef"]["name"]]
    ports = [port["port"] for port in picker["spec"]["ports"]]
    assert pool["spec"]["endpointPickerRef"]["port"]["number"] in ports
    config = of_kind(found, "ConfigMap")
    toml = next(n["data"]["gateway.toml"] for n in config if "gateway.toml" in n["data"])
    listener = gateway["spec"]["listeners"][0]["port"]
    assert f'url = "http://{Names(site).inference_service}:{listener}"' in toml


def test_the_picker_gets_all_that_the_gateways_forward_to_vllm() -> None:
    # vLLM has no /infill. Every other path with a body is refused by the picker.
    assert set(PICKED_PATHS) == set(path_rules.BACKEND_PATHS) - {path_rules.INFILL}


@_many
@given(site=sites())
def test_every_name_is_one_that_dns_takes(site: Site) -> None:
    found = objects(site)
    named = [node["metadata"]["name"] for node in found]
    named += [Names(site).inference_service, Names(site).namespace]
    named += [part["name"] for pod in pods(found) for part in pod["spec"]["containers"]]
    named += [part["name"] for pod in pods(found) for part in pod["spec"].get("volumes", [])]
    assert all(_DNS_LABEL.fullmatch(name) for name in named)
    keys = [(node["kind"], node["metadata"]["name"]) for node in found]
    assert len(set(keys)) == len(keys)
    labels = [value for node in found for value in node["metadata"]["labels"].values()]
    assert all(len(label) <= 63 for label in labels)


@_many
@given(site=sites())
def test_a_replica_is_reached_only_by_its_gateway_its_picker_and_prometheus(site: Site) -> None:
    names = Names(site)
    policies = {n["metadata"]["name"]: n["spec"] for n in of_kind(objects(site), "NetworkPolicy")}
    refused = policies[f"{site.request.name}-deny-all"]
    assert refused["podSelector"] == {}
    assert refused["policyTypes"] == ["Ingress", "Egress"]
    assert (refused["ingress"], refused["egress"]) == ([], [])
    rules = policies[names.engine]["ingress"]
    assert [rule["ports"] for rule in rules] == [[{"protocol": "TCP", "port": site.engine.port}]]
    prometheus = {"kubernetes.io/metadata.name": site.request.cluster.prometheus_namespace}
    gateway_name = "gateway.networking.k8s.io/gateway-name"
    assert rules[0]["from"] == [
        {"podSelector": {"matchExpressions": [{"key": gateway_name, "operator": "Exists"}]}},
        {"podSelector": {"matchLabels": names.selector("picker")}},
        *([{"namespaceSelector": {"matchLabels": prometheus}}] if site.request.monitoring else []),
    ]
    for store in (names.postgres, names.redis):
        callers = [caller for rule in policies[store]["ingress"] for caller in rule["from"]]
        assert callers == [{"podSelector": {"matchLabels": names.selector("gateway")}}]


@_many
@given(site=sites())
def test_a_rollout_never_takes_away_what_it_has_not_replaced(site: Site) -> None:
    found = {node["metadata"]["name"]: node for node in of_kind(objects(site), "Deployment")}
    for name in (Names(site).engine, Names(site).gateway):
        strategy = found[name]["spec"]["strategy"]["rollingUpdate"]
        assert strategy == {"maxSurge": 1, "maxUnavailable": 0}
        pod = found[name]["spec"]["template"]["spec"]
        assert pod["terminationGracePeriodSeconds"] > site.engine.stop_s
        assert "preStop" in pod["containers"][0]["lifecycle"]
    engine = found[Names(site).engine]["spec"]
    startup = engine["template"]["spec"]["containers"][0]["startupProbe"]
    longest = startup["periodSeconds"] * startup["failureThreshold"]
    assert site.engine.first_start_s <= longest < engine["progressDeadlineSeconds"]
    assert ("replicas" in engine) is (site.request.cluster.max_replicas is None)


@_many
@given(site=sites())
def test_no_container_has_a_privilege_and_no_image_is_a_moving_one(site: Site) -> None:
    for pod in pods(objects(site)):
        spec = pod["spec"]
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}
            tag = container["image"].rpartition(":")[2]
            assert re.search(r"\d", tag)
            assert "latest" not in tag


def test_secrets_are_only_named_and_every_named_key_is_made_by_a_command() -> None:
    for made in cluster_sites.SITES.values():
        site = made()
        found = objects(site)
        assert not of_kind(found, "Secret")
        references = [
            part["secretKeyRef"]["key"] for part in parts(found) if "secretKeyRef" in part
        ]
        keys = site_secrets.secret_keys(site)
        assert set(references) <= set(keys)
        command = site_secrets.make_secrets(site, "kubectl")[0]
        assert all(f"\n{key}=" in command for key in keys)
        assert command.count("openssl rand") == 5


def test_two_pools_of_a_site_share_no_name_but_those_of_the_site() -> None:
    made = [
        {
            (node["kind"], node["metadata"]["name"])
            for node in objects(cluster_sites.site("h100", cluster=Cluster(pool=pool)))
        }
        for pool in ("blue", "green")
    ]
    shared = {name for _, name in made[0] & made[1]}
    assert shared == {
        "stoker-gateway",
        "stoker-postgres",
        "stoker-redis",
        "stoker-deny-all",
        "stoker-dns",
    }
    assert {kind for kind, _ in made[0] - made[1]} >= {"InferencePool", "HTTPRoute", "Gateway"}


@pytest.mark.parametrize("format_name", ["kubernetes", "helm"])
def test_the_folders_page_leads_from_an_empty_namespace_to_an_answer(format_name: str) -> None:
    site = cluster_sites.SITES["issued"]()
    exporter = exporter_for(format_name)
    (page,) = (file.text for file in exporter.render(site) if file.path == "README.md")
    places = [page.index(step) for step in exporter.next_steps(site)]
    assert places == sorted(places)
    key = f"get secret {Names(site).secrets} -o jsonpath='{{.data.first-key}}' | base64 -d"
    assert places[-1] < page.index(key) < page.index(f"stoker test {site.request.endpoint}")
    assert "../before" in page


def test_names_are_resolved_in_clusters_with_a_cache_on_each_node() -> None:
    policies = of_kind(objects(cluster_sites.SITES["issued"]()), "NetworkPolicy")
    (names,) = (one for one in policies if one["metadata"]["name"].endswith("-dns"))
    (rule,) = names["spec"]["egress"]
    assert {"ipBlock": {"cidr": "169.254.20.10/32"}} in rule["to"]
    assert {port["port"] for port in rule["ports"]} == {53}


@pytest.mark.parametrize("gateway_class", ["istio", "agentgateway"])
def test_the_way_to_the_pool_is_open_inside_the_cluster_only(gateway_class: str) -> None:
    """Both implementations make a Service of the type LoadBalancer otherwise."""
    site = cluster_sites.site("l40s", cluster=Cluster(gateway_class=gateway_class))
    found = objects(site)
    (gateway,) = of_kind(found, "Gateway")
    if gateway_class == "istio":
        assert gateway["metadata"]["annotations"] == {
            "networking.istio.io/service-type": "ClusterIP"
        }
        return
    (parameters,) = of_kind(found, "AgentgatewayParameters")
    assert parameters["spec"] == {"service": {"spec": {"type": "ClusterIP"}}}
    assert gateway["spec"]["infrastructure"]["parametersRef"] == {
        "group": parameters["apiVersion"].partition("/")[0],
        "kind": parameters["kind"],
        "name": parameters["metadata"]["name"],
    }
