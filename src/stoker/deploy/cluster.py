"""What a site needs to know of the Kubernetes cluster that it runs on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from stoker.errors import UsageError
from stoker.network_addresses import is_url

#: https://github.com/llm-d/llm-d-router/releases
PICKER = "ghcr.io/llm-d/llm-d-router-endpoint-picker:v0.10.0"

Autoscaler = Literal["keda", "hpa"]
#: Implementations of the Gateway API that know InferencePools, and what each calls the Service that
#: it makes for a Gateway: "Automated deployment" in
#: https://istio.io/latest/docs/tasks/traffic-management/ingress/gateway-api, and
#: controller/test/deployer/testdata of https://github.com/agentgateway/agentgateway at v1.4.1.
GATEWAY_CLASSES = {"istio": "{gateway}-istio", "agentgateway": "{gateway}"}

#: A DNS label (RFC 1123).
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
#: The name of most objects (RFC 1123 again): labels with dots between.
_SUBDOMAIN = re.compile(rf"(?=.{{1,253}}$){_LABEL.pattern}(\.{_LABEL.pattern})*")
_POOL = re.compile(r"[a-z]([-a-z0-9]{0,8}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Cluster:
    """Choices that only Kubernetes has. Raises ``UsageError`` where one can't be."""

    #: The namespace; the site's name where it is empty.
    namespace: str = ""
    #: What these replicas are called among others of the site: two pools stand side by side while
    #: a model or a version is changed.
    pool: str = "blue"
    #: Which implementation of the Gateway API routes to the replicas.
    gateway_class: str = "istio"
    #: Up to how many replicas are started when requests wait; ``None``: no autoscaling.
    max_replicas: int | None = None
    autoscaler: Autoscaler = "keda"
    #: Where the autoscaler asks for the metrics, and the namespace that Prometheus reads from.
    prometheus_url: str = "http://prometheus-operated.monitoring.svc:9090"
    prometheus_namespace: str = "monitoring"
    #: cert-manager's ClusterIssuer for the certificate; ``None``: its Secret is made by hand.
    issuer: str | None = None
    #: The class of the volume for the weights; ``None`` is the cluster's default.
    storage_class: str | None = None
    #: Stoker's own image, in a registry that the nodes reach; where it is empty, its name alone.
    gateway_image: str = ""
    picker_image: str = PICKER

    def __post_init__(self) -> None:
        if self.namespace and not _LABEL.fullmatch(self.namespace):
            raise UsageError(
                f"{self.namespace!r} can't be a namespace.",
                fix="Use lower-case letters, digits and hyphens, 63 at most.",
            )
        self._check_names()
        if not _POOL.fullmatch(self.pool):
            raise UsageError(
                f"{self.pool!r} can't be the name of a pool.",
                "It becomes a part of the names of its objects.",
                "Use lower-case letters, digits and hyphens, 10 at most, and a letter first.",
            )
        if self.autoscaler not in get_args(Autoscaler):
            raise UsageError(
                f"Stoker does not know the autoscaler {self.autoscaler!r}.",
                fix=f"Choose one of: {', '.join(get_args(Autoscaler))}.",
            )
        if self.gateway_class not in GATEWAY_CLASSES:
            raise UsageError(
                f"Stoker does not know the gateway class {self.gateway_class!r}.",
                "It must know the name of the Service that the class makes for a Gateway.",
                f"Choose one of: {', '.join(GATEWAY_CLASSES)}.",
            )

    def _check_names(self) -> None:
        """Names of what is there already, as Kubernetes takes them."""
        for name in ("issuer", "storage_class", "prometheus_namespace"):
            value = getattr(self, name)
            if value is not None and not _SUBDOMAIN.fullmatch(value):
                raise UsageError(
                    f"--cluster {name}={value} is not a name that Kubernetes takes.",
                    fix="Use lower-case letters, digits, hyphens and dots.",
                )
        if not is_url(self.prometheus_url):
            raise UsageError(
                f"--cluster prometheus_url={self.prometheus_url} is not a URL.",
                fix="Write it like http://prometheus-operated.monitoring.svc:9090",
            )
