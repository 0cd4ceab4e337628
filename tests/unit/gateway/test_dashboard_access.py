"""Who may see the dashboard, how a browser signs in, and what other pages can do with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.support.shown_gateways import ADMIN, USER, VIEWER, keys, store_with
from tests.unit.gateway.browsing import PAGES, ask, seen_by, shown, sign_in

from stoker.access.api_keys import Keys
from stoker.access.caller import Caller, Role
from stoker.gateway.dashboard import dashboard_access, dashboard_paths


@pytest.mark.parametrize("path", ["/ui", "/ui/owners"])
async def test_without_a_session_a_browser_is_led_to_the_sign_in(path: str) -> None:
    async with shown() as front:
        reply = await ask(front, "GET", path)
        assert (reply.status, reply.headers["Location"]) == (303, "/ui/sign-in")
        assert (await ask(front, "GET", "/ui/live")).status == 401
        assert not front.gateway.refused_entries.take(all_of_them=True)


@pytest.mark.parametrize("key", [ADMIN, VIEWER])
async def test_admins_and_viewers_see_it(key: str) -> None:
    async with shown() as front:
        entered = await sign_in(front, key)
        assert (entered.status, entered.headers["Location"]) == (303, "/ui")
        page = await seen_by(front, key)
        assert page.status == 200
        assert "coder" in page.text


async def test_key_of_a_user_gets_403_and_what_to_do() -> None:
    async with shown() as front:
        reply = await sign_in(front, USER)
        assert reply.status == 403
        assert "stoker keys create NAME --role viewer" in reply.text
        assert not reply.cookies
        for path in PAGES:
            headers = {"Authorization": f"Bearer {USER}"}
            assert (await ask(front, "GET", path, headers=headers)).status == 403
        ((entry, count),) = front.gateway.refused_entries.take(all_of_them=True).items()
        assert (entry.reason, entry.key_id, count) == ("role_needed", "user", 1 + len(PAGES))


async def test_key_in_a_header_opens_it_for_programs() -> None:
    async with shown() as front:
        for headers in ({"Authorization": f"Bearer {VIEWER}"}, {"x-api-key": VIEWER}):
            assert (await ask(front, "GET", "/ui/live", headers=headers)).status == 200
        wrong = {"Authorization": "Bearer nothing"}
        assert (await ask(front, "GET", "/ui", headers=wrong)).status == 401


async def test_without_keys_this_machine_needs_none() -> None:
    async with shown(keys=None) as front:
        for path in PAGES:
            assert (await ask(front, "GET", path)).status == 200
        assert (await ask(front, "GET", "/ui/sign-in")).headers["Location"] == "/ui"
        assert "/ui/sign-out" not in (await ask(front, "GET", "/ui")).text


async def test_without_keys_a_foreign_host_reads_nothing() -> None:
    async with shown(keys=None) as front:
        for path in PAGES:
            reply = await ask(front, "GET", path, headers={"Host": "evil.example"})
            assert (reply.status, "coder" in reply.text) == (403, False)


async def test_names_of_owners_are_for_admins(tmp_path: Path) -> None:
    async with shown(usage=store_with(tmp_path, ["ann", "ben"])) as front:
        await front.post(b"{", headers={"Authorization": f"Bearer {USER}"})  # an error of `user`
        for path in ("/ui", "/ui/live"):
            assert "ann" in (await seen_by(front, ADMIN, path)).text
            assert ">user</bdi>" in (await seen_by(front, ADMIN, path)).text.replace("\\", "")
            page = (await seen_by(front, VIEWER, path)).text
            assert "1,032" not in page
            assert "ann" not in page.replace("channel", "")
            assert ">user<" not in page
        assert (await seen_by(front, VIEWER, "/ui/owners")).status == 403
        assert "ben" in (await seen_by(front, ADMIN, "/ui/owners")).text


# The session


async def test_cookie_is_for_the_dashboard_alone_and_is_not_the_key() -> None:
    async with shown() as front:
        (morsel,) = (await sign_in(front, VIEWER)).cookies.values()
        assert morsel["path"] == "/ui"
        assert morsel["httponly"]
        assert morsel["samesite"] == "Strict"
        assert not morsel["secure"]
        assert len(morsel.value) >= 43
        assert VIEWER not in morsel.value
        other = (await sign_in(front, VIEWER)).cookies.popitem()[1]
        assert other.value != morsel.value


@pytest.mark.parametrize("protocols", ["https", "HTTPS", "https, http", "https,http"])
async def test_behind_https_the_cookie_is_secure(protocols: str) -> None:
    """A row of proxies lists what each was asked by, the browser's first."""
    async with shown() as front:
        reply = await sign_in(front, VIEWER, **{"X-Forwarded-Proto": protocols})
        assert [morsel["secure"] for morsel in reply.cookies.values()] == [True]


@pytest.mark.parametrize("other", [{"Authorization": "Basic YTpi"}, {"x-api-key": ""}])
async def test_a_session_counts_beside_what_a_proxy_before_asks_for(other: dict[str, str]) -> None:
    async with shown() as front:
        assert (await seen_by(front, VIEWER, **other)).status == 200
        assert (await ask(front, "GET", "/ui", headers=other)).status == 303
        assert not front.gateway.refused_entries.take(all_of_them=True)


