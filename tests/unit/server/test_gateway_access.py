"""A running gateway's keys: they follow the store, never open by themselves, and are logged."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from unittest.mock import Mock

import aiohttp
import pytest
from tests.support.oidc_issuer import issuing
from tests.unit.gateway.backends import gateway_to, wait_for

from stoker.access.api_keys import Keys, hash_of, keys_of
from stoker.access.audit_log import AuditLog
from stoker.access.key_store import KeyStore
from stoker.errors import StokerError, UsageError
from stoker.gateway import Gateway, GatewayTimings
from stoker.server import lifecycle, own_key, sign_on_file
from stoker.server.gateway_access import GatewayAccess
from stoker.server.gateway_service import Service

pytestmark = pytest.mark.usefixtures("home")

CONFIG = '[gateway]\nport = 0\nhealth_check_s = 60\n[[backend]]\nurl = "http://127.0.0.1:9"\n'
QUICK = GatewayTimings(access_poll_s=0.02, config_poll_s=0.02, drain_s=0.1, first_check_s=0.1)


def events() -> list[str]:
    return [record["event"] for record in AuditLog().records()]


def written(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


@asynccontextmanager
async def serving(path: Path, text: str = CONFIG) -> AsyncIterator[str]:
    """``stoker gateway`` with this configuration, at the address that it reports."""
    written(path, text)
    run = Service(path, QUICK).run()
    url = await asyncio.wait_for(anext(run), 5)
    going_on = asyncio.create_task(anext(run, None))
    yield url
    os.kill(os.getpid(), 15)
    assert await asyncio.wait_for(going_on, 5) is None


async def test_a_running_gateway_obeys_a_change_of_keys_within_a_second(tmp_path: Path) -> None:
    store = KeyStore()

    async def status(key: str | None) -> int:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        async with http.get(url + "/v1/models", headers=headers) as response:
            return response.status

    async def becomes(wanted: int, key: str | None) -> None:
        asked_at = asyncio.get_running_loop().time()
        while await status(key) != wanted:
            assert asyncio.get_running_loop().time() < asked_at + 1

    async with serving(tmp_path / "g.toml") as url, aiohttp.ClientSession() as http:
        assert await status(None) == 200
        first = store.create("ann")
        await becomes(401, None)
        assert await status(first.key) == 200
        second = store.create("bob")
        await becomes(200, second.key)
        store.revoke(first.record.id)
        await becomes(401, first.key)
        rotated = store.rotate(second.record.id)
        await becomes(401, second.key)
        assert await status(rotated.key) == 200
        store.revoke(rotated.record.id)
        await becomes(401, rotated.key)
        assert await status(None) == 401
    assert AuditLog().verify().last.sequence == len(events())
    refused = [r for r in AuditLog().records() if r["event"] == "entry_refused"]
    assert {r["reason"] for r in refused} >= {"no_key", "revoked_key"}
    assert {r["address"] for r in refused} == {"127.0.0.1"}


async def test_a_store_that_is_damaged_or_removed_meanwhile_opens_nothing(tmp_path: Path) -> None:
    store = KeyStore()
    made = store.create("ann")
    access = GatewayAccess(Gateway(), "127.0.0.1")
    for damage in (lambda: store.path.write_bytes(b"{"), store.path.unlink):
        damage()
        access.read_again()
        keys = access._stored
        assert keys.caller_of(made.key) is not None
        assert keys.caller_of(None) is None


async def test_a_gateway_without_keys_shuts_when_a_file_appears_that_it_can_not_read() -> None:
    gateway = Gateway()
    access = GatewayAccess(gateway, "127.0.0.1")
    access.configure(Keys({}))
    store = KeyStore()
    made = store.create("ann")
    whole = store.path.read_bytes()
    store.path.write_bytes(whole[:-5])
    access.read_again()
    assert gateway._state.keys.caller_of(None) is None
    assert gateway._state.keys.caller_of(made.key) is None
    store.path.write_bytes(whole)
    access.read_again()
    assert gateway._state.keys.caller_of(made.key) is not None


def test_a_key_revoked_while_no_file_can_be_opened_is_refused_as_soon_as_one_can(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = KeyStore()
    made = store.create("ann")
    access = GatewayAccess(Gateway(), "127.0.0.1")
    store.revoke(made.record.id)
    with monkeypatch.context() as no_descriptors:
        no_descriptors.setattr(Path, "open", Mock(side_effect=OSError(errno.EMFILE, "too many")))
        access.read_again()
        access.read_again()
    assert caplog.text.count("the keys were not reloaded") == 1
    access.read_again()
    assert access._stored.fault(made.key)[0] == "revoked_key"


def test_a_key_that_was_revoked_opens_nothing_though_a_configuration_has_its_hash() -> None:
    store = KeyStore()
    made = store.create("ann")
    store.revoke(made.record.id)
    gateway = Gateway()
    GatewayAccess(gateway, "127.0.0.1").configure(keys_of({"ann": hash_of(made.key)}))
    assert gateway._state.keys.caller_of(made.key) is None


def test_a_gateway_does_not_start_with_a_damaged_store(tmp_path: Path) -> None:
    KeyStore().create("ann")
    KeyStore().path.write_bytes(b"{}")
    path = tmp_path / "g.toml"
    path.write_text(CONFIG, encoding="utf-8")
    with pytest.raises(StokerError, match="no gateway opens"):
        Service(path)


@pytest.mark.parametrize("bind", ["0.0.0.0", "::", "192.168.1.5", "gpu.example"])
def test_an_address_that_others_reach_needs_keys_or_insistence(bind: str) -> None:
    access = GatewayAccess(Gateway(), bind)
    with pytest.raises(UsageError) as refused:
        access.configure(Keys({}))
    assert "stoker keys create" in refused.value.fix and "--insecure" in refused.value.fix
    access.configure(keys_of({"ann": hash_of("k")}))
    GatewayAccess(Gateway(), bind, insecure=True).configure(Keys({}))
    KeyStore().create("ann")
    GatewayAccess(Gateway(), bind).configure(Keys({}))


async def test_a_reload_that_takes_the_last_key_away_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keys = f'[gateway.keys]\nann = "{hash_of("k")}"\n'
    exposed = CONFIG.replace("port = 0", 'bind = "0.0.0.0"\nport = 0')
    path = tmp_path / "g.toml"
    async with serving(path, exposed + keys) as url, aiohttp.ClientSession() as http:
        path.write_text(exposed, encoding="utf-8")
        await wait_for(lambda: "was not reloaded" in caplog.text)
        async with http.get(url + "/v1/models") as response:
            assert response.status == 401


async def test_a_configuration_that_could_not_be_opened_for_a_while_is_read_when_it_can_be(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = f'[gateway.keys]\nann = "{hash_of("k")}"\nbob = "{hash_of("b")}"\n'
    path = tmp_path / "g.toml"
    async with serving(path, CONFIG + keys) as url, aiohttp.ClientSession() as http:
        with monkeypatch.context() as no_descriptors:
            tried = Mock(side_effect=OSError(errno.EMFILE, "too many"))
            no_descriptors.setattr(Path, "read_text", tried)
            written(path, CONFIG + keys.partition("bob")[0])
            await wait_for(lambda: tried.call_count > 1)
        await wait_for(lambda: "configuration_changed" in events())
        async with http.get(url + "/v1/models", headers={"x-api-key": "b"}) as response:
            assert response.status == 401
    assert caplog.text.count("was not reloaded") == 1


async def test_a_change_of_the_configuration_before_the_gateway_listens_is_read(
    tmp_path: Path,
) -> None:
    path = tmp_path / "g.toml"
    written(path, CONFIG)
    run = Service(path, QUICK).run()
    written(path, CONFIG + f'[gateway.keys]\nann = "{hash_of("k")}"\n')
    async with aclosing(run):
        await anext(run)
        going_on = asyncio.create_task(anext(run, None))
        await wait_for(lambda: "configuration_changed" in events())
        os.kill(os.getpid(), 15)
        assert await going_on is None


async def test_a_changed_configuration_is_logged_by_the_names_of_what_changed(
    tmp_path: Path,
) -> None:
    path = tmp_path / "g.toml"
    async with serving(path):
        path.write_text(CONFIG + f'key_env = "PATH"\n[gateway.keys]\nann = "{hash_of("k")}"\n')
        await wait_for(lambda: "configuration_changed" in events())
    (started, changed) = list(AuditLog().records())[:2]
    assert started["event"] == "gateway_started"
    assert changed["settings"] == ["backend[0].key_env", "gateway.keys.ann"]
    assert changed["sha256_before"] == started["config_sha256"] != changed["sha256"]
    assert hash_of("k") not in str(list(AuditLog().records()))


async def test_a_configuration_that_is_read_again_unchanged_is_not_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    path = tmp_path / "g.toml"
    async with serving(path):
        os.utime(path, ns=(0, 0))
        await wait_for(lambda: "configuration reloaded" in caplog.text)
    assert "configuration_changed" not in events()


async def test_a_page_that_is_refused_is_logged() -> None:
    async with gateway_to("http://127.0.0.1:9") as front:
        headers = {"Origin": "https://evil.example"}
        assert (await front.post(b"{}", headers=headers)).status == 403
        access = GatewayAccess(front.gateway, "127.0.0.1")
        await access.write_log(all_of_it=True)
    (refused,) = AuditLog().records()
    assert (refused["reason"], refused["address"]) == ("foreign_page", "127.0.0.1")


async def test_own_commands_have_a_key_where_keys_are_needed() -> None:
    gateway = Gateway()
    access = GatewayAccess(gateway, "127.0.0.1", own=own_key.draw())
    access.configure(Keys({}))
    assert not gateway._state.keys.required
    KeyStore().create("ann")
    access.read_again()
    caller = gateway._state.keys.caller(own_key.headers()["Authorization"])
    assert caller is not None and caller.role == "admin"


async def test_sign_on_opens_an_address_of_the_network_and_its_refusals_are_logged(
    tmp_path: Path,
) -> None:
    path, opened = tmp_path / "g.toml", CONFIG.replace("port", 'bind = "0.0.0.0"\nport')
    written(path, opened)
    with pytest.raises(UsageError, match="without keys or sign-on"):
        await anext(Service(path, QUICK).run())
    async with issuing() as issuer, aiohttp.ClientSession() as http:
        section = f'[[issuer]]\nurl = "{issuer.url}"\naudience = "stoker"\n'
        token = issuer.token()
        async with serving(path, opened + section) as url:
            for sent, status in ((token, 200), (issuer.token(lasts_s=-99), 401), (None, 401)):
                headers = {"Authorization": f"Bearer {sent}"} if sent else {}
                async with http.get(url + "/v1/models", headers=headers) as response:
                    assert response.status == status
    records = list(AuditLog().records())
    assert [r["sign_on"] for r in records if r["event"] == "gateway_started"] == [True]
    reasons = [r["reason"] for r in records if r["event"] == "entry_refused"]
    assert sorted(reasons) == ["expired_token", "no_key"]
    assert token.split(".")[2] not in str(records)


def test_what_stoker_up_runs_reads_its_own_file_of_sign_on() -> None:
    with pytest.raises(UsageError):
        lifecycle.require_keys("0.0.0.0", insecure=False)
    sign_on_file.path().parent.mkdir(parents=True)
    written(sign_on_file.path(), '[proxy]\naddresses = ["10.0.0.5"]\n')
    lifecycle.require_keys("0.0.0.0", insecure=False)
    own = keys_of({"stoker": hash_of("own")})
    gateway = Gateway()
    GatewayAccess(gateway, "0.0.0.0", own=own).configure(Keys({}), sign_on_file.rules())
    assert gateway._state.is_guarded
    assert gateway._state.keys.caller_of("own") is not None
    written(sign_on_file.path(), "[proxy]\n")
    with pytest.raises(UsageError, match="line 1"):
        lifecycle.require_keys("127.0.0.1", insecure=False)
    sign_on_file.path().unlink()
    sign_on_file.path().symlink_to("mounted-later.toml")
    with pytest.raises(UsageError, match="can't be read"):
        sign_on_file.rules()


@pytest.mark.parametrize(("line", "drain_s"), [("", QUICK.drain_s), ("drain_s = 900", 900.0)])
async def test_ordered_to_stop_it_waits_for_answers_as_long_as_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, drain_s: float
) -> None:
    waited: list[float] = []

    async def drain(_: Gateway, within_s: float) -> None:
        waited.append(within_s)

    monkeypatch.setattr(Gateway, "drain", drain)
    text = f'[gateway]\nport = 0\n{line}\n[[backend]]\nurl = "http://127.0.0.1:9"\n'
    async with serving(tmp_path / "gateway.toml", text):
        pass
    assert waited == [drain_s]
