"""The packages whose history ``completion.py`` replays: two versions of each, pinned by hash.

Wheels come through pip, npm's tarballs through npm, Go sources (Debian's ``golang-*-dev``) through
apt, each from the index that this machine uses. Nothing is installed, and nothing in them runs.
"""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stoker import paths

#: Text of a version by its path inside the package.
Files = dict[str, str]

EXTENSIONS = {"python": ".py", "typescript": ".ts", "go": ".go"}
_MOST_BYTES, _LEAST_BYTES = 60_000, 400


@dataclass(frozen=True, slots=True)
class Archive:
    """One version of a package: its file's name is what the index calls it."""

    version: str
    file: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Package:
    """Two versions of a package: what differs between them was typed."""

    language: str
    name: str
    license: str
    old: Archive
    new: Archive


def _python(name: str, license_: str, *versions: tuple[str, str]) -> Package:
    old, new = (
        Archive(version, f"{name}-{version}-py3-none-any.whl", sha256)
        for version, sha256 in versions
    )
    return Package("python", name, license_, old, new)


def _npm(name: str, license_: str, *versions: tuple[str, str]) -> Package:
    file = name.removeprefix("@").replace("/", "-")
    old, new = (Archive(version, f"{file}-{version}.tgz", sha256) for version, sha256 in versions)
    return Package("typescript", name, license_, old, new)


def _debian(name: str, license_: str, *versions: tuple[str, str]) -> Package:
    package = f"golang-github-{name}-dev"
    old, new = (
        Archive(version, f"{package}_{version}_all.deb", sha256) for version, sha256 in versions
    )
    return Package("go", package, license_, old, new)


PACKAGES = (
    _python(
        "click",
        "BSD-3-Clause",
        ("8.1.8", "63c132bbbed01578a06712a2d1f497bb62d9c1c0d329b7903a866228027263b2"),
        ("8.2.1", "61a3265b914e850b85317d0b3109c7f8cd35a670f963866005d6ef1d5175a12b"),
    ),
    _python(
        "flask",
        "BSD-3-Clause",
        ("3.0.3", "34e815dfaa43340d1d15a5c3a02b8476004037eb4840b34910c6e21679d288f3"),
        ("3.1.1", "07aae2bb5eaf77993ef57e357491839f5fd9f4dc281593a81a9e4d79a24f295c"),
    ),
    _python(
        "starlette",
        "BSD-3-Clause",
        ("0.41.3", "44cedb2b7c77a9de33a8b74b2b90e9f50d11fcf25d8270ea525ad71a25374ff7"),
        ("0.46.2", "595633ce89f8ffa71a015caed34a5b2dc1c0cdb3f0f1fbd1e69339cf2abeec35"),
    ),
    _python(
        "rich",
        "MIT",
        ("13.9.4", "6049d5e6ec054bf2779ab3358186963bac2ea89175919d699e378b99738c2a90"),
        ("14.1.0", "536f5f1785986d6dbdea3c75205c473f970777b4a0d6c6dd1b696aa05a3fa04f"),
    ),
    _npm(
        "zod",
        "MIT",
        ("4.0.5", "e94b4391298a2dff5bdf6afaddf3484a6720a3127b0305ee2b8a009ada6bb082"),
        ("4.1.5", "6e2edca06e41119ca944ab9d55a7d5b069ec799a0396d274c9ddaf38ab2dd95e"),
    ),
    _npm(
        "@reduxjs/toolkit",
        "MIT",
        ("2.2.7", "f2517c466b50424b661a27e48039f15db7783e5822f46b5c7d39f20104ac67a9"),
        ("2.5.0", "73fd6e95612c85870a4bb1967420f62364f760689ee02a41214d1b3fb23e95fc"),
    ),
    _npm(
        "@tanstack/query-core",
        "MIT",
        ("5.50.1", "a9b3158603b50dc8e44dea6a2cf2e4145d6a1c6636e270d9f7a95233966c2c3d"),
        ("5.62.0", "b658063e556986f2544ddf9a9736bea86072c8bc61e6ef42cc67ce3d4b14466f"),
    ),
    _npm(
        "@trpc/server",
        "MIT",
        ("11.0.0", "3824b524520230703802d7bcaa5ac4e8c9746a06949b326fe298f33bf7172ba2"),
        ("11.4.3", "7185e1ed1c7c89a9a493130319aebe5adea0ff2c19acd2d23aced7b01c98969b"),
    ),
    _debian(
        "spf13-cobra",
        "Apache-2.0",
        ("1.6.1-1", "4f5d20855133319beef3c5b49d3c21a0406f270bf94fb4b6f4d406b691283cb2"),
        ("1.8.1-1", "139ec86efbe938a99ae70a7d695334fdc7c691a617c5739f36932b0de4ecdfd9"),
    ),
    _debian(
        "go-chi-chi",
        "MIT",
        ("5.0.7-1", "70beea5ca4f20af122e8083c91b56b6055df895595c7d9dcf286fadd4ad26f9b"),
        ("5.2.0-1", "f13ab06cba9e33e62b3b05418881c1c4ddfafb933356f9ac71c26ba42367e41c"),
    ),
    _debian(
        "labstack-echo",
        "MIT",
        ("4.2.1-3", "3ec383b8cb239c415d9ab83b3e8871524931f6da13e75e41baf580b74b3599ef"),
        ("4.12.0-1", "4a99dbb8df8a7934e5b78bc6dfa5f882d1b3226b31564cce84d854f6fa9c8414"),
    ),
    _debian(
        "rs-zerolog",
        "MIT",
        ("1.26.1-2", "2a2b1684b3f4f35d1f5b9f510aabda2aa36c60bb01b18ced7a4deefd4dc492e7"),
        ("1.29.1-1", "a22b82927534ce26d8b082b4bce5b0f3cfa5a05d4023f033a61078754f7945ad"),
    ),
)
#: Debian's releases that carry the two versions of each.
_SUITES = ("bookworm", "trixie")
#: Where npm's and Debian's archives keep the sources.
_FOLDERS = ("package/", "usr/share/gocode/src/")