async def test_signing_out_ends_the_session_for_every_copy_of_the_cookie() -> None:
    async with shown() as front:
        cookie = {"Cookie": (await sign_in(front, ADMIN)).cookie}
        reply = await ask(front, "POST", "/ui/sign-out", headers=cookie)
        assert [morsel["max-age"] for morsel in reply.cookies.values()] == ["0"]
        assert (await ask(front, "GET", "/ui", headers=cookie)).status == 303


async def test_session_ends_with_its_key() -> None:
    async with shown() as front:
        cookie = {"Cookie": (await sign_in(front, ADMIN)).cookie}
        assert (await ask(front, "GET", "/ui/live", headers=cookie)).status == 200
        front.gateway.use_keys(keys().and_also(Keys.shut()))
        assert (await ask(front, "GET", "/ui/live", headers=cookie)).status == 200
        front.gateway.use_keys(Keys.shut())
        assert (await ask(front, "GET", "/ui/live", headers=cookie)).status == 401


async def test_session_opens_no_other_path() -> None:
    async with shown() as front:
        cookie = {"Cookie": (await sign_in(front, ADMIN)).cookie}
        for path in ("/v1/models", "/metrics", "/info"):
            assert (await ask(front, "GET", path, headers=cookie)).status == 401


async def test_session_cookie_that_opens_nothing_is_logged_and_forgotten() -> None:
    async with shown() as front:
        cookie = (await sign_in(front, ADMIN)).cookie
        reply = await ask(front, "GET", "/ui", headers={"Cookie": cookie + "x"})
        assert (reply.status, reply.headers["Location"]) == (303, "/ui/sign-in")
        assert [morsel["max-age"] for morsel in reply.cookies.values()] == ["0"]
        (entry,) = front.gateway.refused_entries.take(all_of_them=True)
        assert entry.reason == "wrong_session"


async def test_refused_keys_are_logged_and_limited() -> None:
    async with shown() as front:
        statuses = [(await sign_in(front, f"guess {n}")).status for n in range(12)]
        assert statuses == [401] * 10 + [429] * 2
        late = await sign_in(front, ADMIN)
        assert late.status == 429
        assert 0 < int(late.headers["Retry-After"]) <= 60
        ((entry, count),) = front.gateway.refused_entries.take(all_of_them=True).items()
        assert (entry.reason, entry.address, count) == ("wrong_key", "127.0.0.1", 10)


async def test_key_is_taken_from_a_form_alone() -> None:
    async with shown() as front:
        assert (await ask(front, "GET", f"/ui/sign-in?key={ADMIN}")).status == 200
        path = f"/ui/sign-in?key={ADMIN}"
        options: dict[str, Any]
        for options in ({}, {"json": {"key": ADMIN}}, {"data": {"key": ADMIN + " " * 5000}}):
            reply = await ask(front, "POST", path, **options)
            assert (reply.status, len(reply.cookies)) == (401, 0)


# Other pages


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_requests_of_other_pages_are_refused(site: str) -> None:
    async with shown() as front:
        cookie = (await sign_in(front, ADMIN)).cookie
        other = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "cors", "Cookie": cookie}
        for path in PAGES:
            assert (await ask(front, "GET", path, headers=other)).status == 403
        assert (await sign_in(front, ADMIN, **other)).status == 403
        await ask(front, "POST", "/ui/sign-out", headers=other)
        own = {"Cookie": cookie, "Sec-Fetch-Site": "same-origin"}
        assert (await ask(front, "GET", "/ui", headers=own)).status == 200


async def test_every_answer_forbids_what_the_page_does_not_need() -> None:
    paths = [*PAGES, *dashboard_paths.OPEN]
    async with shown() as front:
        cookie = {"Cookie": (await sign_in(front, ADMIN)).cookie}
        for path in paths:
            method = "POST" if path == dashboard_paths.SIGN_OUT else "GET"
            headers = (await ask(front, method, path, headers=cookie)).headers
            policy = headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy, path
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert "Access-Control-Allow-Origin" not in headers


async def test_no_route_but_signing_in_and_out_takes_anything_but_a_get() -> None:
    async with shown() as front:
        routes = front.gateway.application().routes
    below = {(route.method, route.path) for route in routes if route.path.startswith("/ui")}
    changing = {path for method, path in below if method not in ("GET", "HEAD")}
    assert changing == {"/ui/sign-in", "/ui/sign-out"}


@pytest.mark.parametrize(
    ("address", "role", "required", "views"),
    [
        ("127.0.0.1", "user", False, True),
        ("::1", "user", False, True),
        ("10.0.0.7", "user", False, False),
        ("fe80::1%eth0", "user", False, False),
        (None, "user", False, False),
        ("10.0.0.7", "viewer", True, True),
        ("10.0.0.7", "admin", True, True),
        ("127.0.0.1", "user", True, False),
    ],
)
def test_role_decides_where_there_are_keys_and_the_machine_where_there_are_none(
    address: str | None, role: Role, required: bool, views: bool
) -> None:
    caller = Caller("ann", role=role)
    assert dashboard_access.may_view(caller, address, is_guarded=required) == views
