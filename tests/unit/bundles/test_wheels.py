"""Where Stoker's own wheel comes from. What pip and uv download is in tests/integration."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.support.small_bundles import stoker_wheel

import stoker
from stoker.bundles import target_machines, wheels
from stoker.errors import UsageError

PROJECT = Path(__file__).parents[3]
HERE = target_machines.target(None, None)


def test_a_clone_is_its_own_source() -> None:
    assert wheels.own_source() == PROJECT


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stoker as pip installs it, without its project around it; its folder of packages."""
    packages = tmp_path / "lib" / "python3" / "site-packages"
    (packages / "stoker").mkdir(parents=True)
    info = packages / "stoker-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stoker\nVersion: 0.1.0\n")
    monkeypatch.setattr(stoker, "__file__", str(packages / "stoker" / "__init__.py"))
    monkeypatch.syspath_prepend(str(packages))
    return info


def test_an_installed_one_knows_the_clone_that_it_came_from(installed: Path) -> None:
    noted = {"url": PROJECT.as_uri(), "dir_info": {}}
    (installed / "direct_url.json").write_text(json.dumps(noted))
    assert wheels.own_source() == PROJECT


@pytest.mark.parametrize(
    "noted",
    ["", "{}", "no JSON", '{"url": "https://example.com/stoker.whl"}', '{"url": "file:///gone"}'],
)
def test_one_whose_source_is_gone_has_none(noted: str, installed: Path) -> None:
    if noted:
        (installed / "direct_url.json").write_text(noted)
    assert wheels.own_source() is None


def test_no_index_is_asked_for_stoker_itself(tmp_path: Path) -> None:
    """Whatever has its name there is another program."""
    with pytest.raises(UsageError, match="own wheel can't be made"):
        wheels.collect(tmp_path / "wheels", None, (), HERE, lambda _: None)


def test_what_is_not_stoker_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other-0.1.0-py3-none-any.whl"
    other.write_bytes(stoker_wheel())
    for source in (other, tmp_path, tmp_path / "missing"):
        with pytest.raises(UsageError):
            wheels.collect(tmp_path / "wheels", source, (), HERE, lambda _: None)
