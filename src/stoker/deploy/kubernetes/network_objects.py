"""Network policies: nothing reaches anything but what is listed here.

They hold where the cluster's network enforces them (Calico, Cilium and most managed clusters do).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stoker.deploy.kubernetes import engine_objects, pod_parts
from stoker.deploy.kubernetes.manifest import Because, ManifestFile, Node
from stoker.deploy.kubernetes.object_names import (
    GATEWAY_PORT,
    INFERENCE_PORT,
    PICK_PORT,
    PICKER_METRICS_PORT,
    Names,
)
from stoker.deploy.kubernetes.store_objects import POSTGRES_PORT, REDIS_PORT
from stoker.deploy.site import Site

_DNS_PORT = 53
#: https://kubernetes.io/docs/tasks/administer-cluster/nodelocaldns
_NODE_DNS = "169.254.20.10/32"
_HTTPS_PORT = 443
#: The API server's ports: of its Service, and of its pods, which some networks compare.
_API_PORTS = (443, 6443)
#: Where the proxies of a Gateway get their configuration from.
#: Every implementation labels the pods that it makes for a Gateway so (GEP-1762).
_GATEWAY_NAME = "gateway.networking.k8s.io/gateway-name"
#: Of every pool: while two are side by side, the Gateway of one reaches the other's replicas.
_INFERENCE_GATEWAYS: Node = {
    "podSelector": {"matchExpressions": [{"key": _GATEWAY_NAME, "operator": "Exists"}]}
}
_CONTROL_PLANES = {"istio": ("istio-system", 15012), "agentgateway": ("agentgateway-system", 9978)}
_PURPOSE = (
    "Network policies. Clients reach the gateways; the gateways reach the pool's Gateway and the "
    "stores; only that Gateway, the picker and Prometheus reach the replicas."
)


def network_manifest(site: Site) -> ManifestFile:
    """The network policies of the site."""
    names = Names(site)
    policies = [
        _deny_all(names),
        _names_for_all(names),
        _engine(site, names),
        _picker(site, names),
        _inference_gateway(site, names),
        _gateway(site, names),
        _store(names, names.postgres, "postgres", POSTGRES_PORT),
        _store(names, names.redis, "redis", REDIS_PORT),
    ]
    return ManifestFile("network", _PURPOSE, tuple(policies))


def _policy(
    names: Names, name: str, selected: Mapping[str, str], rules: Mapping[str, Node]
) -> Mapping[str, Node]:
    """A policy for the selected pods. It goes with its pool when that is deleted by its label."""
    kinds = [kind for kind in ("Ingress", "Egress") if kind.lower() in rules]
    of_site = {"app.kubernetes.io/instance": names.site.request.name}
    labels = (
        {**of_site, "pool": names.site.request.cluster.pool}
        if name.startswith(names.pool)
        else of_site
    )
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": pod_parts.metadata(name, labels),
        "spec": {
            "podSelector": {"matchLabels": dict(selected)} if selected else {},
            "policyTypes": kinds,
            **rules,
        },
    }


def _deny_all(names: Names) -> Mapping[str, Node]:
    why = "Every pod of the namespace, also one that is added later: what is not listed is refused."
    policy = _policy(
        names, f"{names.site.request.name}-deny-all", {}, {"ingress": [], "egress": []}
    )
    spec = policy["spec"]
    assert isinstance(spec, Mapping)  # noqa: S101  (for the type checker: built above)
    return {**policy, "spec": {**spec, "podSelector": Because({}, why)}}


def _names_for_all(names: Names) -> Mapping[str, Node]:
    ports: Node = [{"protocol": protocol, "port": _DNS_PORT} for protocol in ("UDP", "TCP")]
    cache = Because(
        {"cidr": _NODE_DNS}, "NodeLocal DNSCache, in clusters that have it: it is in no pod."
    )
    to: list[Node] = [{"namespaceSelector": _namespace("kube-system")}, {"ipBlock": cache}]
    rules: dict[str, Node] = {"egress": [{"to": to, "ports": ports}]}
    return _policy(names, f"{names.site.request.name}-dns", {}, rules)


def _engine(site: Site, names: Names) -> Mapping[str, Node]:
    callers = [
        _INFERENCE_GATEWAYS,
        {"podSelector": {"matchLabels": names.selector("picker")}},
        *_prometheus(site),
    ]
    egress: list[Node] = []
    if engine_objects.claimed_folders(site):
        why = (
            "The model hub. Delete this rule once the weights are in the volume: then a replica "
            "reaches nothing outside."
        )
        egress.append({"ports": Because(_ports(_HTTPS_PORT), why)})
    rules: dict[str, Node] = {"ingress": [_from(callers, site.engine.port)], "egress": egress}
    return _policy(names, names.engine, names.selector("engine"), rules)


def _picker(site: Site, names: Names) -> Mapping[str, Node]:
    ingress = [_from([_INFERENCE_GATEWAYS], PICK_PORT)]
    if site.request.monitoring:
        ingress.append(_from(_prometheus(site), PICKER_METRICS_PORT))
    replicas = {"podSelector": {"matchLabels": names.selector("engine")}}
    api = Because(
        _ports(*_API_PORTS), "Kubernetes' API, which has no label that a policy could name."
    )
    egress: list[Node] = [{"to": [replicas], "ports": _ports(site.engine.port)}, {"ports": api}]
    rules: dict[str, Node] = {"ingress": ingress, "egress": egress}
    return _policy(names, names.picker, names.selector("picker"), rules)


def _inference_gateway(site: Site, names: Names) -> Mapping[str, Node]:
    """The pool's Gateway: its pods are made by the implementation, which labels them."""
    gateways = {"podSelector": {"matchLabels": names.selector("gateway")}}
    picker = {"podSelector": {"matchLabels": names.of_all_pools("picker")}}
    engines = {"podSelector": {"matchLabels": names.of_all_pools("engine")}}
    namespace, port = _CONTROL_PLANES[site.request.cluster.gateway_class]
    control_plane: Node = {
        "to": [{"namespaceSelector": _namespace(namespace)}],
        "ports": Because(_ports(port), "Its proxies get their configuration from there."),
    }
    rules: dict[str, Node] = {
        "ingress": [_from([gateways], INFERENCE_PORT)],
        "egress": [
            {"to": [engines], "ports": _ports(site.engine.port)},
            {"to": [picker], "ports": _ports(PICK_PORT)},
            control_plane,
        ],
    }
    selected = {_GATEWAY_NAME: names.pool}
    return _policy(names, names.pool, selected, rules)


