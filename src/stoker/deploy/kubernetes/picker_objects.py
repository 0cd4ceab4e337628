"""llm-d's endpoint picker: it chooses the replica for a request, by what each has read and holds.

The flags, the configuration and the rights are those of llm-d-router 0.10
(https://github.com/llm-d/llm-d-router/tree/v0.10.0/config/charts).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from stoker.deploy.kubernetes import pod_parts
from stoker.deploy.kubernetes.manifest import NAMESPACE, Because, ChartValue, ManifestFile, Node
from stoker.deploy.kubernetes.object_names import (
    PICK_PORT,
    PICKER_HEALTH_PORT,
    PICKER_METRICS_PORT,
    Names,
)
from stoker.deploy.site import Site

_POOLS = "inference.networking.k8s.io"
_CONFIG = "picker.yaml"
#: Weights as llm-d's own chart has them.
_SCORERS = (("queue-scorer", 2), ("kv-cache-utilization-scorer", 2), ("prefix-cache-scorer", 3))
#: It keeps answering requests that are on their way for 30 s after the order to stop.
_STOP_S = 40


def picker_manifest(site: Site) -> ManifestFile:
    """The objects of the endpoint picker."""
    names = Names(site)
    labels = names.labels("picker")
    ports = {"grpc-ext-proc": PICK_PORT, "metrics": PICKER_METRICS_PORT}
    objects = (
        _account(names, labels),
        _role(names, labels),
        _role_binding(names, labels),
        _config_map(names, labels),
        _deployment(site, names),
        pod_parts.service(names.picker, labels, ports),
    )
    return ManifestFile("picker", "llm-d's endpoint picker: which replica gets a request.", objects)


def _account(names: Names, labels: Mapping[str, str]) -> Mapping[str, Node]:
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": pod_parts.metadata(names.picker, labels),
    }


def _role(names: Names, labels: Mapping[str, str]) -> Mapping[str, Node]:
    watch = ["get", "list", "watch"]
    # Of llm-d since Inference Extension 1.6 (llm-d.ai/v1alpha2). None is written: one has an effect
    # on requests that name it in x-llm-d-inference-objective, and Stoker's gateways, which put
    # chat turns before side requests themselves, send no such header.
    objectives = ["inferenceobjectives", "inferencemodelrewrites"]
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": pod_parts.metadata(names.picker, labels),
        "rules": [
            {
                "apiGroups": [""],
                "resources": Because(["pods"], "Which replicas there are, and which are ready."),
                "verbs": watch,
            },
            {
                "apiGroups": [_POOLS],
                "resources": Because(["inferencepools"], "Which pods belong to its pool."),
                "verbs": watch,
            },
            {
                "apiGroups": ["llm-d.ai", "inference.networking.x-k8s.io"],
                "resources": Because(objectives, "Priorities, where the cluster has any."),
                "verbs": watch,
            },
        ],
    }


def _role_binding(names: Names, labels: Mapping[str, str]) -> Mapping[str, Node]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": pod_parts.metadata(names.picker, labels),
        "subjects": [{"kind": "ServiceAccount", "name": names.picker, "namespace": NAMESPACE}],
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "Role",
            "name": names.picker,
        },
    }


def _config() -> str:
    """An ``EndpointPickerConfig``. What is not listed has llm-d's defaults."""
    plugins = [f"  - type: {scorer}" for scorer, _ in _SCORERS]
    weights = [f"      - pluginRef: {scorer}\n        weight: {w}" for scorer, w in _SCORERS]
    return "\n".join(
        (
            "apiVersion: llm-d.ai/v1alpha1",
            "kind: EndpointPickerConfig",
            "# Few waiting requests, a KV cache with room, and above all a prompt whose beginning",
            "# the replica has read: an agent sends its whole conversation again with each turn.",
            "plugins:",
            *plugins,
            "schedulingProfiles:",
            "  - name: default",
            "    plugins:",
            *weights,
            "",
        )
    )


def _config_map(names: Names, labels: Mapping[str, str]) -> Mapping[str, Node]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": pod_parts.metadata(names.picker, labels),
        "data": {_CONFIG: _config()},
    }


def _deployment(site: Site, names: Names) -> Mapping[str, Node]:
    spec: dict[str, Node] = {
        "replicas": Because(
            1,
            "It remembers what each replica has read. Two pickers would each know half of it. "
            "While none runs, the pool's failureMode sends requests to any replica.",
        ),
        "strategy": Because({"type": "Recreate"}, "Never two at the same time."),
        "selector": {"matchLabels": names.selector("picker")},
        "template": _pod(site, names),
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": pod_parts.metadata(names.picker, names.labels("picker")),
        "spec": spec,
    }


def _pod(site: Site, names: Names) -> Mapping[str, Node]:
    spec = pod_parts.pod_basics(_STOP_S, "It answers what is on its way for 30 seconds more.")
    digest = hashlib.sha256(_config().encode()).hexdigest()[:16]
    spec |= {
        "serviceAccountName": names.picker,
        "automountServiceAccountToken": Because(True, "It watches the pods of its pool."),
        "securityContext": pod_parts.unprivileged_user(65532),
        "containers": [_container(site, names)],
        "volumes": [{"name": "config", "configMap": {"name": names.picker}}],
    }
    annotations = {"stoker/files": Because(digest, "A changed configuration starts a new pod.")}
    metadata: Mapping[str, Node] = {
        "labels": names.labels("picker"),
        "annotations": annotations,
    }
    return {"metadata": metadata, "spec": spec}


def _container(site: Site, names: Names) -> Mapping[str, Node]:
    health: Mapping[str, Node] = {
        "grpc": {"port": PICKER_HEALTH_PORT, "service": "inference-extension"}
    }
    return {
        "name": "picker",
        "image": ChartValue(
            "picker.image", site.request.cluster.picker_image, "llm-d's endpoint picker."
        ),
        "args": _arguments(names),
        "env": [
            {"name": variable, "valueFrom": {"fieldRef": {"fieldPath": f"metadata.{field}"}}}
            for variable, field in (("NAMESPACE", "namespace"), ("POD_NAME", "name"))
        ],
        "ports": [
            {"name": "grpc-ext-proc", "containerPort": PICK_PORT},
            {"name": "grpc-health", "containerPort": PICKER_HEALTH_PORT},
            {"name": "metrics", "containerPort": PICKER_METRICS_PORT},
        ],
        "livenessProbe": {**health, "initialDelaySeconds": 5, "periodSeconds": 10},
        "readinessProbe": {**health, "periodSeconds": 2},
        "resources": ChartValue(
            "picker.resources",
            {"requests": {"cpu": "2", "memory": "4Gi"}, "limits": {"memory": "8Gi"}},
            "For about three long agent requests a second. llm-d measured half a core to a whole "
            "one for each (docs/operations.md of llm-d-router).",
        ),
        "securityContext": pod_parts.no_privileges(),
        "volumeMounts": [{"name": "config", "mountPath": "/config", "readOnly": True}],
    }


def _arguments(names: Names) -> Node:
    open_metrics = (
        "Asking for a token would take a ClusterRole. The network policy lets only Prometheus in."
    )
    return [
        f"--pool-name={names.pool}",
        f"--pool-group={_POOLS}",
        f"--config-file=/config/{_CONFIG}",
        f"--grpc-health-port={PICKER_HEALTH_PORT}",
        "--zap-encoder=json",
        Because("--tracing=false", "No collector is set up."),
        Because("--metrics-endpoint-auth=false", open_metrics),
        Because("--enable-pprof=false", "Profiles would be open to all that may read the metrics."),
    ]
