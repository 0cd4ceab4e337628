"""Twelve plans and how each is deployed, and the golden files of what is written for them.

``python -m tests.support.deployment_sites`` writes the golden files again: look at the difference.
The plans are kept as ``stoker plan --json`` printed them, so that a new model in the catalogue
changes nothing here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from stoker.application import deployment_site
from stoker.application.deployment_site import SiteRecord
from stoker.deploy import EXPORTERS, Images, Site, SiteFile, SiteRequest

_FOLDER = Path(__file__).parents[1] / "unit" / "deploy"
PLANS = _FOLDER / "plans"
GOLDEN = _FOLDER / "golden"
_DIGEST = "@sha256:" + "0123456789abcdef" * 4

#: A plan's name, and its deployment. The format is added.
SITES: Mapping[str, SiteRequest] = {
    "rtx-4060": SiteRequest("", gateways=1, monitoring=False),
    "rtx-4090": SiteRequest("", gateways=1, users=3),
    "2x-rtx-3090": SiteRequest("", users=5),
    "rtx-5090": SiteRequest("", users=3, bind="0.0.0.0", tls_host="models.example.com"),
    "l40s": SiteRequest("", replicas=2, users=20),
    "a100": SiteRequest("", replicas=4, users=40, name="coding"),
    "h100": SiteRequest("", replicas=2, users=50, bind="::", tls_host="llm.example.com", port=443),
    "2x-h200": SiteRequest("", replicas=4, gateways=3, users=200),
    "8x-h200": SiteRequest("", users=100),
    "b200": SiteRequest(
        "",
        replicas=2,
        users=100,
        images=Images(
            engine=f"registry.example.com/vllm{_DIGEST}",
            postgres=f"registry.example.com/postgres{_DIGEST}",
            redis=f"registry.example.com/redis{_DIGEST}",
        ),
    ),
    "cpu": SiteRequest("", replicas=2),
    "cpu-folder": SiteRequest("", replicas=2, monitoring=False),
}
#: The formats with golden files. A chart has the objects of the format kubernetes, as real Helm
#: shows in ``tests/integration/test_kubernetes_tools.py``.
FORMATS = tuple(name for name in EXPORTERS if name != "helm")
_ASKED = SiteRequest.__dataclass_fields__
#: What served before it, where the files are those of an upgrade.
_EARLIER = {"l40s": ("qwen3.6-27b",)}
#: The same in every site, and tested by what it does.
_NOT_SHOWN = ("rolling.py", "engine/", "prometheus/stoker_rules.yaml")


def record(name: str, format_name: str) -> SiteRecord:
    """What the files of a site in a format are made from."""
    return SiteRecord(
        replace(SITES[name], format=format_name),
        deployment_site.plan_in(PLANS / f"{name}.json"),
        _EARLIER.get(name, ()),
        stoker_version="1.2.3",
    )


@cache
def files(name: str, format_name: str) -> tuple[SiteFile, ...]:
    """The files of a site in a format."""
    return deployment_site.rendered(record(name, format_name))


def changed(site: Site, **changes: Any) -> Site:
    """The site with other values: those of its request, and its own."""
    asked = {name: changes.pop(name) for name in set(changes) & set(_ASKED)}
    return replace(site, request=replace(site.request, **asked), **changes)


def golden_file(name: str, format_name: str) -> Path:
    """Where all of them together are kept."""
    return GOLDEN / format_name / f"{name}.txt"


def golden_text(written: Sequence[SiteFile]) -> str:
    """All files as one text."""
    shown = [file for file in written if not file.path.startswith(_NOT_SHOWN)]
    return "\n".join(
        f"===== {file.path}{' (executable)' if file.executable else ''}\n"
        f"{_without_programs(file.text)}"
        for file in shown
    )


def _without_programs(text: str) -> str:
    """The programs in a ConfigMap are files of this repository."""
    lines, inside = [], False
    for line in text.splitlines():
        inside = inside and (line.startswith("    ") or not line)
        if not inside:
            lines.append(line)
        inside = inside or line.endswith(".py: |")
    return "\n".join(lines) + "\n"


def write_all() -> None:
    """Write every golden file."""
    for format_name in FORMATS:
        for name in SITES:
            path = golden_file(name, format_name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(golden_text(files(name, format_name)), encoding="utf-8")


if __name__ == "__main__":
    write_all()
