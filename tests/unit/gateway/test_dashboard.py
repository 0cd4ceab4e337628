"""What the dashboard's pages show, in every state of the gateway, and that it is only text."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import orjson
import pytest
from tests.support.shown_gateways import (
    ADMIN,
    ODD_OWNERS,
    USER,
    VIEWER,
    crashed,
    keys,
    running,
    store_with,
)
from tests.unit.gateway.backends import gateway_to, gateway_with
from tests.unit.gateway.browsing import ask, seen_by, shown
from tests.unit.gateway.test_backend_faults import dies_after_3_tokens

from stoker.gateway.dashboard import page_rendering
from stoker.planning.draft_use import DraftCost, DraftCounts, DraftUse
from stoker.usage_records import UsageStore
from stoker.usage_records.sqlite_database import SqliteDatabase


class _Markup(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


async def test_pages_need_nothing_from_elsewhere_and_hold_no_code(tmp_path: Path) -> None:
    async with shown(usage=store_with(tmp_path, ODD_OWNERS)) as front:
        pages = [(await seen_by(front, ADMIN, path)).text for path in ("/ui", "/ui/owners")]
        pages.append((await ask(front, "GET", "/ui/sign-in")).text)
        for page in pages:
            for tag, attributes in _Markup(page).tags:
                assert not [name for name in attributes if name.startswith("on")]
                assert "style" not in attributes
                addresses = (attributes.get(name) for name in ("src", "href", "action"))
                assert all(a.startswith(("/ui", "#")) for a in addresses if a), tag
            for script in re.findall("<script[^>]*>(.*?)</script>", page, re.DOTALL):
                assert script == ""
            for address in re.findall(r'(?:src|href)="(/ui/[^"?]+\.\w+\?[^"]+)"', page):
                assert (await ask(front, "GET", address)).status == 200


async def test_names_of_owners_are_text_whatever_they_are(tmp_path: Path) -> None:
    async with shown(usage=store_with(tmp_path, ODD_OWNERS)) as front:
        for path in ("/ui", "/ui/owners", "/ui/live"):
            page = (await seen_by(front, ADMIN, path)).text
            assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
            assert "<script>alert" not in page
            assert "<img src=x" not in page
            assert "{{ 7 * 7 }}" in page
            assert "אבי כהן" in page


async def test_thousand_owners_are_ten_rows_and_a_page(tmp_path: Path) -> None:
    owners = [f"team-{number:04}" for number in range(1000)]
    async with shown(usage=store_with(tmp_path, owners, requests=1)) as front:
        home = (await seen_by(front, ADMIN)).text
        assert len(set(re.findall(r"team-\d{4}", home))) == 10
        assert "Details of all owners (1,000)" in home
        every = (await seen_by(front, ADMIN, "/ui/owners")).text
        assert len(set(re.findall(r"team-\d{4}", every))) == 1000


async def test_without_requests_or_usage_it_reads_well() -> None:
    async with shown() as front:
        page = (await seen_by(front, ADMIN)).text
    assert "Usage is not recorded." in page
    assert "No error since the gateway was started." in page
    assert "no answer in the last 15 minutes" in page


async def test_store_without_rows_and_one_that_is_damaged_read_well(tmp_path: Path) -> None:
    async with shown(usage=UsageStore(SqliteDatabase(tmp_path / "none.db"))) as front:
        assert "No request was recorded this month." in (await seen_by(front, ADMIN)).text
    (tmp_path / "bad.db").write_bytes(b"x" * 5000)
    async with shown(usage=UsageStore(SqliteDatabase(tmp_path / "bad.db"))) as front:
        page = await seen_by(front, ADMIN)
        assert page.status == 200
        assert "can&#39;t be read" in page.text


async def test_backend_that_is_down_is_shown_with_its_reason() -> None:
    async with shown() as front:
        (backend,) = front.gateway.pool.backends
        backend.healthy, backend.down_cause = False, "it refuses the key in VLLM_KEY"
        page = (await seen_by(front, ADMIN)).text
    assert "No backend can be used" in page
    assert "It refuses the key in VLLM_KEY." in page


async def test_backend_that_answers_nothing_keeps_no_page_waiting() -> None:
    async with gateway_to("http://127.0.0.1:9", engine="vllm") as front:
        page = await ask(front, "GET", "/ui")
        assert (page.status, "not reported" in page.text) == (200, True)


async def test_deployment_is_shown_as_it_is() -> None:
    async with shown() as front:
        front.gateway.belong_to(running)
        assert "for 3 d 4 h" in (await seen_by(front, ADMIN)).text
        front.gateway.belong_to(crashed)
        page = (await seen_by(front, ADMIN)).text
    assert "Starting again" in page
    assert "Out of GPU memory" in page


async def test_what_drafts_bring_is_shown_beside_what_runs() -> None:
    cost = DraftCost(draft_steps=0.25, tokens_per_step=2.5)
    use = DraftUse(DraftCounts(4000, 8000, 5600), cost)
    async with shown() as front:
        front.gateway.belong_to(running)
        assert "Drafts" not in (await seen_by(front, ADMIN)).text
        front.gateway.belong_to(lambda: replace(running(), drafts=use))
        page = (await seen_by(front, ADMIN)).text
        assert "Drafts: 70% right" in page
        assert "1.6 × the speed without" in page
        front.gateway.belong_to(lambda: replace(running(), drafts=replace(use, switched_off=True)))
        page = (await seen_by(front, ADMIN)).text
    assert "Drafts switched off" in page
    assert "the speed without" not in page


async def test_engine_that_ended_is_an_error_with_its_diagnosis_also_when_it_is_back() -> None:
    problem = crashed().problem
    assert problem is not None
    async with shown() as front:
        for _ in range(2):
            front.gateway.pause(problem)
        page = (await seen_by(front, VIEWER)).text
    assert "The engine could not answer" in page
    assert "2 times" in page
    assert problem.why in page
    assert problem.fix in page
    assert "No engine answers at the moment" in page


async def test_stream_that_broke_off_is_an_error() -> None:
    async with gateway_with(dies_after_3_tokens, keys=keys()) as (front, _):
        headers = {"Authorization": f"Bearer {USER}"}
        body = orjson.dumps({"stream": True, "messages": [{"role": "user", "content": "hi"}]})
        await front.post(body, headers=headers)
        assert "An answer broke off" in (await seen_by(front, ADMIN)).text


async def test_setting_to_copy_has_the_address_that_the_browser_uses() -> None:
    async with shown() as front:
        page = await seen_by(front, VIEWER, Host="models.example.com")
        setting = "&#34;huggingface.customTGIEndpoint&#34;: &#34;http://models.example.com&#34;"
        assert setting.replace("&#34;", '"') in page.text.replace("&#34;", '"')
        https = await seen_by(front, VIEWER, **{"X-Forwarded-Proto": "https", "Host": "a.example"})
        assert "https://a.example" in https.text


async def test_errors_are_shown_with_a_diagnosis_and_never_with_content() -> None:
    secret = "a canary in the request"
    async with shown() as front:
        user = {"Authorization": f"Bearer {USER}"}
        await front.post(f'{{"model": "{secret}", "messages": []}}', headers=user)
        for _ in range(3):
            body = f'{{"model": "{secret}", "messages": [{{"role": "user", "content": "hi"}}]}}'
            await front.post(body, headers=user)
        await front.post("{}", f"/v1/{secret.replace(' ', '-')}", headers=user)
        page = (await seen_by(front, ADMIN)).text
    assert "A model was asked for that is not served" in page
    assert "3 times" in page
    assert "A path was asked that does not exist" in page
    assert "canary" not in page


async def test_language_is_the_browsers_or_the_chosen_one() -> None:
    async with shown(keys=None) as front:
        english = await ask(front, "GET", "/ui", headers={"Accept-Language": "fr, en;q=0.5"})
        assert '<html lang="en">' in english.text
        german = await ask(front, "GET", "/ui", headers={"Accept-Language": "de-AT, en;q=0.9"})
        assert '<html lang="de">' in german.text
        assert "Letzte Fehler" in german.text
        for path in ("/ui", "/ui/owners"):
            chosen = await ask(front, "GET", f"{path}?language=en")
            assert (chosen.status, chosen.headers["Location"]) == (303, path)
            assert chosen.cookies["stoker_language"].value == "en"
        assert (await ask(front, "GET", "/ui?language=fr")).status == 200
        cookie = {"Cookie": "stoker_language=en", "Accept-Language": "de"}
        assert '<html lang="en">' in (await ask(front, "GET", "/ui", headers=cookie)).text


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("evil\u202egnp.exe", "evil\\u202egnp.exe"),
        ("a\nb\x1b[31m", "a\\u000ab\\u001b[31m"),
        ("a\u2066b\u2069", "a\\u2066b\\u2069"),
        ("אבי כהן", "אבי כהן"),
        ("می\u200cخواهم 👩\u200d💻", "می\u200cخواهم 👩\u200d💻"),
    ],
)
def test_no_character_of_a_name_misleads(name: str, shown: str) -> None:
    assert page_rendering.visible(name) == shown
