"""``stoker docs`` finds the pages that came with this Stoker, and names the nearest page."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import stoker
from stoker.bundles import docs_site
from stoker.cli import app


def asked(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["docs", *words])
    return done.exit_code, done.stdout or str(done.exception)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The pages as a bundle installs them: beside its environment."""
    site = tmp_path / "docs"
    (site / "reference").mkdir(parents=True)
    for page in ("index", "05-installation", "sizing", "reference/commands"):
        (site / f"{page}.html").write_text("<h1>page</h1>")
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "venv"))
    return site


@pytest.mark.parametrize(
    ("name", "page"),
    [
        ("05-installation", "05-installation"),
        ("installation", "05-installation"),
        ("docs/sizing.md", "sizing"),
        ("commands", "reference/commands"),
    ],
)
def test_a_page_is_found_by_its_name_or_path(site: Path, name: str, page: str) -> None:
    address = (site / f"{page}.html").as_uri()
    assert asked(name, "--print") == (0, f"{address}\n")
    code, printed = asked(name, "--print", "--json")
    assert (code, json.loads(printed)) == (0, {"page": address})


def test_without_a_name_it_is_the_first_page(site: Path) -> None:
    assert asked("--print") == (0, f"{(site / 'index.html').as_uri()}\n")


def test_a_name_that_no_page_has_gets_the_nearest(site: Path) -> None:
    _, message = asked("sizin")
    assert "There is no page sizin. The nearest: sizing" in message


def test_without_pages_the_error_names_how_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "venv"))
    monkeypatch.setattr(docs_site, "PACKAGED", tmp_path / "site")
    monkeypatch.setattr(docs_site, "can_build", lambda: False)
    _, message = asked()
    assert "This installation has no pages." in message
    assert "make site" in message


def test_pages_are_old_when_a_source_changed_after_them(tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    for file in (*docs_site.ROOT_PAGES, "site/index.html"):
        (tmp_path / file).write_text("")
        os.utime(tmp_path / file, (1000, 1000))
    assert not docs_site.is_older(site, tmp_path)
    os.utime(tmp_path / "README.md", (1001, 1001))
    assert docs_site.is_older(site, tmp_path)


def test_the_version_has_an_option_of_its_own() -> None:
    done = CliRunner().invoke(app, ["--version"])
    assert (done.exit_code, done.stdout) == (0, f"stoker {stoker.__version__}\n")
