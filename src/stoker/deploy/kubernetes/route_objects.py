"""The way from the gateways to the replicas: a Gateway, an InferencePool, and an HTTPRoute.

Gateway API 1.5 (https://gateway-api.sigs.k8s.io) and its Inference Extension 1.5 and 1.6
(https://gateway-api-inference-extension.sigs.k8s.io).
"""

from __future__ import annotations

from collections.abc import Mapping

from stoker.deploy.kubernetes import pod_parts
from stoker.deploy.kubernetes.manifest import NAMESPACE, Because, ManifestFile, Node
from stoker.deploy.kubernetes.object_names import INFERENCE_PORT, PICK_PORT, Names
from stoker.deploy.site import Site

#: What the gateways forward and llm-d's parsers know: a picker refuses every other path with a
#: body by 400 (pkg/epp/handlers/parsers.go of llm-d-router 0.10).
PICKED_PATHS = (
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/responses",
    "/v1/messages",
    "/v1/embeddings",
)
_ROUTES = "gateway.networking.k8s.io"
_PARAMETERS = {"group": "agentgateway.dev", "kind": "AgentgatewayParameters"}
_INSIDE = Because("ClusterIP", "Inside the cluster only: clients go through Stoker's gateways.")


def route_manifest(site: Site) -> ManifestFile:
    """The objects of the route to the pool."""
    names = Names(site)
    labels = names.labels("engine")
    objects = [
        _gateway(site, names, labels),
        _pool(site, names, labels),
        _route(site, names, labels),
    ]
    if site.request.cluster.gateway_class == "istio":
        objects.append(_picker_tls(names, names.labels("picker")))
    else:
        objects.append(_inside_parameters(names, labels))
    return ManifestFile("route", "From the gateways to the replica that suits.", tuple(objects))


def _gateway(site: Site, names: Names, labels: Mapping[str, str]) -> Mapping[str, Node]:
    return {
        "apiVersion": f"{_ROUTES}/v1",
        "kind": "Gateway",
        "metadata": {**pod_parts.metadata(names.pool, labels), **_inside_annotation(site)},
        "spec": {
            "gatewayClassName": Because(
                site.request.cluster.gateway_class,
                "The cluster's implementation of the Gateway API. It makes the Service "
                f"{names.inference_service}, which the gateways use.",
            ),
            **_inside_reference(site, names),
            "listeners": [
                {
                    "name": "http",
                    "port": INFERENCE_PORT,
                    "protocol": "HTTP",
                    "allowedRoutes": {"namespaces": {"from": "Same"}},
                }
            ],
        },
    }


def _inside_annotation(site: Site) -> dict[str, Node]:
    """What keeps the Gateway's Service inside the cluster with Istio.

    Istio reads it from the Gateway itself, not from ``spec.infrastructure``
    (pilot/pkg/config/kube/gateway/deploymentcontroller.go).
    """
    if site.request.cluster.gateway_class != "istio":
        return {}
    return {"annotations": {"networking.istio.io/service-type": _INSIDE}}


def _inside_reference(site: Site, names: Names) -> dict[str, Node]:
    """The same with agentgateway: it names ``_inside_parameters``."""
    if site.request.cluster.gateway_class == "istio":
        return {}
    parameters: Node = {**_PARAMETERS, "name": names.pool}
    return {"infrastructure": {"parametersRef": parameters}}


def _inside_parameters(names: Names, labels: Mapping[str, str]) -> Mapping[str, Node]:
    """What agentgateway merges into the Service that it makes for the Gateway.

    controller/test/deployer/testdata/agentgateway-aws-nlb-dummy-port.yaml of
    https://github.com/agentgateway/agentgateway merges another field in the same way.
    """
    return {
        "apiVersion": f"{_PARAMETERS['group']}/v1alpha1",
        "kind": _PARAMETERS["kind"],
        "metadata": pod_parts.metadata(names.pool, labels),
        "spec": {"service": {"spec": {"type": _INSIDE}}},
    }


def _pool(site: Site, names: Names, labels: Mapping[str, str]) -> Mapping[str, Node]:
    return {
        "apiVersion": "inference.networking.k8s.io/v1",
        "kind": "InferencePool",
        "metadata": pod_parts.metadata(names.pool, labels),
        "spec": {
            "targetPorts": [{"number": site.engine.port}],
            "selector": {"matchLabels": names.selector("engine")},
            "endpointPickerRef": {
                "name": names.picker,
                "port": {"number": PICK_PORT},
                "failureMode": Because(
                    "FailOpen",
                    "Without its picker the pool still answers: any replica gets the request, and "
                    "reads the whole prompt.",
                ),
            },
        },
    }


def _route(site: Site, names: Names, labels: Mapping[str, str]) -> Mapping[str, Node]:
    pool: Node = {
        "group": "inference.networking.k8s.io",
        "kind": "InferencePool",
        "name": names.pool,
        "weight": Because(
            100,
            "For two versions side by side, add the InferencePool of the other one here, with the "
            "share that it gets.",
        ),
    }
    picked: dict[str, Node] = {
        "matches": [{"path": {"type": "Exact", "value": path}} for path in PICKED_PATHS],
        "backendRefs": [pool],
        "timeouts": Because(
            {"request": "0s"},
            "No limit: a long answer takes many minutes. The gateways end what is silent.",
        ),
    }
    others: dict[str, Node] = {
        "matches": Because(
            [{"path": {"type": "PathPrefix", "value": "/"}}],
            "Lists of models and counts of tokens: the picker would refuse /tokenize with 400.",
        ),
        "backendRefs": [{"name": names.engine, "port": site.engine.port}],
    }
    return {
        "apiVersion": f"{_ROUTES}/v1",
        "kind": "HTTPRoute",
        "metadata": pod_parts.metadata(names.pool, labels),
        "spec": {"parentRefs": [{"name": names.pool}], "rules": [picked, others]},
    }


def _picker_tls(names: Names, labels: Mapping[str, str]) -> Mapping[str, Node]:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": pod_parts.metadata(names.picker, labels),
        "spec": {
            "host": f"{names.picker}.{NAMESPACE}.svc.cluster.local",
            "trafficPolicy": {
                "tls": {
                    "mode": "SIMPLE",
                    "insecureSkipVerify": Because(
                        True, "The picker makes a certificate for itself at each start."
                    ),
                }
            },
        },
    }
