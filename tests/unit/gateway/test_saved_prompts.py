"""Files of what an engine has read: whole or not there, private, few, and of one key."""

from __future__ import annotations

import errno
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from stoker.gateway.prompt import saved_prompts
from stoker.gateway.prompt.cache_ledger import ReadPrompt
from stoker.gateway.prompt.prompt_chain import chain_of
from stoker.gateway.prompt.saved_prompts import SavedPrompts

_Usage = namedtuple("_Usage", "total used free")


def prompt(system: str, question: str = "hello") -> ReadPrompt:
    messages = [{"role": "system", "content": system}, {"role": "user", "content": question}]
    return ReadPrompt(chain_of({"messages": messages}), 1000, 1010)


def opened(folder: Path) -> SavedPrompts:
    saved = SavedPrompts(folder)
    saved.open()
    return saved


def add(saved: SavedPrompts, name: str, of: ReadPrompt, size: int = 100) -> None:
    saved.path(name).write_bytes(name.encode().ljust(size, b"."))
    saved.add(name, of)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"manifest.json"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "prompts" / "key"


def test_what_was_saved_is_there_at_the_next_start(folder: Path) -> None:
    one = prompt("one")
    add(opened(folder), "a", one)
    found = opened(folder).newest
    assert found is not None
    assert (found.name, found.head, found.held_tokens) == ("a", one.chain.head, 1010)


def test_only_the_owner_can_read_it(folder: Path) -> None:
    folder.mkdir(parents=True, mode=0o755)
    add(opened(folder), "a", prompt("one"))
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "manifest.json").stat().st_mode & 0o777 == 0o600


def test_the_manifest_holds_no_content(folder: Path) -> None:
    add(opened(folder), "a", prompt("a secret system text", "a secret question"))
    assert b"secret" not in (folder / "manifest.json").read_bytes()


def test_one_file_is_kept_of_each_head(folder: Path) -> None:
    saved = opened(folder)
    add(saved, "a", prompt("one", "a question"))
    add(saved, "b", prompt("two"))
    add(saved, "c", prompt("one", "another question"))
    assert names(folder) == {"b", "c"}
    assert saved.has(prompt("one", "a third question"))
    assert not saved.has(prompt("three"))


@pytest.mark.parametrize("damage", ["one bit", "longer", "another file", "gone", "a link"])
def test_an_altered_file_is_removed_and_the_one_before_it_used(folder: Path, damage: str) -> None:
    saved = opened(folder)
    add(saved, "a", prompt("one"))
    add(saved, "b", prompt("two"))
    path = folder / "b"
    whole = path.read_bytes()
    path.unlink()
    if damage == "one bit":
        path.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    elif damage == "longer":
        path.write_bytes(whole + b".")
    elif damage == "another file":
        path.write_bytes(b"x" * len(whole))
    elif damage == "a link":
        (folder.parent / "elsewhere").write_bytes(whole)
        path.symlink_to(folder.parent / "elsewhere")
    found = opened(folder).newest
    assert found is not None and found.name == "a"
    assert names(folder) == {"a"}


@pytest.mark.parametrize(
    "content", [b"", b"[", b"{}", b"[1]", b"\xff\xfe", b'[{"name": "../../etc/passwd"}]']
)
def test_a_manifest_that_cannot_be_read_lists_nothing(folder: Path, content: bytes) -> None:
    add(opened(folder), "a", prompt("one"))
    (folder / "manifest.json").write_bytes(content)
    assert opened(folder).newest is None
    assert names(folder) == set()


def test_a_name_that_leads_out_of_the_folder_is_refused(folder: Path) -> None:
    saved = opened(folder)
    add(saved, "a", prompt("one"))
    manifest = folder / "manifest.json"
    (folder.parent.parent / "b").write_bytes((folder / "a").read_bytes())
    manifest.write_bytes(manifest.read_bytes().replace(b'"a"', b'"../../b"'))
    assert opened(folder).newest is None
    assert (folder.parent.parent / "b").exists()


def test_files_of_another_key_are_removed(folder: Path) -> None:
    add(opened(folder), "a", prompt("one"))
    other = opened(folder.parent / "other")
    assert other.newest is None
    assert not folder.exists()


class _Killed(BaseException):
    """The process ended here."""


@pytest.mark.parametrize("at", range(1, 9))
def test_an_end_at_any_step_leaves_the_old_or_the_new_one_whole(
    folder: Path, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``at`` counts the changes of files; the process ends before the one of that number."""
    monkeypatch.setattr(saved_prompts, "MOST_BYTES", 151)
    saved = opened(folder)
    add(saved, "a", prompt("one"))
    (folder / "b").write_bytes(b"new")
    changes = 0

    def change(kind: str) -> None:
        nonlocal changes
        original = getattr(Path, kind)

        def counted(*args: object, **options: object) -> object:
            nonlocal changes
            changes += 1
            if changes >= at:
                raise _Killed
            return original(*args, **options)

        monkeypatch.setattr(Path, kind, counted)

    for kind in ("replace", "unlink"):
        change(kind)
    try:
        saved.add("b", prompt("one"))
        if (found := saved.newest) is not None:
            saved.set_aside(found)
            saved.put_back(found)
        (folder / "cut off.slot").write_bytes(b"a part")
        opened(folder).room_for(150)  # as the next start does, and its first save
    except _Killed:
        pass
    monkeypatch.undo()
    survivor = opened(folder)
    assert names(folder) == {each.name for each in survivor._kept} <= {"a", "b"}
    if at == 1:
        assert names(folder) == {"a"}


def test_a_file_that_is_being_restored_is_not_listed_until_it_has_been(folder: Path) -> None:
    saved = opened(folder)
    add(saved, "a", prompt("one"))
    assert saved.newest is not None
    saved.set_aside(saved.newest)
    assert names(folder) == {"a"}  # the engine reads it
    assert SavedPrompts(folder).newest is None
    assert opened(folder).newest is None


def test_the_oldest_make_room_and_one_that_is_too_large_is_not_saved(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saved_prompts, "MOST_BYTES", 250)
    saved = opened(folder)
    add(saved, "a", prompt("one"))
    add(saved, "b", prompt("two"))
    assert not saved.room_for(251)
    assert names(folder) == {"a", "b"}
    assert saved.room_for(100)
    assert names(folder) == {"b"}


def test_no_more_than_a_tenth_of_what_is_free_is_taken(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = opened(folder)
    add(saved, "a", prompt("one"))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: _Usage(10_000, 8_100, 1_900))
    assert not saved.room_for(201)
    assert saved.room_for(200)
    assert names(folder) == set()


def test_a_full_disk_that_refuses_the_manifest_leaves_what_was_there(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = opened(folder)
    add(saved, "a", prompt("one"))

    def full(*_args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(saved_prompts, "write_private", full)
        for name, head in (("b", "two"), ("c", "one")):
            with pytest.raises(OSError, match="space"):
                add(saved, name, prompt(head))
        with pytest.raises(OSError, match="space"):
            saved.set_aside(saved._kept[0])
    assert [each.name for each in saved._kept] == ["a"]
    assert not saved.has(prompt("two"))  # so that it is saved once there is room
    add(saved, "b", prompt("two"))
    assert names(folder) == {"a", "b"}


def test_a_folder_that_cannot_be_made_is_an_error_of_the_system(tmp_path: Path) -> None:
    (tmp_path / "prompts").write_text("a file is in the way")
    with pytest.raises(OSError, match=r"exist|directory"):
        opened(tmp_path / "prompts" / "key")
    assert (tmp_path / "prompts").is_file()
