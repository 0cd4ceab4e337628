"""ModelPack artifacts out of an OCI registry, into an OCI layout on this disk.

Protocol: https://github.com/opencontainers/distribution-spec. Credentials are those of
``docker login``.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from stoker.bundles import blob_store, modelpack
from stoker.bundles.bundle_manifest import Blob
from stoker.errors import StokerError, UsageError
from stoker.models import DownloadProgress

#: How such a model is named: ``oci://REGISTRY/NAME:TAG`` or ``oci://REGISTRY/NAME@sha256:...``.
SCHEME = "oci://"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
#: A registry that is silent for so long has broken off.
_SILENCE_S = 60
_PIECE_BYTES = 1 << 20
#: What the library raises where a registry's demand for a login, or Docker's own file, is not what
#: it expects.
_UNREADABLE = (ValueError, AttributeError, KeyError, TypeError)


def pull(name: str, layout: Path, report: Callable[[DownloadProgress], None]) -> Path:
    """The layout, with the artifact ``name`` in it as far as a server needs it.

    What a run that was broken off has fetched stays and is continued. Raises ``StokerError`` where
    the artifact can't be had, or a blob is not what its digest promises.
    """
    artifact = _Artifact(name)
    manifest = artifact.manifest()
    blobs = layout / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    wanted = modelpack.needed(manifest, name)
    total = sum(blob.size_bytes for blob in wanted)
    done = 0
    for blob in wanted:
        for received in artifact.fetch(blob, blobs / blob.sha256):
            report(DownloadProgress(done + received, total, name))
        done += blob.size_bytes
    digest = hashlib.sha256(manifest).hexdigest()
    (blobs / digest).write_bytes(manifest)
    entry = {"mediaType": _MANIFEST, "digest": f"sha256:{digest}", "size": len(manifest)}
    entry["annotations"] = {"org.opencontainers.image.ref.name": artifact.reference}
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    return layout


class _Artifact:
    """One artifact in its registry."""

    def __init__(self, name: str) -> None:
        try:
            from oras.container import Container  # noqa: PLC0415 - of an extra
            from oras.provider import Registry  # noqa: PLC0415 - of an extra
        except ImportError as error:
            raise StokerError(
                f"{name} can't be fetched.",
                "The package oras, which speaks to registries, is not installed.",
                "Install it: pip install '.[bundles]' in Stoker's clone.",
            ) from error
        self.reference = name.removeprefix(SCHEME)
        try:
            self._container = Container(self.reference)
        except ValueError as error:
            raise UsageError(
                f"{name} does not name an artifact in a registry.",
                fix="Write oci://REGISTRY/NAME:TAG or oci://REGISTRY/NAME@sha256:DIGEST.",
            ) from error
        plain = _is_loopback(str(self._container.registry))
        self._registry = Registry(str(self._container.registry), insecure=plain)
        for scheme in ("http://", "https://"):
            self._registry.session.mount(scheme, _Patient())
        try:
            self._registry.auth.load_configs(self._container)
        except (OSError, *_UNREADABLE) as error:
            raise self._fault(f"Docker's config.json can't be read: {error}.") from error

    def manifest(self) -> bytes:
        """The manifest as it is stored. Raises ``StokerError``."""
        answer = self._ask(self._container.manifest_url(), {"Accept": _MANIFEST})
        content = b""
        try:
            with closing(answer):
                for piece in answer.iter_content(_PIECE_BYTES):
                    content += piece
                    if len(content) > modelpack.MAX_JSON_BYTES:
                        raise self._fault("The registry answered with a manifest without end.")
        except OSError as error:
            raise self._fault(f"The download broke off: {error}.") from error
        promised = self._container.digest
        if promised and hashlib.sha256(content).hexdigest() != promised.removeprefix("sha256:"):
            raise self._fault("The registry sent a manifest that does not match the digest.")
        return content

    def fetch(self, blob: Blob, file: Path) -> Iterator[int]:
        """Write a blob to ``file``, and yield how many of its bytes are there."""
        if file.exists():
            return
        unfinished = file.with_name(f"{file.name}.partial")
        have = unfinished.stat().st_size if unfinished.exists() else 0
        if have < blob.size_bytes:
            yield from self._continued(blob, unfinished, have)
        seen = hashlib.sha256()
        for chunk in blob_store.chunks_of(unfinished):
            seen.update(chunk)
        if seen.hexdigest() != blob.sha256:
            unfinished.unlink()
            raise self._fault(f"The content of blob {blob.sha256[:12]} does not match its digest.")
        unfinished.replace(file)

    def _continued(self, blob: Blob, unfinished: Path, have: int) -> Iterator[int]:
        answer = self._ask(
            self._container.get_blob_url(f"sha256:{blob.sha256}"),
            {"Range": f"bytes={have}-"} if have else {},
        )
        try:
            for received in _appended(answer, unfinished, have):
                if received > blob.size_bytes:  # and perhaps never ends
                    raise self._fault(
                        f"The blob {blob.sha256[:12]} is longer than the manifest states."
                    )
                yield received
        except OSError as error:  # requests' errors are of this kind too
            raise self._fault(f"The download broke off: {error}.") from error

    def _ask(self, url: str, headers: dict[str, str]) -> requests.Response:
        whole = f"{self._registry.prefix}://{url}"
        # Without the library's retries, which take two minutes for a name that is wrong, too.
        once = self._registry.do_request.__wrapped__
        try:
            answer: requests.Response = once(
                self._registry, whole, "GET", headers=headers, stream=True
            )
        except (requests.RequestException, *_UNREADABLE) as error:
            raise self._fault(f"The registry reports: {error}.") from error
        if answer.status_code not in (200, 206):
            answer.close()
            raise self._fault(f"The registry answered {answer.status_code} {answer.reason}.")
        return answer

    def _fault(self, why: str) -> StokerError:
        return StokerError(
            f"{SCHEME}{self.reference} can't be fetched.",
            why,
            "Check the name; for a private registry run: docker login REGISTRY. Then run the same "
            "command again.",
        )


class _Patient(HTTPAdapter):
    """Gives a request up that the library would wait for without end."""

    def send(self, *arguments: Any, **options: Any) -> requests.Response:
        """The answer, or requests' ``Timeout``."""
        return super().send(*arguments, **{**options, "timeout": _SILENCE_S})


def _appended(answer: requests.Response, unfinished: Path, have: int) -> Iterator[int]:
    """A registry without ranges sends the blob from its beginning, with status 200."""
    have = have if answer.status_code == 206 else 0
    with closing(answer), unfinished.open("ab" if have else "wb") as out:
        for piece in answer.iter_content(_PIECE_BYTES):
            out.write(piece)
            have += len(piece)
            yield have


def _is_loopback(registry: str) -> bool:
    """Whether it is spoken to in plain HTTP, as Docker does it."""
    host = registry.rpartition(":")[0] or registry
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
