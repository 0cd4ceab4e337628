"""ModelPack artifacts out of an OCI registry, into an OCI layout on this disk.

Protocol: https://github.com/opencontainers/distribution-spec. Credentials are those of
``docker login``; ``registry_login`` decides which hosts they are sent to.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from stoker.bundles import blob_store, modelpack
from stoker.bundles.bundle_manifest import Blob
from stoker.bundles.registry_login import is_loopback, may_have_login
from stoker.errors import StokerError, UsageError
from stoker.models import DownloadProgress

#: How such a model is named: ``oci://REGISTRY/NAME:TAG`` or ``oci://REGISTRY/NAME@sha256:...``.
SCHEME = "oci://"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
#: A registry that is silent for so long has broken off.
_SILENCE_S = 60
_PIECE_BYTES = 1 << 20
_LOG_IN = (
    "Check the name; for a private registry run: docker login REGISTRY. Then run the same command "
    "again."
)
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
        self._host = str(self._container.registry)
        # As Docker does it, one on this machine is spoken to in plain HTTP.
        self._registry = Registry(self._host, insecure=is_loopback(self._host))
        for scheme in ("http://", "https://"):
            self._registry.session.mount(scheme, _Careful(self._host))
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
        try:
            answer = self._answer(url, headers)
        except _OtherSite as error:
            raise self._fault(
                f"The registry wants its login sent to {error}, and Stoker sends it only over "
                "HTTPS to the registry's own site.",
                "Ask those who run the registry. Or fetch the artifact into an OCI layout with "
                "another program, and name its folder.",
            ) from error
        except (requests.RequestException, *_UNREADABLE) as error:
            raise self._fault(f"The registry reports: {error}.") from error
        if answer.status_code not in (200, 206):
            answer.close()
            raise self._fault(f"The registry answered {answer.status_code} {answer.reason}.")
        return answer

    def _answer(self, url: str, headers: dict[str, str]) -> requests.Response:
        whole = f"{self._registry.prefix}://{url}"
        if self._asks_for_password:
            login = getattr(self._registry.auth, "_basic_auth", None)
            own = {"Authorization": f"Basic {login}"} if login else {}
            direct: requests.Response = self._registry.session.get(
                whole, headers={**headers, **own}, stream=True
            )
            return direct
        # Without the library's retries, which take two minutes for a name that is wrong, too.
        once = self._registry.do_request.__wrapped__
        answer: requests.Response = once(self._registry, whole, headers=headers, stream=True)
        return answer

    @functools.cached_property
    def _asks_for_password(self) -> bool:
        """Whether it wants a password with each request: the library knows tokens only."""
        door = f"{self._registry.prefix}://{self._host}/v2/"
        with closing(self._registry.session.get(door, stream=True)) as answer:
            return str(answer.headers.get("WWW-Authenticate")).lower().startswith("basic")

    def _fault(self, why: str, fix: str = _LOG_IN) -> StokerError:
        return StokerError(f"{SCHEME}{self.reference} can't be fetched.", why, fix)


class _OtherSite(requests.RequestException):
    """Names the address that the login of a registry must not be sent to."""


class _Careful(HTTPAdapter):
    """Every request passes here: to the registry, to what it names for a login, and redirected."""

    def __init__(self, registry: str) -> None:
        super().__init__()
        self._registry = registry

    def send(
        self, request: requests.PreparedRequest, *arguments: Any, **options: Any
    ) -> requests.Response:
        """The answer. Raises ``_OtherSite``, and ``Timeout`` where the library would wait on."""
        url = request.url or ""
        if "Authorization" in request.headers and not may_have_login(url, self._registry):
            raise _OtherSite(url.partition("?")[0])
        return super().send(request, *arguments, **{**options, "timeout": _SILENCE_S})


def _appended(answer: requests.Response, unfinished: Path, have: int) -> Iterator[int]:
    """A registry without ranges sends the blob from its beginning, with status 200."""
    have = have if answer.status_code == 206 else 0
    with closing(answer), unfinished.open("ab" if have else "wb") as out:
        for piece in answer.iter_content(_PIECE_BYTES):
            out.write(piece)
            have += len(piece)
            yield have
