"""Which hosts may see the login of a registry."""

from __future__ import annotations

import pytest

from stoker.bundles.registry_login import may_have_login


@pytest.mark.parametrize(
    ("url", "registry"),
    [
        ("https://ghcr.io/token", "ghcr.io"),
        ("https://auth.docker.io/token", "index.docker.io"),
        ("https://gitlab.com/jwt/auth", "registry.gitlab.com"),
        ("https://gitlab.acme.co.uk/jwt/auth", "registry.acme.co.uk"),
        ("https://harbor.acme.com:8443/token", "HARBOR.acme.com:443"),
        ("https://10.0.0.5/token", "10.0.0.5:5000"),
        ("https://[fd00::1]/token", "[fd00::1]:5000"),
        ("http://127.0.0.1:81/token", "localhost:5000"),
    ],
)
def test_own_site_may_have_the_login(url: str, registry: str) -> None:
    assert may_have_login(url, registry)


@pytest.mark.parametrize(
    ("url", "registry"),
    [
        ("http://ghcr.io/token", "ghcr.io"),
        ("https://evil.io/token", "ghcr.io"),
        ("https://evilgitlab.com/jwt", "registry.gitlab.com"),
        ("https://gitlab.com.evil.example/jwt", "registry.gitlab.com"),
        ("https://registry.gitlab.com@evil.example/jwt", "registry.gitlab.com"),
        ("https://evil.example/registry.gitlab.com", "registry.gitlab.com"),
        ("https://evil.co.uk/token", "acme.co.uk"),
        ("https://10.9.0.5/token", "10.8.0.5"),
        ("https://10.0.0.6/token", "10.0.0.5"),
        ("https://evil.internal/token", "registry.internal"),
        ("http://evil.example/token", "localhost:5000"),
        ("http://127.0.0.1/token", "registry.acme.com"),
        ("ftp://ghcr.io/token", "ghcr.io"),
        ("https:///token", "ghcr.io"),
    ],
)
def test_other_places_may_not(url: str, registry: str) -> None:
    assert not may_have_login(url, registry)