def _gateway(site: Site, names: Names) -> Mapping[str, Node]:
    why = "Clients, from wherever they come: they need a key. Name their networks to narrow it."
    stores = (("postgres", POSTGRES_PORT), ("redis", REDIS_PORT))
    egress: list[Node] = [
        {"to": [_INFERENCE_GATEWAYS], "ports": _ports(INFERENCE_PORT)},
        *(
            {
                "to": [{"podSelector": {"matchLabels": names.selector(store)}}],
                "ports": _ports(port),
            }
            for store, port in stores
        ),
    ]
    ingress: Node = [{"ports": Because(_ports(GATEWAY_PORT), why)}]
    others = "Sign-on, traces, and databases of your own need a rule each."
    rules: dict[str, Node] = {"ingress": ingress, "egress": Because(egress, others)}
    return _policy(names, names.gateway, names.selector("gateway"), rules)


def _store(names: Names, name: str, component: str, port: int) -> Mapping[str, Node]:
    gateways = {"podSelector": {"matchLabels": names.selector("gateway")}}
    rules: dict[str, Node] = {"ingress": [_from([gateways], port)]}
    return _policy(names, name, names.selector(component), rules)


def _prometheus(site: Site) -> list[Node]:
    if not site.request.monitoring:
        return []
    return [{"namespaceSelector": _namespace(site.request.cluster.prometheus_namespace)}]


def _namespace(name: str) -> Node:
    return {"matchLabels": {"kubernetes.io/metadata.name": name}}


def _from(peers: Sequence[Node], port: int) -> Node:
    return {"from": list(peers), "ports": _ports(port)}


def _ports(*numbers: int) -> Node:
    return [{"protocol": "TCP", "port": number} for number in numbers]
