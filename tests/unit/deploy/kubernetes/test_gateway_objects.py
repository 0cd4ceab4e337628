"""The gateways' configuration in a cluster, as the gateway itself reads it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support import cluster_sites

from stoker.deploy.kubernetes.gateway_objects import SECRETS, config_text
from stoker.deploy.kubernetes.object_names import Names
from stoker.gateway import gateway_config

pytestmark = pytest.mark.usefixtures("home")

VALUES = {
    "ENGINE_KEY": "e" * 64,
    "FIRST_KEY": "sk-first",
    "PROMETHEUS_KEY": "p" * 64,
    "USAGE_DATABASE": "postgresql://stoker:pw@stoker-postgres:5432/stoker",
    "LIMITS_STORE": "redis://:pw@stoker-redis:6379/0",
}


@pytest.fixture(autouse=True)
def _variables(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(VALUES) == set(SECRETS)
    for name, value in VALUES.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("name", list(cluster_sites.SITES))
def test_the_gateway_reads_its_configuration(name: str, tmp_path: Path) -> None:
    site = cluster_sites.SITES[name]()
    path = tmp_path / "gateway.toml"
    path.write_text(config_text(site))
    config = gateway_config.load(path)
    (backend,) = config.backends
    assert backend.backend.url == f"http://{Names(site).inference_service}:8080"
    assert (backend.backend.engine, backend.backend.key) == ("vllm", VALUES["ENGINE_KEY"])
    assert config.bind == "0.0.0.0"
    assert config.drain_s == site.engine.stop_s
    assert (config.tls is not None) is (site.request.tls_host is not None)
    assert {"USAGE_DATABASE", "LIMITS_STORE"} <= {
        str(setting).removeprefix("env:") for setting in (config.usage, config.limits_store)
    }


def test_no_secret_is_in_the_configuration() -> None:
    text = config_text(cluster_sites.SITES["issued"]())
    assert not [value for value in VALUES.values() if value in text]
