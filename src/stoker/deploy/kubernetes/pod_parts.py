"""What the pods of a site have in common."""

from __future__ import annotations

from collections.abc import Mapping

from stoker.deploy.kubernetes.manifest import Because, Node
from stoker.deploy.kubernetes.object_names import Names


def metadata(name: str, labels: Mapping[str, str]) -> Mapping[str, Node]:
    return {"name": name, "labels": dict(labels)}


def from_secret(names: Names, variable: str, key: str, *, optional: bool = False) -> Node:
    """A variable whose value is a key of the site's Secret."""
    found: dict[str, Node] = {"name": names.secrets, "key": key}
    if optional:
        found["optional"] = True
    return {"name": variable, "valueFrom": {"secretKeyRef": found}}


def pod_basics(grace_s: int, why: str) -> dict[str, Node]:
    """What every pod of the site begins with. ``grace_s`` is how long it may take to stop."""
    return {
        "terminationGracePeriodSeconds": Because(grace_s, why),
        "automountServiceAccountToken": Because(False, "Nothing in it talks to Kubernetes."),
        "enableServiceLinks": Because(
            False,
            "Kubernetes would set variables such as VLLM_PORT for a Service of that name, and "
            "programs would read them as their own.",
        ),
    }


def no_privileges(*, read_only: bool = True) -> Mapping[str, Node]:
    """A container's security context that holds nothing."""
    context: dict[str, Node] = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    return {**context, "readOnlyRootFilesystem": True} if read_only else context


def unprivileged_user(user: int) -> Node:
    """A pod's security context with a user that is not root; volumes are given to its group."""
    return {
        "runAsNonRoot": True,
        "runAsUser": user,
        "runAsGroup": user,
        "fsGroup": user,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def spread(labels: Mapping[str, str]) -> Node:
    """Replicas on different nodes, as far as there are some."""
    return [
        {
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": Because(
                "ScheduleAnyway",
                "A node that fails takes one of them along. On a cluster with one node they still "
                "start.",
            ),
            "labelSelector": {"matchLabels": dict(labels)},
        }
    ]


def rolling_update(why: str) -> Node:
    """A new pod is ready before an old one is stopped."""
    return Because(
        {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}, why
    )


def http_probe(path: str, period_s: int, failures: int, **more: Node) -> Mapping[str, Node]:
    """A probe of the port that is called ``http``."""
    return {
        "httpGet": {"path": path, "port": "http", **more},
        "periodSeconds": period_s,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }


def service(
    name: str, labels: Mapping[str, str], ports: Mapping[str, Node], **more: Node
) -> Mapping[str, Node]:
    """A Service for the pods with these labels; ``ports`` is the number of each port by name."""
    selected = {key: value for key, value in labels.items() if key != "app.kubernetes.io/name"}
    listed = [{"name": port, "port": number, "targetPort": port} for port, number in ports.items()]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(name, labels),
        "spec": {"selector": selected, "ports": listed, **more},
    }


def disruption_budget(
    name: str, labels: Mapping[str, str], selector: Mapping[str, str]
) -> Mapping[str, Node]:
    """At most one pod is taken away at once when nodes are emptied."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(name, labels),
        "spec": {
            "maxUnavailable": Because(
                1,
                "Who empties nodes for an upgrade takes one pod at a time. Unlike minAvailable it "
                "does not block the upgrade where there is a single replica.",
            ),
            "unhealthyPodEvictionPolicy": Because(
                "AlwaysAllow", "A pod that is not ready serves no request and may go at once."
            ),
            "selector": {"matchLabels": dict(selector)},
        },
    }
