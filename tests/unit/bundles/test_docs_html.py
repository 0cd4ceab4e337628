"""The guides as pages."""

from __future__ import annotations

import re
from pathlib import Path

from stoker.bundles import docs_html

PROJECT = Path(__file__).parents[3]
KNOWN = frozenset({"README.md", "docs/a.md", "docs/deep/b.md"})


def href(text: str, name: str = "docs/a.md") -> str | None:
    found = re.search(r'href="([^"]*)"', docs_html.to_html(text, name, KNOWN))
    return found[1] if found else None


def test_links_between_pages_lead_to_their_pages() -> None:
    assert href("[b](deep/b.md#part)") == "deep/b.html#part"
    assert href("[a](../a.md)", "docs/deep/b.md") == "../a.html"
    assert href("[a](docs/a.md)", "README.md") == "docs/a.html"
    assert href("[up](../README.md)") == "../README.html"


def test_other_links_stay_and_lost_ones_go() -> None:
    assert href("[x](https://example.com/a.md)") == "https://example.com/a.md"
    assert href("[x](#here)") == "#here"
    assert href("[x](../src/stoker/errors.py)") is None


def test_headings_have_the_anchors_of_github() -> None:
    page = docs_html.to_html("# The `stoker up` flow\n## Part\n## Part\n", "docs/a.md", KNOWN)
    assert re.findall(r'id="([^"]+)"', page) == ["the-stoker-up-flow", "part", "part-1"]


def test_every_link_of_the_real_guides_leads_somewhere(tmp_path: Path) -> None:
    pages = docs_html.write(PROJECT, tmp_path)
    assert "docs/01-architecture.html" in pages
    assert "README.html" in pages
    lost = []
    for name, page in pages.items():
        if not name.endswith(".html"):
            continue
        text = page.read_text("utf-8")
        for link in re.findall(r'<a href="([^"]*)"', text):
            path, _, anchor = link.partition("#")
            if re.match(r"[a-z]+:", link):
                continue
            target = page if not path else (page.parent / path)
            if not target.is_file() or (
                anchor and f'id="{anchor}"' not in target.read_text("utf-8")
            ):
                lost.append(f"{name}: {link}")
    assert lost == []
