"""The certificate of the gateways, where cert-manager makes it."""

from __future__ import annotations

from collections.abc import Mapping

from stoker.deploy.kubernetes import pod_parts
from stoker.deploy.kubernetes.manifest import Because, ChartValue, ManifestFile, Node
from stoker.deploy.kubernetes.object_names import Names
from stoker.deploy.site import Site


def certificate_manifest(site: Site) -> ManifestFile | None:
    """cert-manager's Certificate; ``None`` where no issuer is named."""
    if site.request.tls_host is None or site.request.cluster.issuer is None:
        return None
    names = Names(site)
    issuer = ChartValue("tls.issuer", site.request.cluster.issuer, "cert-manager's ClusterIssuer.")
    certificate: Mapping[str, Node] = {
        "apiVersion": "cert-manager.io/v1",
        "kind": "Certificate",
        "metadata": pod_parts.metadata(names.certificate, names.labels("gateway")),
        "spec": {
            "secretName": ChartValue(
                "tls.secretName",
                names.certificate,
                "A Secret of the type kubernetes.io/tls. A renewed certificate is served at once.",
            ),
            "dnsNames": [
                ChartValue("tls.host", site.request.tls_host, "The host name of the gateways.")
            ],
            "issuerRef": {"kind": "ClusterIssuer", "name": issuer},
            "privateKey": {
                "rotationPolicy": Because("Always", "A renewed certificate has a new key.")
            },
        },
    }
    return ManifestFile("certificate", "The certificate of the gateways.", (certificate,))
