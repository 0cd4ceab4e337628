"""Container images in bundles, with a real Docker."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from tests.support import oci_registry
from tests.support.docker_daemon import BASE_IMAGE
from tests.support.small_bundles import KEY, quiet, stoker_wheel

from stoker import bundles
from stoker.bundles import BundleRequest, bundle_archive, target_machines
from stoker.bundles.images import ImageStore
from stoker.errors import StokerError

pytestmark = pytest.mark.docker

DERIVED = "stoker-test-derived:1"
CPU = target_machines.image_architecture(bundles.target(None, None))


@pytest.fixture
def client(docker_endpoint: str) -> Iterator[docker.DockerClient]:
    """The daemon, with an image that adds one layer to the base."""
    client = docker.DockerClient(base_url=docker_endpoint, timeout=300)
    container = client.containers.create(BASE_IMAGE, ["touch", "/added"])
    container.start()
    container.wait()
    container.commit(*DERIVED.split(":"))
    container.remove()
    yield client
    client.close()


def forget(client: docker.DockerClient, *references: str) -> None:
    for reference in references:
        client.images.remove(reference, force=True)


def test_an_image_goes_through_a_bundle_and_is_the_same(
    client: docker.DockerClient,
    docker_endpoint: str,
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DOCKER_HOST", docker_endpoint)
    wheel = tmp_path / "stoker-0.1.0-py3-none-any.whl"
    wheel.write_bytes(stoker_wheel())
    before = {name: client.images.get(name).id for name in (BASE_IMAGE, DERIVED)}
    request = BundleRequest(bundles.target(None, None), images=(BASE_IMAGE, DERIVED), stoker=wheel)
    made = bundles.create(request, tmp_path / "a.stoker", KEY, quiet)
    one = sum(blob.size_bytes for blob in made.manifest.blobs)
    base = ImageStore(docker_endpoint).save(BASE_IMAGE, CPU, tmp_path / "again", lambda _: None)
    layers = sum(path.stat().st_size for path in base.files.values())
    assert one < 1.2 * layers  # the layers that both have are there once
    forget(client, DERIVED, BASE_IMAGE)
    archive = bundle_archive.open_archive(tmp_path / "a.stoker", KEY.public)
    done = bundles.load(archive, tmp_path / "opt", Path(sys.executable), quiet, editors=False)
    assert done.images == (BASE_IMAGE, DERIVED)
    assert {name: client.images.get(name).id for name in before} == before
    printed = client.containers.run(DERIVED, ["ls", "/added"], remove=True)
    assert printed == b"/added\n"


def test_an_image_comes_from_a_registry(
    client: docker.DockerClient, docker_endpoint: str, tmp_path: Path
) -> None:
    with oci_registry.running(tmp_path) as registry:
        name = f"{registry.address}/acme/derived"
        image = client.images.get(DERIVED)
        image.tag(name, "1")
        pushed = client.images.push(name, "1", stream=True, decode=True)
        digest = next(line["aux"]["Digest"] for line in pushed if "aux" in line)
        forget(client, f"{name}:1", DERIVED)
        for reference in (f"{name}:1", f"{name}@{digest}"):
            saved = ImageStore(docker_endpoint).save(reference, CPU, tmp_path, lambda _: None)
            assert (saved.image_id, saved.registry_digest) == (image.id, digest)
            forget(client, reference)


def test_an_image_that_is_nowhere_is_named(docker_endpoint: str, tmp_path: Path) -> None:
    with pytest.raises(StokerError, match=r"localhost:1/no/image:1 can't be had"):
        ImageStore(docker_endpoint).save("localhost:1/no/image:1", CPU, tmp_path, lambda _: None)


def test_files_of_another_image_are_not_taken_for_it(
    client: docker.DockerClient, docker_endpoint: str, tmp_path: Path
) -> None:
    store = ImageStore(docker_endpoint)
    saved = store.save(DERIVED, CPU, tmp_path, lambda _: None)
    with pytest.raises(StokerError, match="loaded as another image"):
        store.load(DERIVED, "sha256:" + "0" * 64, sorted(saved.files.items()))


def test_an_image_for_another_cpu_is_refused(
    client: docker.DockerClient, docker_endpoint: str, tmp_path: Path
) -> None:
    other = "arm64" if CPU == "amd64" else "amd64"
    with pytest.raises(StokerError, match=f"is for {CPU}"):
        ImageStore(docker_endpoint).save(DERIVED, other, tmp_path, lambda _: None)
