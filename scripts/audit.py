"""Ask whether what Stoker depends on has known vulnerabilities, and list it in two SBOMs.

Reads ``constraints.txt`` and ``extension/package-lock.json``. Writes CycloneDX JSON to
``artifacts/``. Ends with 1 where a vulnerability is known. What can't be asked is skipped with a
word: a mirror of an index may not answer such questions.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "constraints.txt"
EXTENSION = ROOT / "extension"
ARTIFACTS = ROOT / "artifacts"
#: Beside this Python: ``make audit`` installs both tools there.
TOOLS = Path(sys.executable).parent
_WITHIN_S = 300


def python_vulnerabilities(report: dict[str, Any]) -> list[str] | None:
    """What ``pip-audit`` found, a line each; ``None`` where it could ask about no package."""
    audited = [each for each in report["dependencies"] if "skip_reason" not in each]
    if not audited:
        return None
    return [
        f"{each['name']} {each['version']}: {known['id']}, "
        f"fixed in {', '.join(known['fix_versions']) or 'no version'}"
        for each in audited
        for known in each["vulns"]
    ]


def npm_vulnerabilities(report: dict[str, Any]) -> list[str] | None:
    """What ``npm audit`` found, a line each; ``None`` where its registry did not answer."""
    if "vulnerabilities" not in report:
        return None
    found = report["vulnerabilities"].values()
    return [f"{each['name']} {each['range']}: {each['severity']}" for each in found]


def main() -> None:
    """Write the SBOMs, print what is known, and end with 1 where that is anything."""
    ARTIFACTS.mkdir(exist_ok=True)
    found = [*_python(), *_extension()]
    for line in found:
        print(f"audit: vulnerable: {line}")
    sys.exit(1 if found else 0)


def _python() -> Iterator[str]:
    sbom = ARTIFACTS / "sbom-python.json"
    _run(TOOLS / "cyclonedx-py", "requirements", CONSTRAINTS, "--of", "JSON", "-o", sbom)
    _listed(sbom)
    offline = ("--no-deps", "--disable-pip", "--progress-spinner", "off", "-f", "json")
    asked = _run(TOOLS / "pip-audit", "-r", CONSTRAINTS, *offline, may_fail=True)
    yield from _told("Python", asked, python_vulnerabilities)


def _extension() -> Iterator[str]:
    if shutil.which("npm") is None:
        print("audit: the extension: skipped, because npm is not installed")
        return
    sbom = ARTIFACTS / "sbom-extension.json"
    listing = ("sbom", "--sbom-format", "cyclonedx", "--package-lock-only")
    sbom.write_text(_run("npm", "--prefix", EXTENSION, *listing), encoding="utf-8")
    _listed(sbom)
    asked = _run(
        "npm", "--prefix", EXTENSION, "audit", "--package-lock-only", "--json", may_fail=True
    )
    yield from _told("the extension", asked, npm_vulnerabilities)


def _listed(sbom: Path) -> None:
    """Report what an SBOM lists. One that lists nothing is a fault of its tool."""
    components = json.loads(sbom.read_text(encoding="utf-8"))["components"]
    if not components:
        raise SystemExit(f"audit: {sbom.name} lists nothing")
    print(f"audit: {sbom.relative_to(ROOT)} lists {len(components)} packages")


def _told(of: str, answer: str, read: Any) -> list[str]:
    try:
        found: list[str] | None = read(json.loads(answer))
    except ValueError:  # no JSON: the tool could not ask
        found = None
    if found is None:
        print(f"audit: {of}: skipped, because the index does not tell what it knows")
    else:
        print(f"audit: {of}: {len(found)} known vulnerabilities")
    return found or []


def _run(*argv: str | Path, may_fail: bool = False) -> str:
    """What a program prints. The auditors end with 1 where they found something."""
    done = subprocess.run(
        list(map(str, argv)),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        timeout=_WITHIN_S,
    )
    if done.returncode and not may_fail:
        raise SystemExit(f"audit: {argv[0]} failed with {done.returncode}")
    return done.stdout


if __name__ == "__main__":
    main()
