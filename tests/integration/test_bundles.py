"""Bundles made for real, and installed on a machine that has no route to any other."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from filelock import FileLock
from tests.support import small_bundles
from tests.support.small_bundles import FILES, KEY, digest, quiet

from stoker import bundles
from stoker.bundles import (
    BundleRequest,
    blob_store,
    bundle_archive,
    minisign_keys,
    target_machines,
    wheels,
)
from stoker.bundles.bundle_manifest import ItemFile, TargetMachine
from stoker.errors import StokerError
from stoker.server.ports import any_free

pytestmark = pytest.mark.engine

PYTHON = Path(sys.executable)
SOURCE = Path(__file__).parents[2]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, smollm2: str) -> Path:
    """A folder with a signed bundle of SmolLM2 and llama.cpp, and its public key."""
    folder = tmp_path_factory.mktemp("site")
    minisign_keys.make_pair(folder / "site.key", folder / "site.pub")
    request = BundleRequest(
        target=bundles.target(None, None),
        models=("smollm2-135m",),
        extras=("embedded",),
        stoker=SOURCE,
        guides=SOURCE,
    )
    bundles.create(
        request, folder / "site.stoker", minisign_keys.read_secret(folder / "site.key"), quiet
    )
    return folder


def run_offline(home: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """A command in a network namespace of its own: nothing but loopback, and no route."""
    clean = {n: v for n, v in os.environ.items() if not n.startswith(("PIP_", "PYTHONPATH", "HF_"))}
    script = 'ip link set lo up && exec "$@"'
    return subprocess.run(
        ["unshare", "--net", "sh", "-c", script, "sh", *words],
        env={**clean, "STOKER_HOME": str(home / "stoker"), "HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )


@needs_root
def test_a_bundle_alone_answers_a_chat_without_a_network(site: Path, tmp_path: Path) -> None:
    """With nothing but Python: the bootstrap, the load, a model that starts, and its checks."""
    bundle, into, home = site / "site.stoker", tmp_path / "opt", tmp_path / "home"
    home.mkdir()
    names = ["manifest.json", "bootstrap.py"]
    subprocess.run(["tar", "-C", home, "-xf", bundle, *names], check=True)
    # The base Python, so that no package of this environment helps.
    python, stoker = Path(sys.base_prefix, "bin/python3"), into / "current/venv/bin/stoker"
    load: list[str | Path] = [
        python,
        home / "bootstrap.py",
        bundle,
        "--key",
        site / "site.pub",
        "--into",
        into,
    ]
    up = [f"--up={option}" for option in (f"port={any_free()}", "context=1024", "parallel=1")]
    assert run_offline(home, "ip", "route", "show", "table", "main").stdout == ""
    try:
        done = run_offline(home, *load, "--no-editors", "--accept", *up)
        assert (into / "acceptance.json").is_file(), done.stdout + done.stderr
    finally:
        run_offline(home, stoker, "down")
    accepted = json.loads((into / "acceptance.json").read_text())
    started, doctor, test = accepted["steps"]
    assert started["result"]["first_answer"].strip()
    assert doctor["passed"]
    seen = {check["id"]: check["result"] for check in test["result"]["checks"]}
    assert seen["reach.answers"] == "pass"
    # A busy machine may be too slow for some check: then the command must not end well.
    assert (done.returncode == 0) is accepted["passed"] is test["passed"]
    assert (into / "acceptance.md").read_text().startswith("# Acceptance: ")
    model = home / "stoker/cache/models/smollm2-135m-instruct-q4_1.gguf"
    assert model.samefile(home / f"stoker/cache/bundles/blobs/{_sha256(model)}")
    planned = run_offline(home, stoker, "plan", "smollm2-135m", "--offline")
    assert planned.returncode == 0, planned.stderr  # found by its name
    opened = run_offline(home, stoker, "docs", "01-architecture", "--print")
    assert opened.stdout.strip() == (into / "current/docs/01-architecture.html").resolve().as_uri()
    assert json.loads((into / "current/sbom.cdx.json").read_text())["specVersion"] == "1.6"


def _sha256(path: Path) -> str:
    return digest(path.read_bytes())


@needs_root
def test_minisign_itself_verifies_the_manifest(site: Path, tmp_path: Path) -> None:
    if shutil.which("minisign") is None:
        pytest.skip("minisign is not installed")
    names = [bundle_archive.MANIFEST, bundle_archive.SIGNATURE]
    subprocess.run(["tar", "-C", tmp_path, "-xf", site / "site.stoker", *names], check=True)
    check = ["minisign", "-Vm", str(tmp_path / names[0]), "-p", str(site / "site.pub")]
    done = subprocess.run(check, capture_output=True, text=True, check=True)
    assert "Signature and comment signature verified" in done.stdout
    (tmp_path / names[0]).write_text("{}")
    assert subprocess.run(check, capture_output=True, check=False).returncode != 0


@pytest.fixture
def small(home: Path, tmp_path: Path) -> Path:
    """A bundle of a few kilobytes, whose Stoker only prints."""
    return small_bundles.write(tmp_path / "small.stoker")


def loaded(path: Path, into: Path) -> bundles.LoadedBundle:
    archive = bundle_archive.open_archive(path, KEY.public)
    return bundles.load(archive, into, PYTHON, quiet, editors=False)


def test_load_twice_is_one_installation(small: Path, tmp_path: Path) -> None:
    first = loaded(small, tmp_path / "opt")
    assert loaded(small, tmp_path / "opt").folder == first.folder
    done = subprocess.run([first.stoker, "hello"], capture_output=True, text=True, check=True)
    assert done.stdout == "['hello']\n"
    (model,) = first.models
    assert (model.path / "model.gguf").read_bytes() == FILES["model.gguf"]
    assert [each.name for each in (tmp_path / "opt/versions").iterdir()] == [first.folder.name]


def test_an_update_brings_only_what_is_new(small: Path, tmp_path: Path) -> None:
    newer = {**FILES, "tokenizer.json": b'{"new": true}'}
    old = bundle_archive.open_archive(small, KEY.public).manifest
    held = frozenset(blob.sha256 for blob in old.blobs)
    described = small_bundles.manifest(newer, held=held)
    update = small_bundles.write(tmp_path / "update.stoker", described, contents=newer)
    assert [blob.sha256 for blob in described.blobs] == [digest(newer["tokenizer.json"])]
    with pytest.raises(StokerError, match="an update"):
        loaded(update, tmp_path / "opt")
    before = loaded(small, tmp_path / "opt")
    after = loaded(update, tmp_path / "opt")
    assert (after.models[0].path / "tokenizer.json").read_bytes() == newer["tokenizer.json"]
    assert after.folder != before.folder
    assert before.folder.is_dir()  # to go back to


def test_create_leaves_out_what_the_base_holds(home: Path, tmp_path: Path) -> None:
    wheel = tmp_path / "stoker-0.1.0-py3-none-any.whl"
    wheel.write_bytes(small_bundles.stoker_wheel())
    request = BundleRequest(target=bundles.target(None, None), stoker=wheel)
    whole = bundles.create(request, tmp_path / "a.stoker", KEY, quiet)
    update = bundles.create(
        BundleRequest(request.target, stoker=wheel, base=tmp_path / "a.stoker"),
        tmp_path / "b.stoker",
        KEY,
        quiet,
    )
    assert digest(small_bundles.stoker_wheel()) in {b.sha256 for b in whole.manifest.blobs}
    assert digest(small_bundles.stoker_wheel()) in {b.sha256 for b in update.manifest.base_blobs}
    assert update.size_bytes < whole.size_bytes
    assert not (tmp_path / "a.stoker.work").exists()


class StoppedError(Exception):
    """What ends a run in the middle."""


def test_a_load_that_ends_anywhere_leaves_what_ran_before(small: Path, tmp_path: Path) -> None:
    into, before = tmp_path / "opt", loaded(small, tmp_path / "opt")
    newer = {**FILES, "model.gguf": b"GGUF new"}
    bundle = small_bundles.write(tmp_path / "newer.stoker", contents=newer)
    archive = bundle_archive.open_archive(bundle, KEY.public)
    for last in ("verify", "check", "copy", "install"):

        def stop(step: str, _done: int, _total: int | None, last: str = last) -> None:
            if step == last:
                raise StoppedError

        with pytest.raises(StoppedError):
            bundles.load(archive, into, PYTHON, stop, editors=False)
        assert (into / "current").resolve() == before.folder
        assert [each.name for each in (into / "versions").iterdir()] == [before.folder.name]
        assert list(blob_store.BlobStore().folder.glob("*.partial")) == []
    assert loaded(bundle, into).folder == (into / "current").resolve()


def test_wheels_that_do_not_install_leave_nothing(small: Path, tmp_path: Path) -> None:
    described = small_bundles.changed(small_bundles.manifest(), extras=("missing",))
    renamed = described.items[0]
    wrong = small_bundles.changed_item(
        renamed, files=(ItemFile("stoker-0.1.0-cp39-cp39-win_amd64.whl", renamed.files[0].sha256),)
    )
    described = small_bundles.changed(described, items=(wrong, *described.items[1:]))
    bundle = small_bundles.write(tmp_path / "wrong.stoker", described)
    with pytest.raises(StokerError, match="can't be installed"):
        loaded(bundle, tmp_path / "opt")
    assert not (tmp_path / "opt/current").exists()
    assert list((tmp_path / "opt/versions").iterdir()) == []


@contextmanager
def small_disk(at: Path, megabytes: int) -> Iterator[Callable[[int], None]]:
    """A disk of its own; what is yielded makes it larger."""
    at.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", at], check=True)

    def grow(to: int) -> None:
        subprocess.run(["mount", "-o", f"remount,size={to}m", at], check=True)

    try:
        yield grow
    finally:
        subprocess.run(["umount", at], check=True)


@needs_root
def test_a_disk_that_fills_half_way_is_continued(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program takes the space that was free when the load began."""
    contents = {f"{n}.safetensors": os.urandom(3 << 20) for n in range(4)}
    bundle = small_bundles.write(tmp_path / "large.stoker", contents=contents)
    monkeypatch.setattr(blob_store, "check_space", lambda *_: None)
    with small_disk(home / "stoker", 8) as grow:
        with pytest.raises(StokerError) as full:
            loaded(bundle, tmp_path / "opt")
        assert full.value.what.endswith("is full.")
        kept = {each.name for each in blob_store.BlobStore().folder.iterdir()}
        assert len(kept & {digest(each) for each in contents.values()}) == 2
        assert not any(name.endswith(".partial") for name in kept)
        assert not (home / "stoker/cache/models").exists()
        assert not (tmp_path / "opt/current").exists()
        grow(64)
        copied: list[int] = []

        def note(step: str, _done: int, total: int | None) -> None:
            if step == "copy" and total is not None:
                copied.append(total)

        archive = bundle_archive.open_archive(bundle, KEY.public)
        again = bundles.load(archive, tmp_path / "opt", PYTHON, note, editors=False)
        assert copied[0] == 2 * (3 << 20)  # and not the two that were there
        for name, content in contents.items():
            assert (again.models[0].path / name).read_bytes() == content


