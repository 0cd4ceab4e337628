"""Pages of the site: links stay within it, and what is only for cog is left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from stoker.bundles import docs_site

PROJECT = Path(__file__).parents[3]
PAGES = {"index.md", "CONTRIBUTING.md", "limits.md", "contributing/gateway.md", "pictures/a.png"}


def page(project: Path, source: str, text: str, name: str) -> str:
    path = project / source
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return docs_site.site_page(project, path, name, PAGES)


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
        ("README.md", "index.md", "![a](docs/pictures/a.png)", "![a](pictures/a.png)"),
        ("docs/limits.md", "limits.md", "[code](../src/stoker/errors.py)", "code"),
        ("docs/limits.md", "limits.md", "[x](https://a.example)", "[x](https://a.example)"),
        ("docs/limits.md", "limits.md", '<a id="tls"></a>', "(tls)="),
    ],
)
def test_a_link_leads_to_the_same_page_in_the_site(
    tmp_path: Path, source: str, name: str, text: str, expected: str
) -> None:
    assert page(tmp_path, source, text, name) == expected


def test_cogs_comments_are_left_out_and_what_they_wrote_is_not(tmp_path: Path) -> None:
    text = "<!-- [[[cog\nimport x\n]]] -->\n| a |\n<!-- [[[end]]] -->\nrest"
    assert page(tmp_path, "docs/limits.md", text, "limits.md") == "| a |\nrest"


def test_a_diagram_becomes_the_picture_that_was_drawn_of_it(tmp_path: Path) -> None:
    source = "flowchart LR\n  accTitle: From A to B\n  a --> b\n"
    shown = page(tmp_path, "docs/contributing/gateway.md", f"```mermaid\n{source}```\n", "a/b.md")
    for name in docs_site.ROOT_PAGES:
        (tmp_path / name).write_text("")
    ((name, kept),) = docs_site.diagrams(tmp_path).items()
    assert kept == source
    assert shown == f"![From A to B](../pictures/{name})\n"


def test_a_fact_is_its_value(tmp_path: Path) -> None:
    text = "within <!-- fact: run gateway.first_byte_ms -->0.41<!-- /fact --> ms"
    assert page(tmp_path, "docs/limits.md", text, "limits.md") == "within 0.41 ms"


def test_every_page_has_a_place_in_the_navigation(tmp_path: Path) -> None:
    docs_site.write_sources(PROJECT, tmp_path)
    with pytest.raises(ValueError, match="lost"):
        docs_site._toctrees(["index.md", "lost.md"])
