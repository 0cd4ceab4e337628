"""Container images out of the local Docker and into another, file by file.

``docker save`` writes an OCI layout. Its layers are kept apart, so images that share layers, and
bundles that build on each other, hold each once.
"""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import docker
import docker.errors
import requests.exceptions

from stoker.bundles.blob_store import chunks_of
from stoker.bundles.bundle_archive import END, header, padding
from stoker.bundles.bundle_manifest import is_safe_path
from stoker.errors import StokerError, UsageError
from stoker.server.docker_client import explained, usable_endpoint

_ERRORS = (docker.errors.DockerException, requests.exceptions.RequestException)
#: Docker is silent while it unpacks a layer of several gigabytes.
_TIMEOUT_S = 1800
_REFERENCE = re.compile(
    r"(?P<name>[a-z0-9](?:[a-z0-9._\-:/]*?[a-z0-9])?)(?::(?P<tag>[\w][\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)


@dataclass(frozen=True, slots=True)
class SavedImage:
    """An image as files: those of ``docker save``, by their path in it."""

    reference: str
    image_id: str
    registry_digest: str
    files: dict[str, Path]


class ImageStore:
    """The images of the local container runtime. Raises ``StokerError`` where there is none."""

    def __init__(self, endpoint: str | None = None) -> None:
        where = endpoint or usable_endpoint()
        try:
            self._client = docker.DockerClient(base_url=where, timeout=_TIMEOUT_S)
        except _ERRORS as error:
            raise explained(error, f"Docker can't be reached at {where}.") from error

    @property
    def folder(self) -> Path | None:
        """The folder where a Docker of this machine keeps images; ``None`` where it is not here."""
        try:
            root = Path(self._client.info().get("DockerRootDir", ""))
        except _ERRORS as error:
            raise explained(error) from error
        return root if root.is_dir() else None

    def save(
        self, reference: str, architecture: str, folder: Path, grown: Callable[[int], None]
    ) -> SavedImage:
        """The image's files, in ``folder``. One that is not on this machine is pulled first.

        Raises ``StokerError`` where it can't be had for ``architecture``, as Docker names it.
        """
        image_id, registry_digest = self._found(reference, architecture, grown)
        marker = folder / f"{image_id.removeprefix('sha256:')}.json"
        content = folder / image_id.removeprefix("sha256:")
        if not marker.is_file():
            content.mkdir(parents=True, exist_ok=True)
            try:
                # By its id, so that the files are the same whatever tags the image has.
                names = unpacked(self._client.api.get_image(image_id), content, grown)
            except _ERRORS as error:
                raise explained(error, f"The image {reference} can't be saved.") from error
            marker.write_text(json.dumps(names))
        names = json.loads(marker.read_text())
        files = {name: content / name for name in names}
        return SavedImage(reference, image_id, registry_digest, files)

    def has(self, image_id: str) -> bool:
        """Whether this very image is here."""
        try:
            self._client.images.get(image_id)
        except docker.errors.ImageNotFound:
            return False
        except _ERRORS as error:
            raise explained(error) from error
        return True

    def load(self, reference: str, image_id: str, files: Iterable[tuple[str, Path]]) -> None:
        """Load an image from its files. Raises ``StokerError`` if the result is another image."""
        name, tag, _ = split(reference)
        try:
            if not self.has(image_id):
                for event in self._client.api.load_image(cast(BinaryIO, as_tar(files))):
                    if "error" in event:
                        raise docker.errors.APIError(event["error"])
            if not self.has(image_id):
                raise StokerError(
                    f"The image {reference} was loaded as another image.",
                    f"The bundle promises {image_id[:19]}, and the container runtime has none.",
                    "Use Docker 25 or newer, as on the machine that made the bundle.",
                )
            self._client.api.tag(image_id, name, tag, force=True)
        except _ERRORS as error:
            raise explained(error, f"The image {reference} can't be loaded.") from error

    def _found(
        self, reference: str, architecture: str, grown: Callable[[int], None]
    ) -> tuple[str, str]:
        name, tag, digest = split(reference)
        try:
            found = self._get(f"{name}@{digest}" if digest else f"{name}:{tag}")
            if found is None:
                platform = f"linux/{architecture}"
                for event in self._client.api.pull(
                    name, digest or tag, stream=True, decode=True, platform=platform
                ):
                    if "error" in event:
                        raise docker.errors.APIError(event["error"])
                    grown(int((event.get("progressDetail") or {}).get("current", 0)))
                found = self._get(f"{name}@{digest}" if digest else f"{name}:{tag}")
        except _ERRORS as error:
            raise explained(error, f"The image {reference} can't be had.") from error
        if found is None:
            raise StokerError(f"The image {reference} was pulled and is not there.")
        has = str(found.attrs.get("Architecture"))
        if has != architecture:
            raise StokerError(
                f"The image {reference} on this machine is for {has}.",
                f"The bundle is for machines of the kind {architecture}.",
                f"Pull the other one: docker pull --platform linux/{architecture} {reference}",
            )
        digests = [str(each).partition("@")[2] for each in found.attrs.get("RepoDigests") or ()]
        return str(found.id), digest or next(iter(digests), "")

    def _get(self, called: str) -> Any:
        try:
            return self._client.images.get(called)
        except docker.errors.ImageNotFound:
            return None


def split(reference: str) -> tuple[str, str, str]:
    """The name, tag and digest of an image's reference. Raises ``UsageError`` for what is none."""
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise UsageError(
            f"{reference!r} is not the name of an image.",
            "",
            "Write name:tag, or name:tag@sha256:... for exactly one.",
        )
    default = "bundled" if match["digest"] else "latest"
    return match["name"], match["tag"] or default, match["digest"] or ""


def unpacked(stream: Iterable[bytes], folder: Path, grown: Callable[[int], None]) -> list[str]:
    """Write the files of ``docker save`` into ``folder``. Returns their names, sorted."""
    names, done = [], 0
    with tarfile.open(fileobj=cast(BinaryIO, _PieceReader(stream)), mode="r|") as archive:
        for member in archive:
            if member.isdir():
                continue
            content = archive.extractfile(member) if member.isreg() else None
            if content is None or not is_safe_path(member.name):
                raise StokerError(
                    "Docker saved the image in its old format.",
                    f"It holds {member.name!r}, which is not a plain file.",
                    "Update Docker to 25 or newer.",
                )
            target = folder / member.name
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as out:
                while chunk := content.read(1 << 20):
                    out.write(chunk)
                    done += len(chunk)
                    grown(done)
            names.append(member.name)
    return sorted(names)


def as_tar(files: Iterable[tuple[str, Path]]) -> Iterator[bytes]:
    """The same files as one stream, as ``docker load`` reads it."""
    for name, path in files:
        size = path.stat().st_size
        yield header(name, size)
        yield from chunks_of(path)
        yield bytes(padding(size))
    yield END


class _PieceReader:
    """The pieces of an answer as a file that is read from beginning to end."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        """At most ``size`` bytes; fewer only at the end."""
        parts, have = [self._rest], len(self._rest)
        while have < size and (piece := next(self._pieces, b"")):
            parts.append(piece)
            have += len(piece)
        joined = b"".join(parts)
        self._rest = joined[size:]
        return joined[:size]
