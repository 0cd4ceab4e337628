"""The dashboard in real Chromium: accessible, readable in every form, and alive.

The screenshots in ``artifacts/dashboard`` are for people to look at.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.page_browser import PageBrowser
from tests.support.shown_gateways import (
    ADMIN,
    ODD_OWNERS,
    USER,
    VIEWER,
    ShownGateway,
    SmallVllm,
    crashed,
    running,
    store_with,
)

pytestmark = pytest.mark.vscode  # it has the Node and the Chromium that these tests need

#: Colours, language, and width of the window in pixels.
FORMS = list(itertools.product(("light", "dark"), ("en-US", "de-DE"), (400, 1400)))
_NOW = "[data-part=now]"


@pytest.fixture(scope="module")
def browser(code_server: Path) -> Iterator[PageBrowser]:
    made = PageBrowser(code_server / "bin")
    yield made
    made.stop()


@pytest.fixture(scope="module")
def engine() -> Iterator[SmallVllm]:
    with SmallVllm() as server:
        yield server


@pytest.fixture(scope="module")
def busy(engine: SmallVllm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShownGateway]:
    """A team's gateway: one backend works, another is down, and some requests failed."""
    folder = tmp_path_factory.mktemp("busy")
    owners = ["ann", "ben.mueller@example.com", "ci-agent", *ODD_OWNERS]
    backends = [engine.url, "http://127.0.0.1:9"]
    store = store_with(folder, owners)
    with ShownGateway(backends, usage=store, deployment=running()) as shown:
        down = shown.gateway.pool.backends[1]
        down.healthy, down.down_cause = False, "it refuses the key in VLLM_KEY"
        shown.chats(*["hi"] * 10, "refuse", "fail", "fail")
        yield shown


@pytest.fixture(scope="module")
def crowded(engine: SmallVllm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShownGateway]:
    """A gateway of 1,000 owners."""
    owners = [*ODD_OWNERS, *(f"team-{number:04}" for number in range(1000))]
    store = store_with(tmp_path_factory.mktemp("crowded"), owners, requests=1)
    with ShownGateway([engine.url], usage=store) as shown:
        yield shown


@pytest.fixture(scope="module")
def fallen() -> Iterator[ShownGateway]:
    """A gateway on a laptop, whose engine has just crashed. It records no usage, and has no key."""
    with ShownGateway([], with_keys=False, deployment=crashed()) as shown:
        problem = crashed().problem
        assert problem is not None
        shown.gateway.pause(problem)
        yield shown


def enters(browser: PageBrowser, gateway: ShownGateway, key: str) -> None:
    """Signs in with the keyboard alone."""
    browser.do("open", url=f"{gateway.url}/ui")
    browser.do("fill", selector="#key", text=key)
    browser.do("press", key="Enter")
    browser.do("wait", selector=_NOW)


def is_well(browser: PageBrowser, name: str) -> None:
    """Takes a picture; axe-core finds nothing, nothing overflows, and the policy holds."""
    browser.do("screenshot", name=name)
    assert browser.do("faults") == [], name


@pytest.mark.parametrize(("scheme", "locale", "width"), FORMS)
def test_every_page_is_accessible_in_every_form(
    browser: PageBrowser,
    busy: ShownGateway,
    fallen: ShownGateway,
    scheme: str,
    locale: str,
    width: int,
) -> None:
    form = f"{scheme}-{locale[:2]}-{width}"
    browser.do("window", scheme=scheme, locale=locale, width=width)
    browser.do("open", url=f"{busy.url}/ui")
    is_well(browser, f"sign-in-{form}")
    enters(browser, busy, ADMIN)
    is_well(browser, f"busy-{form}")
    browser.do("open", url=f"{busy.url}/ui/owners")
    is_well(browser, f"owners-{form}")
    browser.do("window", scheme=scheme, locale=locale, width=width)
    enters(browser, busy, VIEWER)
    is_well(browser, f"viewer-{form}")
    browser.do("open", url=f"{fallen.url}/ui")
    is_well(browser, f"fallen-{form}")


def test_thousand_owners_are_accessible(browser: PageBrowser, crowded: ShownGateway) -> None:
    browser.do("window", scheme="light", locale="en-US", width=400)
    enters(browser, crowded, ADMIN)
    is_well(browser, "crowded")
    browser.do("open", url=f"{crowded.url}/ui/owners")
    is_well(browser, "crowded-owners")


def test_refusals_are_accessible(browser: PageBrowser, busy: ShownGateway) -> None:
    browser.do("window", scheme="light", locale="en-US", width=1400)
    browser.do("open", url=f"{busy.url}/ui")
    browser.do("fill", selector="#key", text=USER)
    browser.do("press", key="Enter")
    browser.do("wait", selector="#fault")
    assert "viewer" in browser.do("text", selector="#fault")
    browser.do("screenshot", name="refused-key")
    # Chromium itself reports the status of the page.
    assert all("403" in fault for fault in browser.do("faults"))
    enters(browser, busy, VIEWER)
    browser.do("open", url=f"{busy.url}/ui/owners")
    browser.do("screenshot", name="refused-page")
    assert all("403" in fault for fault in browser.do("faults"))


