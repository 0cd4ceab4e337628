"""More replicas while requests wait, and fewer again: KEDA, or a HorizontalPodAutoscaler."""

from __future__ import annotations

from collections.abc import Mapping

from stoker.deploy.kubernetes import pod_parts
from stoker.deploy.kubernetes.manifest import NAMESPACE, Because, ChartValue, ManifestFile, Node
from stoker.deploy.kubernetes.object_names import Names
from stoker.deploy.site import Site

#: Requests that wait at each replica, on average. A replica has none waiting until its batch or its
#: KV cache is full.
_WAITING_PER_REPLICA = 4
_UP_S = 60
_DOWN_S = 600


def autoscaling_manifest(site: Site) -> ManifestFile | None:
    """The autoscaler of the replicas; ``None`` where their number is fixed."""
    most = site.request.cluster.max_replicas
    if most is None:
        return None
    names = Names(site)
    made = _keda if site.request.cluster.autoscaler == "keda" else _hpa
    return ManifestFile(
        "autoscaling", "More replicas while requests wait.", (made(site, names, most),)
    )


def _bounds(site: Site, most: int) -> tuple[ChartValue, ChartValue]:
    why = "Never fewer: the first request after none would wait for a whole start."
    return (
        ChartValue("autoscaling.minReplicas", site.request.replicas, why),
        ChartValue("autoscaling.maxReplicas", most, "As many as there are GPUs for."),
    )


def _behavior() -> Node:
    return {
        "scaleUp": {
            "stabilizationWindowSeconds": _UP_S,
            "policies": [
                {
                    "type": "Pods",
                    "value": 1,
                    "periodSeconds": Because(
                        300,
                        "A new replica takes minutes to start; the queue stays long until then.",
                    ),
                }
            ],
        },
        "scaleDown": {
            "stabilizationWindowSeconds": Because(
                _DOWN_S, "A replica that is stopped takes what its cache has read with it."
            ),
            "policies": [{"type": "Pods", "value": 1, "periodSeconds": 300}],
        },
    }


def _keda(site: Site, names: Names, most: int) -> Mapping[str, Node]:
    least, greatest = _bounds(site, most)
    metric = site.engine.waiting_metric
    query = f'sum({metric}{{namespace="{NAMESPACE}", pod=~"{names.engine}-.*"}})'
    trigger: dict[str, Node] = {
        "type": "prometheus",
        "metadata": {
            "serverAddress": ChartValue(
                "autoscaling.prometheusUrl", site.request.cluster.prometheus_url, "Where KEDA asks."
            ),
            "query": Because(query, "The requests that wait at all replicas of this pool."),
            "threshold": Because(
                str(_WAITING_PER_REPLICA), "So many may wait for each replica, on average."
            ),
        },
    }
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": pod_parts.metadata(names.engine, names.labels("engine")),
        "spec": {
            "scaleTargetRef": {"name": names.engine},
            "minReplicaCount": least,
            "maxReplicaCount": greatest,
            "pollingInterval": 15,
            "fallback": Because(
                {"failureThreshold": 4, "replicas": site.request.replicas},
                "When Prometheus can't be asked for a minute.",
            ),
            "advanced": {"horizontalPodAutoscalerConfig": {"behavior": _behavior()}},
            "triggers": [trigger],
        },
    }


def _hpa(site: Site, names: Names, most: int) -> Mapping[str, Node]:
    least, greatest = _bounds(site, most)
    target = {"type": "AverageValue", "averageValue": str(_WAITING_PER_REPLICA)}
    metric = Because(
        {"name": site.engine.waiting_metric},
        "Kubernetes knows it through prometheus-adapter, whose usual rules serve it by this name.",
    )
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": pod_parts.metadata(names.engine, names.labels("engine")),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": names.engine},
            "minReplicas": least,
            "maxReplicas": greatest,
            "behavior": _behavior(),
            "metrics": [{"type": "Pods", "pods": {"metric": metric, "target": target}}],
        },
    }
