"""What Prometheus reads, and Stoker's alerts, as objects of the Prometheus operator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ruamel.yaml import YAML

from stoker import monitoring
from stoker.deploy.kubernetes import pod_parts
from stoker.deploy.kubernetes.manifest import Because, ManifestFile, Node
from stoker.deploy.kubernetes.object_names import Names
from stoker.deploy.site import Site

_API = "monitoring.coreos.com/v1"


def monitoring_manifest(site: Site) -> ManifestFile | None:
    """What is monitored; ``None`` for a site without monitoring."""
    if not site.request.monitoring:
        return None
    names = Names(site)
    scheme: dict[str, Node] = {}
    if site.request.tls_host:
        # Prometheus reads each pod by its address, and the certificate is for the host name.
        scheme = {"scheme": "https", "tlsConfig": {"serverName": site.request.tls_host}}
    key: Node = Because(
        {"credentials": {"name": names.secrets, "key": "prometheus-key"}},
        "The gateways show nothing without a key.",
    )
    objects = (
        _service_monitor(
            names, names.gateway, "gateway", {"port": "http", "authorization": key, **scheme}
        ),
        _service_monitor(names, names.engine, "engine", {"port": "http"}),
        _service_monitor(names, names.picker, "picker", {"port": "metrics"}),
        _rules(names),
    )
    purpose = "What Prometheus reads, and Stoker's alerts, for the Prometheus operator."
    return ManifestFile("monitoring", purpose, objects)


def _service_monitor(
    names: Names, name: str, component: str, endpoint: Mapping[str, Node]
) -> Mapping[str, Node]:
    return {
        "apiVersion": _API,
        "kind": "ServiceMonitor",
        "metadata": pod_parts.metadata(name, names.labels(component)),
        "spec": {
            "jobLabel": Because(
                "app.kubernetes.io/name"
                if component == "gateway"
                else "app.kubernetes.io/component",
                "The alerts know the gateways as the job stoker.",
            ),
            "selector": {"matchLabels": names.selector(component)},
            "endpoints": [{"path": "/metrics", "interval": "15s", **endpoint}],
        },
    }


def _rules(names: Names) -> Mapping[str, Node]:
    rules: Any = YAML(typ="safe", pure=True).load(monitoring.rules())
    return {
        "apiVersion": _API,
        "kind": "PrometheusRule",
        "metadata": pod_parts.metadata(names.gateway, names.labels("gateway")),
        "spec": rules,
    }
