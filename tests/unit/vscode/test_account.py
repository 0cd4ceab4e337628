"""Whether the chat is signed in is read from VS Code's state, without reading a secret."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from stoker import vscode
from stoker.vscode import Editor


@pytest.mark.parametrize(
    ("state", "is_signed_in"),
    [
        ({"entitlement": 1}, False),
        ({"entitlement": 2}, False),
        ({"entitlement": 5}, True),
        ({"entitlement": 8}, True),
        ({}, False),
        ([], False),
    ],
)
def test_an_entitlement_is_an_account(tmp_path: Path, state: object, is_signed_in: bool) -> None:
    code = Editor("VS Code", tmp_path / "code", tmp_path / "User/settings.json")
    database = tmp_path / "User/globalStorage/state.vscdb"
    database.parent.mkdir(parents=True)
    with closing(sqlite3.connect(database)) as opened:
        opened.execute("CREATE TABLE ItemTable (key TEXT UNIQUE, value BLOB)")
        row = ("chat.setupContext", json.dumps(state))
        opened.execute("INSERT INTO ItemTable VALUES (?, ?)", row)
        opened.commit()
    assert vscode.signed_in(code) is is_signed_in


def test_without_its_database_there_is_no_account(tmp_path: Path) -> None:
    code = Editor("VS Code", tmp_path / "code", tmp_path / "User/settings.json")
    assert vscode.signed_in(code) is False
    database = tmp_path / "User/globalStorage/state.vscdb"
    database.parent.mkdir(parents=True)
    database.write_text("no database")
    assert vscode.signed_in(code) is False
