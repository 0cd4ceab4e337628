"""Pages of the site: links stay within it, and what is only for cog is left out."""

from __future__ import annotations

from pathlib import Path

import pytest
from scripts import build_site

PAGES = {"index.md", "CONTRIBUTING.md", "limits.md", "contributing/gateway.md"}


def page(path: Path, text: str, name: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return build_site.site_page(path, name, PAGES)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(build_site, "ROOT", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("source", "name", "text", "expected"),
    [
        ("README.md", "index.md", "[L](docs/limits.md#a)", "[L](limits.md#a)"),
        ("docs/limits.md", "limits.md", "[R](../README.md)", "[R](index.md)"),
        (
            "docs/limits.md",
            "limits.md",
            "[G](contributing/gateway.md)",
            "[G](contributing/gateway.md)",
        ),
        (
            *("docs/contributing/gateway.md", "contributing/gateway.md"),
            *("[C](../../CONTRIBUTING.md#words)", "[C](../CONTRIBUTING.md#words)"),
        ),
        ("docs/limits.md", "limits.md", "[code](../src/stoker/errors.py)", "code"),
        ("docs/limits.md", "limits.md", "[x](https://a.example)", "[x](https://a.example)"),
        ("docs/limits.md", "limits.md", '<a id="tls"></a>', "(tls)="),
    ],
)
def test_a_link_leads_to_the_same_page_in_the_site(
    root: Path, source: str, name: str, text: str, expected: str
) -> None:
    assert page(root / source, text, name) == expected


def test_cogs_comments_are_left_out_and_what_they_wrote_is_not(root: Path) -> None:
    text = "<!-- [[[cog\nimport x\n]]] -->\n| a |\n<!-- [[[end]]] -->\nrest"
    assert page(root / "docs/limits.md", text, "limits.md") == "| a |\nrest"


def test_every_page_has_a_place_in_the_navigation(tmp_path: Path) -> None:
    build_site.write_sources(tmp_path)
    with pytest.raises(ValueError, match="lost"):
        build_site._toctrees(["index.md", "lost.md"])
