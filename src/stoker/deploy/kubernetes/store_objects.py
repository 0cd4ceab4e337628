"""PostgreSQL and Redis, which all gateways of a site share. A person may use their own instead."""

from __future__ import annotations

from collections.abc import Mapping

from stoker.deploy.kubernetes import pod_parts
from stoker.deploy.kubernetes.manifest import Because, ChartValue, ManifestFile, Node
from stoker.deploy.kubernetes.object_names import Names
from stoker.deploy.site import Site

POSTGRES_PORT, REDIS_PORT = 5432, 6379
#: The user of both images of Docker Hub, in their Debian variants.
_USER = 999
_PURPOSE = (
    "Usage and shared limits. To use your own PostgreSQL and Redis instead, delete this file, take "
    "it out of kustomization.yaml, and put their addresses into the Secret."
)
_START_REDIS = """exec redis-server - <<END
requirepass $REDISCLI_AUTH
appendonly yes
maxmemory-policy noeviction
dir /data
END
"""


def store_manifest(site: Site) -> ManifestFile:
    """The objects of both stores."""
    names = Names(site)
    objects = (
        _stateful_set(names, names.postgres, "postgres", _postgres(site, names)),
        pod_parts.service(names.postgres, names.labels("postgres"), {"postgres": POSTGRES_PORT}),
        _stateful_set(names, names.redis, "redis", _redis(site, names)),
        pod_parts.service(names.redis, names.labels("redis"), {"redis": REDIS_PORT}),
    )
    return ManifestFile("stores", _PURPOSE, objects)


def _stateful_set(
    names: Names, name: str, component: str, parts: Mapping[str, Node]
) -> Mapping[str, Node]:
    """``parts``: the container, and what is beside the pod's template in the specification."""
    pod = pod_parts.pod_basics(60, "It writes down what it holds before it ends.")
    pod |= {
        "securityContext": pod_parts.unprivileged_user(_USER),
        "containers": [parts["container"]],
    }
    spec: dict[str, Node] = {
        "serviceName": name,
        "replicas": 1,
        "selector": {"matchLabels": names.selector(component)},
        "template": {"metadata": {"labels": names.labels(component)}, "spec": pod},
        "volumeClaimTemplates": parts["claims"],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": pod_parts.metadata(name, names.labels(component)),
        "spec": spec,
    }


def _postgres(site: Site, names: Names) -> dict[str, Node]:
    probe: Node = {"exec": {"command": ["pg_isready", "-U", "stoker"]}, "periodSeconds": 10}
    size = ChartValue(
        "postgres.size", "10Gi", "Usage and limits of a team for years: a request is one short row."
    )
    container: Node = {
        "name": "postgres",
        "image": ChartValue(
            "postgres.image", site.request.images.postgres, "PostgreSQL 14 or later."
        ),
        "env": [
            {"name": "POSTGRES_USER", "value": "stoker"},
            {"name": "POSTGRES_DB", "value": "stoker"},
            {
                "name": "PGDATA",
                "value": Because(
                    "/var/lib/postgresql/data/pgdata", "A new volume is not empty at its top."
                ),
            },
            pod_parts.from_secret(names, "POSTGRES_PASSWORD", "postgres-password"),
        ],
        "ports": [{"name": "postgres", "containerPort": POSTGRES_PORT}],
        "readinessProbe": probe,
        "livenessProbe": probe,
        "resources": {"requests": {"cpu": "250m", "memory": "512Mi"}, "limits": {"memory": "2Gi"}},
        "securityContext": pod_parts.no_privileges(read_only=False),
        "volumeMounts": [{"name": "data", "mountPath": "/var/lib/postgresql/data"}],
    }
    return {"container": container, "claims": [_claim(size)]}


def _redis(site: Site, names: Names) -> dict[str, Node]:
    probe: Node = {"exec": {"command": ["redis-cli", "ping"]}, "periodSeconds": 10}
    container: Node = {
        "name": "redis",
        "image": ChartValue(
            "redis.image", site.request.images.redis, "Redis 6 or later, or Valkey."
        ),
        "command": [
            "sh",
            "-c",
            Because(
                _START_REDIS,
                "Quotas of days and months outlast its restart, and none is thrown away when the "
                "memory is full. The password is on standard input: arguments can be listed.",
            ),
        ],
        "env": [pod_parts.from_secret(names, "REDISCLI_AUTH", "redis-password")],
        "ports": [{"name": "redis", "containerPort": REDIS_PORT}],
        "readinessProbe": probe,
        "livenessProbe": probe,
        "resources": {
            "requests": {"cpu": "100m", "memory": "128Mi"},
            "limits": {"memory": "512Mi"},
        },
        "securityContext": pod_parts.no_privileges(),
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    return {"container": container, "claims": [_claim("1Gi")]}


def _claim(size: Node) -> Node:
    return {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}},
    }
