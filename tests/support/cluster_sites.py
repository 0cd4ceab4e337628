"""Sites for Kubernetes with what no other format has: for golden files and for the real tools."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tests.support import deployment_sites

from stoker.application import deployment_site
from stoker.deploy import Cluster, Site


def site(plan: str, **changes: Any) -> Site:
    """The site of a plan of ``deployment_sites``, changed."""
    made = deployment_site.site_for(deployment_sites.record(plan, "kubernetes"))
    return deployment_sites.changed(made, **changes)


def _issued() -> Site:
    cluster = Cluster(issuer="internal-ca", storage_class="cephfs", namespace="llm")
    return site("8x-h200", tls_host="llm.example.com", port=443, name="models", cluster=cluster)


def _hpa() -> Site:
    cluster = Cluster(max_replicas=4, autoscaler="hpa", gateway_class="agentgateway")
    return site("cpu", cluster=cluster)


#: Each has something that the twelve sites of ``deployment_sites`` lack.
VARIANTS: Mapping[str, Callable[[], Site]] = {
    "issued": _issued,
    "keda": lambda: site("l40s", cluster=Cluster(max_replicas=6, pool="green")),
    "hpa-agentgateway": _hpa,
}
#: What the real tools are asked about.
SITES: Mapping[str, Callable[[], Site]] = {
    **VARIANTS,
    "cpu-folder": lambda: site("cpu-folder"),
    "rtx-5090": lambda: site("rtx-5090"),
}
