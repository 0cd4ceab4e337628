"""``stoker bundle``: what it accepts, prints and ends with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.support import small_bundles
from tests.support.small_bundles import KEY, OTHER_KEY
from tests.unit.cli.conftest import Run

from stoker.bundles import minisign_keys


@pytest.fixture
def public(home: Path) -> str:
    """The file of the maker's public key."""
    return key_file(home / "maker.pub", KEY)


def key_file(path: Path, key: minisign_keys.SecretKey) -> str:
    path.write_text(minisign_keys.public_text(key.public), encoding="ascii")
    return str(path)


def test_a_key_pair_is_made_once(run: Run, home: Path) -> None:
    made = run("bundle", "keygen", "site", "--json")
    assert made.returncode == 0
    assert json.loads(made.stdout)["public"] == "site.pub"
    assert minisign_keys.read_secret(home / "site.key").public == minisign_keys.read_public(
        home / "site.pub"
    )
    assert run("bundle", "keygen", "site").returncode == 2


def test_verify_describes_what_it_checked(run: Run, home: Path, public: str) -> None:
    bundle = small_bundles.write(home / "a.stoker")
    found = json.loads(run("bundle", "verify", str(bundle), "--key", public, "--json").stdout)
    assert found["signed"] is True
    assert found["items"][1] == {"kind": "model", "name": "acme/tiny"}
    assert found["target"]["platform"] == small_bundles.manifest().target.platform
    shown = run("bundle", "verify", str(bundle), "--key", public)
    assert "whole and unaltered; signed by " in shown.stdout
    assert KEY.public.shown_id in shown.stdout


def test_what_does_not_verify_ends_with_1(run: Run, home: Path, public: str) -> None:
    bundle = small_bundles.write(home / "a.stoker", key=OTHER_KEY)
    done = run("bundle", "verify", str(bundle), "--key", public)
    assert done.returncode == 1
    assert "signed with another key" in done.stderr
    assert "Fix:" in done.stderr


def test_an_unsigned_bundle_needs_a_word(run: Run, home: Path, public: str) -> None:
    bundle = str(small_bundles.write(home / "a.stoker", key=None))
    assert run("bundle", "verify", bundle, "--key", public).returncode == 1
    assert run("bundle", "verify", bundle).returncode == 2
    assert run("bundle", "verify", bundle, "--allow-unsigned").returncode == 0
    # One or the other: a key that is not looked at would promise what is not done.
    assert run("bundle", "verify", bundle, "--allow-unsigned", "--key", public).returncode == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("-o", "a.stoker"), "signed, or made with --unsigned"),
        (("-o", "a.stoker", "--unsigned", "--python", "2.7"), "Python '2.7'"),
        (("-o", "a.stoker", "--unsigned", "--platform", "amiga"), "'amiga'"),
        (("-o", "a.stoker", "--sign-with", "missing.key"), "can't be used as a key"),
        (("-o", "taken", "--unsigned"), "exists already"),
    ],
)
def test_a_bundle_that_cannot_be_made_is_refused_at_once(
    words: tuple[str, ...], message: str, run: Run, home: Path
) -> None:
    (home / "taken").touch()
    done = run("bundle", "create", *words)
    assert done.returncode == 2
    assert message in done.stderr
    assert [path.name for path in home.iterdir() if path.is_file()] == ["taken"]


def test_a_base_that_is_missing_is_named_before_any_download(run: Run, home: Path) -> None:
    done = run("bundle", "create", "-o", "a.stoker", "--unsigned", "--base", "missing.stoker")
    assert done.returncode == 1
    assert "missing.stoker can't be read" in done.stderr
    assert not (home / "a.stoker.work").exists()
