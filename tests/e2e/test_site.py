"""The site of the docs in real Chromium: accessible, whole, and served by nobody else.

The screenshots in ``artifacts/dashboard`` are for people to look at.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.e2e.editor import ROOT
from tests.e2e.page_browser import PageBrowser

from stoker.bundles import docs_site

pytestmark = pytest.mark.vscode  # it has the Node and the Chromium that these tests need

#: Text, tables, code, and the longest generated page.
PAGES = (
    "index",
    "01-architecture",
    "08-model-selection-guide",
    "rtx-4060-8gb",
    "infrastructure",
    "reference/commands",
    "reference/models",
    "contributing/gateway",
)
FORMS = list(itertools.product(("light", "dark"), (400, 1400)))


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the library's name)
        """Ignore it."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the site as ``make site`` builds it."""
    folder = tmp_path_factory.mktemp("site")
    docs_site.build(ROOT, folder)
    handler = partial(_Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def browser(code_server: Path) -> Iterator[PageBrowser]:
    made = PageBrowser(code_server / "bin")
    yield made
    made.stop()


@pytest.mark.parametrize(("scheme", "width"), FORMS)
def test_pages_are_accessible_and_fit_in_every_form(
    browser: PageBrowser, site: str, scheme: str, width: int
) -> None:
    browser.do("window", scheme=scheme, locale="en-US", width=width)
    for page in PAGES:
        browser.do("open", url=f"{site}/{page}.html")
        browser.do("screenshot", name=f"site-{scheme}-{width}-{page.replace('/', '-')}")
        assert browser.do("faults") == [], page


def test_the_search_finds_a_page_without_a_server_of_its_own(
    browser: PageBrowser, site: str
) -> None:
    browser.do("window", scheme="light", locale="en-US", width=1400)
    browser.do("open", url=f"{site}/index.html")
    browser.do("fill", selector=".sidebar-search", text="canaries")
    browser.do("press", key="Enter")
    browser.do("wait", selector="#search-results li a")
    assert browser.do("faults") == []
