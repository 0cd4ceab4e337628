"""What only Kubernetes has, kept as text that a person who knows the field reviewed.

A change shows up here as a difference. Look at it, and where it is better than before:
``STOKER_WRITE_GOLDEN=1 pytest tests/unit/deploy/kubernetes/test_golden_objects.py``.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.support import cluster_sites
from tests.support.deployment_sites import golden_text

from stoker.deploy import exporter_for

GOLDEN = Path(__file__).parent / "golden"
#: The chart is the same objects: one of it shows its form.
FILES = [("kubernetes", name) for name in cluster_sites.VARIANTS] + [("helm", "keda")]

pytestmark = pytest.mark.usefixtures("home")


def written(format_name: str, name: str) -> str:
    """All files in one text."""
    return golden_text(exporter_for(format_name).render(cluster_sites.VARIANTS[name]()))


@pytest.mark.parametrize(("format_name", "name"), FILES)
def test_the_files_are_as_they_were_reviewed(format_name: str, name: str) -> None:
    golden = GOLDEN / format_name / f"{name}.txt"
    text = written(format_name, name)
    if os.environ.get("STOKER_WRITE_GOLDEN"):
        golden.parent.mkdir(parents=True, exist_ok=True)
        golden.write_text(text)
    assert text == golden.read_text()


def test_writing_twice_gives_the_same_text() -> None:
    for format_name in ("kubernetes", "helm"):
        assert written(format_name, "keda") == written(format_name, "keda")


def test_a_comment_of_a_file_is_what_explain_prints() -> None:
    for file in exporter_for("kubernetes").render(cluster_sites.VARIANTS["keda"]()):
        comments = " ".join(
            line.strip().removeprefix("# ")
            for line in file.text.splitlines()
            if line.strip().startswith("# ")
        )
        for reason in file.reasons:
            assert reason.why in comments
            assert reason.at