def texts(package: Package) -> tuple[Files, Files]:
    """The sources of both versions in the package's language, downloaded once and verified.

    Raises ``RuntimeError`` where a file is not the pinned one, ``subprocess.CalledProcessError``
    where the index does not have it.
    """
    suffix = EXTENSIONS[package.language]
    old, new = (
        {name: text for name, text in _members(_archive(package, each)) if _is_source(name, suffix)}
        for each in (package.old, package.new)
    )
    return old, new


def _is_source(name: str, suffix: str) -> bool:
    return name.endswith(suffix) and not name.endswith(".d.ts")


def _archive(package: Package, archive: Archive) -> Path:
    folder = paths.cache_dir() / "benchmarks" / "completion"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / archive.file
    if not file.exists():
        _DOWNLOADS[package.language](package, archive, folder)
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    if found != archive.sha256:
        raise RuntimeError(f"{file} is not the file that is pinned: its SHA-256 is {found}.")
    return file


def _pip(package: Package, archive: Archive, folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", f"{package.name}=={archive.version}"]
    options = ["--no-deps", "--only-binary", ":all:", "--dest", str(folder), "--quiet"]
    subprocess.run([*command, *options, "--disable-pip-version-check"], check=True)


def _npm_pack(package: Package, archive: Archive, folder: Path) -> None:
    command = ["npm", "pack", "--silent", f"{package.name}@{archive.version}"]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)


def _apt(package: Package, archive: Archive, folder: Path) -> None:
    """Ask Debian's own mirror of this machine, with package lists of its own."""
    options = _apt_lists(folder / "apt")
    command = ["apt-get", *options, "-qq", "download", f"{package.name}={archive.version}"]
    subprocess.run(command, cwd=folder, check=True)


def _apt_lists(folder: Path) -> list[str]:
    sources = folder / "sources.list"
    options = [
        f"-oDir::Etc::SourceList={sources}",
        "-oDir::Etc::SourceParts=/nonexistent",
        f"-oDir::State::Lists={folder / 'lists'}",
        f"-oDir::Cache={folder / 'cache'}",
        "-oAPT::Sandbox::User=root",
    ]
    if sources.exists():
        return options
    for each in ("lists/partial", "cache/archives/partial"):
        (folder / each).mkdir(parents=True, exist_ok=True)
    format_ = ["--format", "$(ORIGIN) $(REPO_URI)", "Created-By: Packages"]
    targets = subprocess.run(
        ["apt-get", "indextargets", *format_], check=True, capture_output=True, text=True
    ).stdout.split("\n")
    uri = next(line for line in targets if line.startswith("Debian ")).split()[1]
    lines = [f"deb {uri} {suite} main\n" for suite in _SUITES]
    written = sources.with_suffix(".new")
    written.write_text("".join(lines))
    written.replace(sources)
    subprocess.run(["apt-get", *options, "-qq", "update"], check=True)
    return options


_DOWNLOADS = {"python": _pip, "typescript": _npm_pack, "go": _apt}


def _members(file: Path) -> Iterator[tuple[str, str]]:
    """The text files of an archive, of a size that a person would edit."""
    for name, data in _raw_members(file):
        if _LEAST_BYTES <= len(data) <= _MOST_BYTES:
            try:
                yield name, data.decode().replace("\r\n", "\n")
            except UnicodeDecodeError:
                continue


def _raw_members(file: Path) -> Iterator[tuple[str, bytes]]:
    if file.suffix == ".whl":
        with zipfile.ZipFile(file) as wheel:
            yield from ((name, wheel.read(name)) for name in wheel.namelist())
        return
    data = file.read_bytes()
    tarred = _data_of_deb(data) if file.suffix == ".deb" else data
    with tarfile.open(fileobj=io.BytesIO(tarred)) as tar:
        for member in tar:
            content = tar.extractfile(member) if member.isfile() else None
            if content is not None:
                name = os.path.normpath(member.name)
                for folder in _FOLDERS:
                    name = name.removeprefix(folder)
                yield name, content.read()


def _data_of_deb(archive: bytes) -> bytes:
    """The member ``data.tar.*`` of a Debian package, an ar archive of three members."""
    at = 8
    while at < len(archive):
        name, size = archive[at : at + 16].strip(), int(archive[at + 48 : at + 58])
        at += 60
        if name.startswith(b"data.tar"):
            return archive[at : at + size]
        at += size + size % 2
    raise RuntimeError("This is not a Debian package.")
