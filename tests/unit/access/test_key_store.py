"""The store of keys: what it accepts is what was made and has not ended, and it fails shut."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stoker.access.audit_log import AuditLog
from stoker.access.caller import CallerLimits
from stoker.access.key_store import KeyStore
from stoker.errors import StokerError, UsageError

HOUR_S = 3600.0


class Time:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def store_in(folder: Path, now: Callable[[], float] | None = None) -> KeyStore:
    return KeyStore(folder, AuditLog(folder / "log"), now or Time())


def test_a_new_key_opens_with_the_rules_that_it_was_made_with(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    limits = CallerLimits(requests_per_minute=60)
    made = store.create("Ann", role="viewer", models=["qwen*"], limits=limits)
    caller = store.keys().caller_of(made.key)
    assert caller is not None
    assert (caller.owner, caller.key_id, caller.role) == ("Ann", made.record.id, "viewer")
    assert (caller.models, caller.limits) == (("qwen*",), limits)


def test_a_key_begins_with_what_lists_show_and_is_kept_nowhere(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    made = store.create("ann")
    assert made.key.startswith(f"sk-stoker-{made.record.id}-")
    secret = made.key.removeprefix(made.record.prefix)
    assert len(secret) == 44
    for file in tmp_path.rglob("*"):
        assert file.is_dir() or secret.encode() not in file.read_bytes()
    assert secret not in repr(made.record.described())


def test_a_rotated_key_has_the_same_rules_and_the_old_one_ends_at_once(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    old = store.create("ann", models=["m"], expires_at=1_000_000 + HOUR_S)
    new = store.rotate(old.record.id)
    keys = store.keys()
    assert keys.fault(old.key)[0] == "revoked_key"
    caller = keys.caller_of(new.key)
    assert caller is not None
    assert (caller.owner, caller.models) == ("ann", ("m",))
    assert caller.limits_id == old.record.id  # its quotas do not begin at 0
    assert new.record.expires_at == old.record.expires_at


def test_an_old_key_may_work_for_a_while_but_no_longer_than_it_did(tmp_path: Path) -> None:
    time = Time()
    store = store_in(tmp_path, time)
    old = store.create("ann")
    short = store.create("bob", expires_at=time.now + 10)
    store.rotate(old.record.id, HOUR_S)
    store.rotate(short.record.id, HOUR_S)
    keys = store.keys()
    assert keys.caller_of(old.key) and keys.caller_of(short.key)
    time.now += 10
    assert keys.fault(short.key)[0] == "expired_key"
    time.now += HOUR_S
    assert keys.fault(old.key)[0] == "expired_key"


def test_a_key_is_revoked_by_its_id_or_by_how_it_begins_once(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    for name in ("id", "prefix"):
        made = store.create("ann")
        store.revoke(getattr(made.record, name))
        assert store.keys().caller_of(made.key) is None
        with pytest.raises(UsageError, match="was revoked already"):
            store.revoke(made.record.id)


def test_limits_change_and_what_ended_is_not_changed(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    made = store.create("ann")
    limits = CallerLimits(tokens_per_day=5)
    assert store.limit(made.record.id, lambda _: limits).limits == {"tokens_per_day": 5}
    store.revoke(made.record.id)
    for change in (
        lambda: store.limit(made.record.id, lambda _: limits),
        lambda: store.rotate(made.record.id),
    ):
        with pytest.raises(UsageError, match="already"):
            change()


@pytest.mark.parametrize(
    "limits",
    [
        {"cost_per_day": math.nan},
        {"cost_per_month": math.inf},
        {"cost_per_day": 1e-9},
        {"max_concurrent": 0},
        {"tokens_per_month": 10**30},
    ],
)
def test_a_limit_that_can_not_be_counted_never_reaches_the_file(
    tmp_path: Path, limits: dict[str, int]
) -> None:
    store = store_in(tmp_path)
    made = store.create("ann", limits=CallerLimits(cost_per_day=0.5))
    with pytest.raises(UsageError, match="whole numbers from 1 to"):
        store.create("bob", limits=CallerLimits(**limits))
    with pytest.raises(UsageError, match="whole numbers from 1 to"):
        store.limit(made.record.id, lambda before: replace(before, **limits))
    assert [record.known().caller.limits.cost_per_day for record in store.records()] == [0.5]


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "a\x1b[31m", "x" * 101, "\udc80", "a\u202eb"])
def test_a_name_that_can_not_be_shown_in_one_line_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="name of the owner"):
        store_in(tmp_path).create(name)
    with pytest.raises(UsageError, match="name of the model"):
        store_in(tmp_path).create("ann", models=[name])


def test_an_unknown_key_is_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        store_in(tmp_path).revoke("sk-other-secret")
    assert "secret" not in str(refused.value)


def test_a_key_that_would_have_expired_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="past"):
        store_in(tmp_path).create("ann", expires_at=5.0)


def test_every_change_is_in_the_audit_log(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    made = store.create("ann")
    store.limit(made.record.id, lambda limits: limits)
    store.revoke(store.rotate(made.record.id).record.id)
    events = [record["event"] for record in AuditLog(tmp_path / "log").records()]
    assert events == ["key_created", "key_limited", "key_rotated", "key_revoked"]


def test_no_key_is_made_that_the_audit_log_does_not_know(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("in the way")
    with pytest.raises(StokerError, match="audit log"):
        store_in(tmp_path).create("ann")
    assert not store_in(tmp_path).records()


BROKEN = {
    "empty": b"",
    "not JSON": b"{",
    "a list": b"[]",
    "no keys": b'{"schema_version":1,"keys":[]}',
    "a later version": b'{"schema_version":2,"keys":[]}',
    "deep": b"[" * 100_000,
    "not UTF-8": b'{"schema_version":1,"keys":["\xff"]}',
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_file_that_can_not_be_read_is_an_error_and_never_no_keys(
    tmp_path: Path, content: bytes
) -> None:
    store = store_in(tmp_path)
    store.path.write_bytes(content)
    with pytest.raises(StokerError, match="can't be read, so no gateway opens"):
        store.keys()
    with pytest.raises(StokerError, match="can't be read"):
        store.create("ann")
    assert store.path.read_bytes() == content


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sha256", "x"),
        ("id", "../etc"),
        ("owner", "a\nb"),
        ("models", ["a", "\x1b[2J"]),
        ("role", "root"),
        ("limits", {"tokens_per_day": -1}),
        ("limits", {"tokens": 5}),
        ("limits", {"tokens_per_day": 1.5}),
        ("limits", {"tokens_per_day": 10**30}),
        ("limits", {"tokens_per_day": 10**16}),
        ("expires_at", 1e300),
        ("created_at", -1),
        ("extra", 1),
    ],
)
def test_a_record_that_only_a_mistake_could_write_is_refused(
    tmp_path: Path, field: str, value: object
) -> None:
    store = store_in(tmp_path)
    store.create("ann")
    content = json.loads(store.path.read_bytes())
    content["keys"][0][field] = value
    store.path.write_text(json.dumps(content))
    with pytest.raises(StokerError, match="can't be read"):
        store.records()


def test_a_file_that_others_may_write_is_refused(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    store.create("ann")
    assert store.path.stat().st_mode & 0o777 == 0o600
    store.path.chmod(0o666)
    with pytest.raises(StokerError) as refused:
        store.keys()
    assert "Other users may write it" in refused.value.why
    assert f"chmod 600 {store.path}" in refused.value.fix


def test_the_fix_for_a_file_that_is_in_order_is_not_to_remove_it(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    store.path.mkdir()
    with pytest.raises(StokerError) as unreadable:
        store.keys()
    store.path.rmdir()
    store.path.write_bytes(BROKEN["a later version"])
    with pytest.raises(StokerError) as newer:
        store.keys()
    for refused in (unreadable, newer):
        assert "remove" not in refused.value.fix


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root")
def test_files_that_root_makes_belong_to_the_account_of_the_folder(tmp_path: Path) -> None:
    os.chown(tmp_path, 65534, 65534)
    (tmp_path / "log").mkdir()
    os.chown(tmp_path / "log", 65534, 65534)
    store_in(tmp_path).create("ann")
    assert {path.stat().st_uid for path in tmp_path.rglob("*")} == {65534}


@settings(max_examples=10)
@given(
    st.lists(st.sampled_from(["create", "brief", "rotate", "revoke", "later"]), max_size=6),
    st.data(),
)
def test_a_key_opens_from_its_making_to_its_end_whatever_else_happens(
    steps: list[str], data: st.DataObject
) -> None:
    time = Time()
    open_keys: dict[str, tuple[str, float]] = {}
    ended: list[str] = []
    with TemporaryDirectory() as folder:
        store = store_in(Path(folder), time)
        for step in steps:
            if step == "create":
                made = store.create("ann")
                open_keys[made.record.id] = made.key, float("inf")
            elif step == "brief":
                made = store.create("bob", expires_at=time.now + 10)
                open_keys[made.record.id] = made.key, time.now + 10
            elif step == "later":
                time.now += 10
                past = [i for i, (_, end) in open_keys.items() if end <= time.now]
                ended += [open_keys.pop(i)[0] for i in past]
            elif open_keys:
                key_id = data.draw(st.sampled_from(sorted(open_keys)))
                old, end = open_keys.pop(key_id)
                ended.append(old)
                if step == "rotate":
                    made = store.rotate(key_id)
                    open_keys[made.record.id] = made.key, end
                else:
                    store.revoke(key_id)
        keys = store.keys()
        assert all(keys.caller_of(key) for key, _ in open_keys.values())
        assert not any(keys.caller_of(key) for key in ended if keys.required)
        assert keys.required == bool(open_keys or ended)
        assert bool(store.records()) == keys.required


@settings(max_examples=20)
@given(st.data())
def test_no_damage_to_the_file_opens_the_gateway(data: st.DataObject) -> None:
    with TemporaryDirectory() as folder:
        store = store_in(Path(folder))
        made = store.create("ann")
        whole = store.path.read_bytes()
        place = data.draw(st.integers(0, len(whole) - 1))
        cut = data.draw(st.booleans())
        rest = b"" if cut else bytes([data.draw(st.integers(0, 255))]) + whole[place + 1 :]
        store.path.write_bytes(whole[:place] + rest)
        try:
            keys = store.keys()
        except StokerError:
            return
        assert keys.required
        assert keys.caller_of(None) is None
        assert keys.caller_of(made.key + "x") is None