def test_numbers_change_without_a_reload_and_the_focus_stays(
    browser: PageBrowser, busy: ShownGateway
) -> None:
    browser.do("window", scheme="light", locale="en-US", width=1400)
    enters(browser, busy, ADMIN)
    browser.do("evaluate", code="window.marked = true; document.querySelector('.scroll').focus()")
    busy.chats("hi", "unseen model" * 3)
    before = browser.do("text", selector="[data-part=prompts] dd")
    busy.chats(*["hi"] * 5)
    browser.do(
        "evaluate",
        code="new Promise((done, fail) => { const end = Date.now() + 14000; (function look() {"
        f"if (document.querySelector('[data-part=prompts] dd').innerText !== {before!r}) done();"
        "else if (Date.now() > end) fail(new Error('it stays as it was'));"
        "else setTimeout(look, 100); })() })",
    )
    assert browser.do("evaluate", code="window.marked === true")
    assert browser.do("evaluate", code="document.activeElement.className") == "scroll"
    assert browser.do("faults") == []


def test_page_in_the_background_asks_nothing(browser: PageBrowser, busy: ShownGateway) -> None:
    browser.do("window", scheme="light", locale="en-US", width=1400)
    enters(browser, busy, ADMIN)
    browser.do("hide")
    asked = (
        "new Promise(done => setTimeout(() => done(performance.getEntriesByType('resource')"
        ".filter(each => each.name.endsWith('/ui/live')).length), 6500))"
    )
    assert browser.do("evaluate", code=asked) == 0


def test_setting_is_copied(browser: PageBrowser, busy: ShownGateway) -> None:
    browser.do("window", scheme="light", locale="en-US", width=1400)
    enters(browser, busy, ADMIN)
    browser.do("click", selector="#copy")
    browser.do("wait", selector="#copy", text="Copied")
    copied = browser.do("evaluate", code="navigator.clipboard.readText()")
    assert copied == f'"huggingface.customTGIEndpoint": "{busy.url}"'


def test_everything_is_reached_by_the_keyboard(browser: PageBrowser, busy: ShownGateway) -> None:
    browser.do("window", scheme="light", locale="en-US", width=1400)
    enters(browser, busy, ADMIN)
    reached = []
    for _ in range(12):
        browser.do("press", key="Tab")
        reached.append(
            browser.do(
                "evaluate",
                code="(e => e.id || e.className || e.innerText.trim())(document.activeElement)",
            )
        )
    wanted = {
        "skip",
        "brand",
        "English",
        "Deutsch",
        "Sign out",
        "copy",
        "scroll",
        "Details of all owners (12)",
    }
    wanted -= {"Sign out"}
    assert wanted | {"quiet"} <= set(reached)


def test_without_scripts_the_page_is_whole(browser: PageBrowser, busy: ShownGateway) -> None:
    browser.do("window", scheme="light", locale="de-DE", width=1400, scripts=False)
    enters(browser, busy, ADMIN)
    assert "Token je Sekunde" in browser.do("text", selector=_NOW)
    browser.do("screenshot", name="no-scripts")
    browser.do("click", selector="nav a[lang=en]")
    browser.do("wait", selector="h2", text="Recent errors")
    browser.do("click", selector=".leave button")
    browser.do("wait", selector="#key")
    browser.do("open", url=f"{busy.url}/ui")
    browser.do("wait", selector="#key")


def test_scripts_of_the_page_see_neither_key_nor_session(
    browser: PageBrowser, busy: ShownGateway
) -> None:
    browser.do("window", scheme="light", locale="en-US", width=1400)
    enters(browser, busy, ADMIN)
    assert browser.do("evaluate", code="document.cookie") == ""
    kept = browser.do("evaluate", code="JSON.stringify([{...localStorage}, {...sessionStorage}])")
    assert kept == "[{},{}]"
    (session,) = browser.do("cookies")
    assert (session["path"], session["httpOnly"], session["sameSite"]) == ("/ui", True, "Strict")
    assert "?" not in browser.do("url")


def test_gateway_that_ended_is_reported(browser: PageBrowser, engine: SmallVllm) -> None:
    browser.do("window", scheme="dark", locale="en-US", width=1400)
    with ShownGateway([engine.url], with_keys=False) as shown:
        browser.do("open", url=f"{shown.url}/ui")
        browser.do("wait", selector=_NOW)
    browser.do("wait", selector="#stale", text="The gateway does not answer.")
    browser.do("screenshot", name="stale")
