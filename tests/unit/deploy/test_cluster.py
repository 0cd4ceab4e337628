"""What a cluster is told must be something that Kubernetes takes."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support import cluster_sites

from stoker.deploy import Cluster
from stoker.errors import UsageError


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"namespace": "Models"}, "can't be a namespace"),
        ({"namespace": "a" * 64}, "can't be a namespace"),
        ({"pool": "blue-green-red"}, "can't be the name of a pool"),
        ({"pool": "1"}, "can't be the name of a pool"),
        ({"gateway_class": "nginx"}, "does not know the gateway class 'nginx'"),
        ({"autoscaler": "vpa"}, "does not know the autoscaler 'vpa'"),
    ],
)
def test_what_kubernetes_would_not_take_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Cluster(**changes)


@pytest.mark.parametrize("most", [0, 2, 65])
def test_replicas_can_only_grow_to_more_than_there_are(most: int) -> None:
    with pytest.raises(UsageError, match=f"max_replicas={most} is out of range"):
        cluster_sites.site("l40s", cluster=Cluster(max_replicas=most))