@needs_root
def test_a_full_disk_for_stoker_itself_leaves_nothing(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blob_store, "check_space", lambda *_: None)
    with small_disk(tmp_path / "opt", 3):
        with pytest.raises(StokerError, match="is full"):
            loaded(small, tmp_path / "opt")
        assert not (tmp_path / "opt/current").exists()
        assert list((tmp_path / "opt/versions").iterdir()) == []


def test_the_conditions_of_requirements_are_read_for_the_target(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pip reads ``; platform_machine == ...`` by the machine that it runs on."""
    index = tmp_path / "index"
    index.mkdir()
    for name in ("only-arm", "only-intel", "only-old-python"):
        write_wheel(index, name)
    stoker = write_wheel(
        tmp_path,
        "stoker",
        "only-arm; platform_machine == 'aarch64'",
        "only-intel; platform_machine == 'x86_64'",
        "only-old-python; python_version < '3.12'",
    )
    for name, value in {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("UV_NO_INDEX", "1")
    targets = {
        TargetMachine("3.12", "linux-aarch64", "2.28"): {"only_arm"},
        TargetMachine("3.10", "linux-x86_64", "2.28"): {"only_intel", "only_old_python"},
    }
    for target, wanted in targets.items():
        found = wheels.collect(tmp_path / "wheels", stoker, (), target, lambda _: None)
        assert {each.name.split("-")[0] for each in found} == {"stoker", *wanted}, target


#: Of all wheels together for llama.cpp and a team, on every CPU and Python: 66 MB in 2026.
_WHEELS_BYTES = range(30_000_000, 130_000_000)


@pytest.mark.parametrize(
    "wanted",
    [TargetMachine("3.12", "linux-aarch64", "2.28"), TargetMachine("3.13", "linux-x86_64", "2.28")],
)
def test_all_wheels_of_stoker_come_for_another_cpu_and_python(
    home: Path, tmp_path: Path, wanted: TargetMachine
) -> None:
    extras = ("embedded", "teams")
    found = wheels.collect(tmp_path / "wheels", SOURCE, extras, wanted, lambda _: None)
    assert sum(wheel.stat().st_size for wheel in found) in _WHEELS_BYTES
    # Nothing is missing there: uv resolves for that machine from these wheels alone.
    asks = [sys.executable, "-m", "uv", "pip", "compile", "-", "--quiet", "--no-index"]
    asks += ["--find-links", str(tmp_path / "wheels"), "--python-version", wanted.python]
    asks += ["--python-platform", target_machines.uv_platform(wanted), "--no-header"]
    resolved = subprocess.run(
        asks,
        input=f"stoker[{','.join(extras)}]",
        capture_output=True,
        text=True,
        check=False,
        env={n: v for n, v in os.environ.items() if not n.startswith("UV_")},
    )
    assert resolved.returncode == 0, resolved.stderr
    named = {line.partition("==")[0] for line in resolved.stdout.splitlines() if "==" in line}
    assert len(named) == len(found)


def write_wheel(folder: Path, name: str, *requires: str) -> Path:
    """A wheel without code."""
    plain = name.replace("-", "_")
    info = f"{plain}-0.1.0.dist-info"
    needs = "".join(f"Requires-Dist: {each}\n" for each in requires)
    path = folder / f"{plain}-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1.0\n{needs}"
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return path


def test_one_run_at_a_time_installs(small: Path, tmp_path: Path) -> None:
    (tmp_path / "opt").mkdir()
    with FileLock(tmp_path / "opt/.lock"), pytest.raises(StokerError, match="Another run"):
        loaded(small, tmp_path / "opt")
