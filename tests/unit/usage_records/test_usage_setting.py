"""The setting that names where usage is kept: each form, and what is wrong with the others."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from stoker.errors import UsageError
from stoker.usage_records import store_at

URL = "postgresql://stoker:hunter2@db.example.com/stoker"


def title_of(setting: str) -> str | None:
    store = store_at(setting, {"DATABASE": URL, "EMPTY": " "})
    return store.title if store else None


def test_sqlite_is_a_file_in_the_folder_of_state(home: Path) -> None:
    assert title_of("sqlite") == str(home / "stoker/state/usage.db")


def test_off_is_nowhere() -> None:
    assert title_of("off") is None


@pytest.mark.parametrize("setting", ["postgresql://db.example.com/stoker", "env:DATABASE"])
def test_url_of_postgresql_is_shown_without_its_password(setting: str) -> None:
    assert title_of(setting) == "PostgreSQL at db.example.com"


@pytest.mark.parametrize(
    ("setting", "what"),
    [
        (URL, "holds a password"),
        ("postgresql:///stoker?password=hunter2", "holds a password"),
        ("env:MISSING", "MISSING is not set"),
        ("env:EMPTY", "EMPTY is not set"),
        ("mysql://db/stoker", "not where usage can be kept"),
        ("postgresql://db:port/stoker", "not where usage can be kept"),
        ("", "not where usage can be kept"),
    ],
)
def test_what_is_no_place_is_refused_and_not_repeated(setting: str, what: str) -> None:
    with pytest.raises(UsageError, match=what) as refused:
        title_of(setting)
    assert refused.value.fix
    assert "hunter2" not in str(refused.value)


def test_postgresql_without_its_package_names_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="needs the package asyncpg") as refused:
        title_of("env:DATABASE")
    assert "stoker[teams]" in refused.value.fix
