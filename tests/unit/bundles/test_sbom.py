"""The bill of materials."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.support.small_bundles import digest, stoker_wheel

from stoker.bundles import sbom
from stoker.bundles.sbom import Component

WHEN = "2026-11-28T10:00:00+00:00"
MODEL = Component(
    "machine-learning-model",
    "acme/tiny",
    license="Apache-2.0",
    files=(("a.gguf", "aa" * 32), ("b.json", "bb" * 32)),
)


def test_a_wheel_is_listed_by_its_own_metadata(tmp_path: Path) -> None:
    wheel = tmp_path / "stoker-0.1.0-py3-none-any.whl"
    wheel.write_bytes(stoker_wheel())
    found = sbom.of_wheel(wheel, digest(stoker_wheel()))
    assert (found.name, found.version, found.purl) == ("stoker", "0.1.0", "pkg:pypi/stoker@0.1.0")


def test_the_bill_names_everything_with_its_digest() -> None:
    library = Component(
        "library", "stoker", "0.1.0", "pkg:pypi/stoker@0.1.0", "MIT", (("s.whl", "cc" * 32),)
    )
    bill = json.loads(sbom.document([library, MODEL], WHEN))
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    by_name = {each["name"]: each for each in bill["components"]}
    assert by_name["stoker"]["purl"] == "pkg:pypi/stoker@0.1.0"
    assert by_name["stoker"]["hashes"] == [{"alg": "SHA-256", "content": "cc" * 32}]
    files = {f["name"]: f["hashes"][0]["content"] for f in by_name["acme/tiny"]["components"]}
    assert files == dict(MODEL.files)


def test_the_same_content_gives_the_same_bill() -> None:
    assert sbom.document([MODEL], WHEN) == sbom.document([MODEL], WHEN)


@pytest.mark.parametrize("kind", ["library", "machine-learning-model", "container", "application"])
def test_every_kind_is_one_of_cyclonedx(kind: str) -> None:
    bill = json.loads(sbom.document([Component(kind, "it")], WHEN))
    assert bill["components"][0]["type"] == kind
