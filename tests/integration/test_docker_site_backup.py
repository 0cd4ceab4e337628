"""What docs/deploying.md has for backups keeps keys, audit log and usage of a site in Docker."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support import composed_site, deployment_sites
from tests.support.composed_site import ComposedSite

from stoker.server.ports import any_free

pytestmark = pytest.mark.docker

_GUIDE = Path(__file__).parents[2] / "docs/deploying.md"
#: A gateway needs no replica to make keys and to refuse a chat, which is recorded.
_PARTS = ("postgres", "redis", "gateway-1", "front")


def commands(heading: str) -> str:
    """The shell blocks of a section of the guide."""
    section = _GUIDE.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return "set -eux\n" + "\n".join(re.findall(r"```bash\n(.*?)```", section, re.S))


@pytest.fixture
def site(docker_endpoint: str, tmp_path: Path) -> Iterator[ComposedSite]:
    composed_site.import_site_images(docker_endpoint)
    composed_site.collect_wheels(tmp_path / "wheels")
    written = ComposedSite(tmp_path / "site", any_free(), docker_endpoint)
    written.write(deployment_sites.PLANS / "cpu.json", tmp_path / "wheels", mounts=())
    try:
        written.run("./make-secrets.sh")
        written.run("docker", "compose", "up", "-d", "--build", "--no-deps", *_PARTS)
        yield written
    finally:
        written.run("docker", "compose", "down", "--volumes", "--timeout", "5")
        assert written.objects() == []


def test_a_site_comes_back_from_its_backup(site: ComposedSite) -> None:
    stoker = ("docker", "compose", "exec", "-T", "gateway-1", "stoker")
    site.await_answer()
    site.run(*stoker, "keys", "create", "ann")
    print(site.run(*stoker, "usage", "--since", "7d"))
    site.run("sh", "-c", commands("Back up"))
    site.run("docker", "compose", "down", "--volumes", "--timeout", "5")
    restore = commands("Restore").replace("up -d\n", f"up -d --no-deps {' '.join(_PARTS)}\n")
    print(site.run("sh", "-c", restore))
    site.await_answer()
    print(site.run(*stoker, "keys", "list"))
    print(site.run(*stoker, "audit", "verify"))
    print(site.run(*stoker, "usage", "--since", "7d"))
