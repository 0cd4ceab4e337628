"""Stoker's gateways: their configuration, their Deployment, and the Service for clients."""

from __future__ import annotations

from collections.abc import Mapping

from stoker.deploy.kubernetes import pod_parts
from stoker.deploy.kubernetes.manifest import Because, ChartValue, ManifestFile, Node
from stoker.deploy.kubernetes.object_names import GATEWAY_PORT, INFERENCE_PORT, Names
from stoker.deploy.site import Site
from stoker.deploy.stoker_image import STATE, USER_ID, image_name

_CONFIG_FOLDER = "/etc/stoker"
_CERTIFICATE_FOLDER = "/etc/stoker-tls"
#: Every variable of a gateway, and the key of the site's Secret that it comes from.
SECRETS = {
    "ENGINE_KEY": "engine-key",
    "FIRST_KEY": "first-key",
    "PROMETHEUS_KEY": "prometheus-key",
    "USAGE_DATABASE": "postgresql-url",
    "LIMITS_STORE": "redis-url",
}
_SETTLE_S = 10
_PROBE_S = 10


def gateway_manifest(site: Site) -> ManifestFile:
    """The objects of the gateways."""
    names = Names(site)
    labels, selector = names.labels("gateway"), names.selector("gateway")
    kind = ChartValue(
        "gateway.serviceType",
        "LoadBalancer" if site.request.tls_host else "ClusterIP",
        "LoadBalancer gives clients outside the cluster an address; ClusterIP is for an Ingress in "
        "front, which must not buffer answers.",
    )
    objects = (
        _config_map(site, names),
        _deployment(site, names),
        pod_parts.service(names.gateway, labels, {"http": site.request.port}, type=kind),
        pod_parts.disruption_budget(names.gateway, labels, selector),
    )
    return ManifestFile("gateway", "Stoker's gateways: keys, limits, usage, and fits.", objects)


def config_text(site: Site) -> str:
    """``gateway.toml``. Secrets are in variables, so the file holds none."""
    names = Names(site)
    lines = [
        "# docs/reference/settings.md has every setting. A change takes effect when Kubernetes",
        "# has brought it to the pods, in a minute or two. No restart is needed.",
        "[gateway]",
        'bind = "0.0.0.0"',
        f"port = {GATEWAY_PORT}",
        "# Pods come and go, so what they remember is in databases.",
        'usage = "env:USAGE_DATABASE"',
        'limits_store = "env:LIMITS_STORE"',
        f"drain_s = {site.engine.stop_s}",
        "",
        "# The first key, and that of Prometheus. Add people by the SHA-256 of their keys",
        "# (docs/gateway.md), or let them sign on (docs/sign-on.md).",
        "[gateway.keys]",
        'first = "env:FIRST_KEY"',
        'prometheus = "env:PROMETHEUS_KEY"',
        "",
    ]
    if site.request.tls_host:
        lines += [
            "[tls]",
            f'certificate = "{_CERTIFICATE_FOLDER}/tls.crt"',
            f'key = "{_CERTIFICATE_FOLDER}/tls.key"',
            "",
        ]
    lines += [
        "# All replicas of a pool are one backend: the endpoint picker chooses among them.",
        "[[backend]]",
        f'url = "http://{names.inference_service}:{INFERENCE_PORT}"',
        f'engine = "{site.plan.engine}"',
        'key_env = "ENGINE_KEY"',
        "",
    ]
    return "\n".join(lines)


def _config_map(site: Site, names: Names) -> Mapping[str, Node]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": pod_parts.metadata(names.gateway, names.labels("gateway")),
        "data": {"gateway.toml": config_text(site)},
    }


def _deployment(site: Site, names: Names) -> Mapping[str, Node]:
    spec: dict[str, Node] = {
        "replicas": ChartValue(
            "gateway.replicas", site.request.gateways, "Two or more: one may fail, or be replaced."
        ),
        "strategy": pod_parts.rolling_update(
            "A new gateway answers before an old one is stopped, so no request is lost."
        ),
        "selector": {"matchLabels": names.selector("gateway")},
        "template": _pod(site, names),
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": pod_parts.metadata(names.gateway, names.labels("gateway")),
        "spec": spec,
    }


