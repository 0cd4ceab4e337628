"""What the objects of a site are called, and the labels by which they find each other."""

from __future__ import annotations

from dataclasses import dataclass

from stoker.deploy.cluster import GATEWAY_CLASSES
from stoker.deploy.site import Site

#: The port that a Gateway listens on. Above 1024, so that it needs no privilege.
INFERENCE_PORT = 8080
#: Where the gateways listen in their pods.
GATEWAY_PORT = 8000
#: Ports of the endpoint picker (its defaults).
PICK_PORT, PICKER_HEALTH_PORT, PICKER_METRICS_PORT = 9002, 9003, 9090


@dataclass(frozen=True, slots=True)
class Names:
    """Names below 64 characters: a site's has 40 at most, a pool's 10."""

    site: Site

    @property
    def pool(self) -> str:
        """The InferencePool, its Gateway and its HTTPRoute."""
        return f"{self.site.request.name}-{self.site.request.cluster.pool}"

    @property
    def engine(self) -> str:
        return f"{self.pool}-engine"

    @property
    def picker(self) -> str:
        return f"{self.pool}-picker"

    @property
    def models(self) -> str:
        """The volume claim of the weights."""
        return f"{self.pool}-models"

    @property
    def gateway(self) -> str:
        return f"{self.site.request.name}-gateway"

    @property
    def postgres(self) -> str:
        return f"{self.site.request.name}-postgres"

    @property
    def redis(self) -> str:
        return f"{self.site.request.name}-redis"

    @property
    def secrets(self) -> str:
        """The Secret that the person who installs the site makes."""
        return f"{self.site.request.name}-secrets"

    @property
    def certificate(self) -> str:
        return f"{self.site.request.name}-tls"

    @property
    def inference_service(self) -> str:
        """The Service that the implementation of the Gateway API makes for the Gateway."""
        return GATEWAY_CLASSES[self.site.request.cluster.gateway_class].format(gateway=self.pool)

    @property
    def namespace(self) -> str:
        return self.site.request.cluster.namespace or self.site.request.name

    def of_all_pools(self, component: str) -> dict[str, str]:
        """The labels that a component's pods have in every pool of the site."""
        return {
            "app.kubernetes.io/instance": self.site.request.name,
            "app.kubernetes.io/component": component,
        }

    def selector(self, component: str) -> dict[str, str]:
        """The labels by which pods are selected. They can't be changed later."""
        labels = self.of_all_pools(component)
        return (
            {**labels, "pool": self.site.request.cluster.pool}
            if component in _OF_A_POOL
            else labels
        )

    def labels(self, component: str) -> dict[str, str]:
        return {"app.kubernetes.io/name": "stoker", **self.selector(component)}


_OF_A_POOL = ("engine", "picker")
