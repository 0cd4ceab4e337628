"""`stoker keys` and `stoker audit`: what they print, and what never leaves them."""

from __future__ import annotations

import json
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from stoker.access.audit_log import AuditLog
from stoker.access.caller import CallerLimits
from stoker.access.key_store import KeyStore
from stoker.cli import main
from stoker.cli.commands.keys import moment
from stoker.errors import UsageError

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def stoker(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> object:
    def run(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["stoker", *words])
        with pytest.raises(SystemExit) as ended:
            main()
            sys.exit(0)
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out + err

    return run


def test_the_key_is_shown_when_it_is_made_and_never_again(stoker: object) -> None:
    assert callable(stoker)
    code, out = stoker("keys", "create", "ann", "--model", "qwen*", "--requests-per-minute", "60")
    assert code == 0
    (key,) = [word for word in out.split() if word.startswith("sk-stoker-")]
    assert KeyStore().keys().caller_of(key) is not None
    assert "every gateway of this account needs one" in out
    for command in (("keys", "list"), ("keys", "list", "--json"), ("audit", "list")):
        code, out = stoker(*command)
        assert code == 0
        assert "ann" in out and key not in out and key[19:] not in out


def test_programs_get_the_key_and_its_rules_as_json(stoker: object) -> None:
    assert callable(stoker)
    _, out = stoker("keys", "create", "ann", "--role", "viewer", "--json")
    made = json.loads(out)
    assert (made["owner"], made["role"]) == ("ann", "viewer")
    _, out = stoker("keys", "rotate", made["id"], "--json")
    new = json.loads(out)
    assert new["key"] != made["key"]
    _, out = stoker("keys", "list", "--json")
    assert [(key["id"], key["state"]) for key in json.loads(out)] == [
        (made["id"], "revoked"),
        (new["id"], "active"),
    ]


@pytest.mark.parametrize("limit", [field.name for field in fields(CallerLimits)])
def test_every_limit_of_a_caller_can_be_set_by_its_name(stoker: object, limit: str) -> None:
    assert callable(stoker)
    option = f"--{limit.replace('_', '-')}"
    assert stoker("keys", "create", "ann", option, "7")[0] == 0
    (made,) = KeyStore().records()
    assert made.limits == {limit: 7}
    assert stoker("keys", "limit", made.id, option, "8")[0] == 0
    assert KeyStore().records()[0].limits == {limit: 8}


def test_a_limit_of_zero_is_taken_away_and_others_stay(stoker: object) -> None:
    assert callable(stoker)
    made = KeyStore().create("ann")
    stoker("keys", "limit", made.record.id, "--requests-per-minute", "5", "--tokens-per-day", "9")
    code, out = stoker("keys", "limit", made.record.id, "--requests-per-minute", "0")
    assert (code, KeyStore().records()[0].limits) == (0, {"tokens_per_day": 9})
    assert "9 tokens per day" in out
    assert stoker("keys", "limit", made.record.id)[0] == 2


def test_what_ends_when_is_shown_as_it_will_be(stoker: object) -> None:
    assert callable(stoker)
    old = KeyStore().create("ann").record.id
    code, out = stoker("keys", "rotate", old, "--grace", "2100-01-01")
    assert (code, "The old key works until 2100-01-01 00:00" in out) == (0, True)
    code, out = stoker("keys", "rotate", old, "--grace", "2020-01-01")
    assert (code, "That time is past" in out) == (2, True)
    assert "The old key is revoked" in stoker("keys", "rotate", old, "--grace", "0m")[1]
    _, out = stoker("keys", "create", "bob", "--expires", "9999-12-31", "--json")
    made = json.loads(out)
    code, out = stoker("keys", "rotate", made["id"])
    assert (code, "It ends on 9999-12-" in out) == (0, True)


def test_a_time_from_a_variable_that_is_empty_is_not_left_out(stoker: object) -> None:
    assert callable(stoker)
    made = KeyStore().create("ann").record.id
    for words in (
        ("keys", "create", "bob", "--expires", ""),
        ("keys", "rotate", made, "--grace", ""),
        ("audit", "list", "--since", ""),
    ):
        code, out = stoker(*words)
        assert (code, "is not a time" in out) == (2, True)
    assert len(KeyStore().records()) == 1


def test_the_last_key_that_is_revoked_is_named_as_the_last(stoker: object) -> None:
    assert callable(stoker)
    first, second = (KeyStore().create(owner).record.id for owner in ("ann", "bob"))
    assert "the last one" not in stoker("keys", "revoke", first)[1]
    assert "the last one" in stoker("keys", "revoke", second)[1]


def test_a_limit_that_no_store_can_count_is_refused(stoker: object) -> None:
    assert callable(stoker)
    assert stoker("keys", "create", "ann", "--tokens-per-day", str(10**16))[0] == 2
    assert not KeyStore().records()


def test_an_altered_log_is_an_error_that_names_the_line(stoker: object) -> None:
    assert callable(stoker)
    KeyStore().create("ann")
    assert stoker("audit", "verify")[0] == 0
    log = AuditLog().path
    log.write_bytes(log.read_bytes().replace(b'"ann"', b'"eve"'))
    code, out = stoker("audit", "verify")
    assert code == 1
    assert "audit.jsonl, line 1" in out


def test_the_log_is_listed_from_a_time_on(stoker: object) -> None:
    assert callable(stoker)
    KeyStore().create("ann")
    assert "key_created" in stoker("audit", "list", "--since", "1h")[1]
    assert "Nothing was logged" in stoker("audit", "list", "--since", "2100-01-01")[1]


def test_lines_missing_at_the_beginning_of_the_log_are_reported(stoker: object) -> None:
    assert callable(stoker)
    assert json.loads(stoker("audit", "verify", "--json")[1])["lines"] == 0
    AuditLog().append({"event": "a"}, {"event": "b"}, {"event": "c"})
    assert "Lines before" not in stoker("audit", "verify")[1]
    log = AuditLog().path
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[1:]))
    assert "Lines before number 2 are not in its folder" in stoker("audit", "verify")[1]
    found = json.loads(stoker("audit", "verify", "--json")[1])
    assert (found["lines"], found["first"]) == (2, 2)


@pytest.mark.parametrize("command", ["up", "adopt", "gateway"])
def test_no_command_serves_other_machines_without_keys(
    stoker: object, command: str, tmp_path: Path
) -> None:
    assert callable(stoker)
    config = tmp_path / "g.toml"
    config.write_text('[gateway]\nbind = "0.0.0.0"\n[[backend]]\nurl = "http://127.0.0.1:9"\n')
    bind = ("--bind", "0.0.0.0")
    words = {
        "up": ("up", "x.gguf", "--offline", *bind),
        "adopt": ("adopt", "http://127.0.0.1:9", *bind),
        "gateway": ("gateway", str(config)),
    }
    code, out = stoker(*words[command])
    assert code == 2
    assert "does not listen on 0.0.0.0 without keys" in out


@pytest.mark.parametrize(("text", "seconds"), [("30m", 1800), ("12h", 43200), ("90d", 7776000)])
def test_a_time_ahead(text: str, seconds: int) -> None:
    assert moment(text, 1000.0) == 1000.0 + seconds


@pytest.mark.parametrize("text", ["", "soon", "5", "-1d", "1y", "99999999999d", "10000-01-01"])
def test_a_text_that_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a time"):
        moment(text, 0.0)