def _pod(site: Site, names: Names) -> Mapping[str, Node]:
    spec = pod_parts.pod_basics(
        site.engine.stop_s + _SETTLE_S + 20,
        "Answers under way have this long to end: a moment to learn that it goes, and drain_s.",
    )
    spec |= {
        "securityContext": pod_parts.unprivileged_user(USER_ID),
        "topologySpreadConstraints": pod_parts.spread(names.selector("gateway")),
        "containers": [_container(site, names)],
        "volumes": _volumes(site, names),
    }
    return {"metadata": {"labels": names.labels("gateway")}, "spec": spec}


def _container(site: Site, names: Names) -> Mapping[str, Node]:
    return {
        "name": "gateway",
        "image": ChartValue(
            "gateway.image",
            site.request.cluster.gateway_image or image_name(site),
            "Stoker's image, in your registry: the README.md beside these files shows how to make "
            "it.",
        ),
        "command": ["stoker", "gateway", f"{_CONFIG_FOLDER}/gateway.toml"],
        "env": [
            {"name": "STOKER_HOME", "value": STATE},
            *(pod_parts.from_secret(names, variable, key) for variable, key in SECRETS.items()),
        ],
        "ports": [{"name": "http", "containerPort": GATEWAY_PORT}],
        "resources": ChartValue(
            "gateway.resources",
            {"requests": {"cpu": "500m", "memory": "512Mi"}, "limits": {"memory": "2Gi"}},
            "A gateway is one process on one core. Tokenizers of several models take the memory.",
        ),
        **_probes(site),
        "lifecycle": {
            "preStop": Because(
                {"sleep": {"seconds": _SETTLE_S}},
                "Until no proxy sends new requests here, it goes on as before.",
            )
        },
        "securityContext": pod_parts.no_privileges(),
        "volumeMounts": _mounts(site),
    }


def _probes(site: Site) -> dict[str, Node]:
    scheme: dict[str, Node] = {"scheme": "HTTPS"} if site.request.tls_host else {}
    return {
        "startupProbe": Because(
            pod_parts.http_probe(
                "/ready", _PROBE_S, site.engine.first_start_s // _PROBE_S, **scheme
            ),
            "It is in use as soon as a model answers through it. A rollout with a configuration "
            "that reaches no model stops here, and the old gateways stay.",
        ),
        "readinessProbe": Because(
            pod_parts.http_probe("/health", 5, 2, **scheme),
            "Later it stays in use also while no model answers: clients then read why, in place of "
            "a connection that is refused.",
        ),
        "livenessProbe": pod_parts.http_probe("/health", _PROBE_S, 6, **scheme),
    }


def _mounts(site: Site) -> Node:
    mounts: list[Node] = [
        {
            "name": "config",
            "mountPath": Because(
                _CONFIG_FOLDER, "The whole folder: Kubernetes never renews a single mounted file."
            ),
            "readOnly": True,
        },
        {"name": "home", "mountPath": STATE},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  (in the pod)
    ]
    if site.request.tls_host:
        mounts.append({"name": "tls", "mountPath": _CERTIFICATE_FOLDER, "readOnly": True})
    return mounts


def _volumes(site: Site, names: Names) -> Node:
    volumes: list[Node] = [
        {"name": "config", "configMap": {"name": names.gateway}},
        {
            "name": Because("home", "Logs and caches; nothing that must outlive the pod."),
            "emptyDir": {},
        },
        {"name": "tmp", "emptyDir": {}},
    ]
    if site.request.tls_host:
        secret = ChartValue(
            "tls.secretName",
            names.certificate,
            "A Secret of the type kubernetes.io/tls. A renewed certificate is served at once.",
        )
        held: Node = {
            "secretName": secret,
            "defaultMode": Because(0o440, "Octal 0440: no other user reads it."),
        }
        volumes.append({"name": "tls", "secret": held})
    return volumes
