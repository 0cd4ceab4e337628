"""Each format writes twelve sites as the golden files have them.

After an intended change: ``python -m tests.support.deployment_sites``, and read the difference.
"""

from __future__ import annotations

import json

import pytest
from ruamel.yaml import YAML
from tests.support import deployment_sites
from tests.support.deployment_sites import FORMATS, SITES, files, golden_file, golden_text

from stoker.data.facts import tomllib

BOTH = pytest.mark.parametrize(
    ("name", "format_name"), [(name, fmt) for fmt in FORMATS for name in SITES]
)


@BOTH
def test_site_is_written_as_its_golden_file(name: str, format_name: str) -> None:
    expected = golden_file(name, format_name).read_text(encoding="utf-8")
    assert golden_text(files(name, format_name)) == expected


@BOTH
def test_files_are_text_with_a_line_end_and_stay_in_the_folder(name: str, format_name: str) -> None:
    written = files(name, format_name)
    paths = [file.path for file in written]
    assert len(set(paths)) == len(paths)
    for file in written:
        assert file.text.endswith("\n"), file.path
        assert not file.path.startswith("/")
        assert ".." not in file.path.split("/")


@BOTH
def test_structured_files_can_be_read(name: str, format_name: str) -> None:
    for file in files(name, format_name):
        if file.path.endswith((".yaml", ".yml")):
            list(YAML(typ="safe").load_all(file.text))
        elif file.path.endswith(".toml"):
            tomllib.loads(file.text)
        elif file.path.endswith(".json"):
            json.loads(file.text)


@BOTH
def test_every_reason_is_of_a_line_that_is_there(name: str, format_name: str) -> None:
    for file in files(name, format_name):
        for reason in file.reasons:
            assert reason.at in file.text
            assert reason.why


def test_there_are_twelve_plans_and_a_golden_file_for_each_format() -> None:
    assert len(SITES) == 12
    kept = {path.stem for path in deployment_sites.GOLDEN.glob("*/*.txt")}
    assert kept == set(SITES)
