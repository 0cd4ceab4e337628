"""The audit log: whole as it was written, or the first line that is inconsistent is named."""

from __future__ import annotations

import multiprocessing
import re
from datetime import datetime, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.access import audit_chain
from stoker.access.audit_chain import ChainBreak, ChainLink
from stoker.access.audit_log import AuditLog
from stoker.errors import StokerError

EVENTS = st.sampled_from(["a", "key_created", 'quo"te', "line\n", "Ünal"])
RECORDS = st.lists(st.fixed_dictionaries({"event": EVENTS}), min_size=1, max_size=4)


def noon() -> datetime:
    return datetime(2026, 1, 1, 12, tzinfo=timezone.utc)


def log_in(folder: Path, max_bytes: int = 10_000) -> AuditLog:
    return AuditLog(folder, noon, max_bytes)


def chained(records: list[dict[str, object]]) -> list[bytes]:
    lines, last = [], ChainLink()
    for record in records:
        line, last = audit_chain.line_of(record, last)
        lines.append(line)
    return lines


def split(data: bytes) -> list[bytes]:
    """As a file is read: only a line feed ends a line."""
    return re.findall(rb"[^\n]*\n|[^\n]+", data)


@given(RECORDS)
def test_what_was_written_fits(records: list[dict[str, object]]) -> None:
    assert audit_chain.first_break(split(b"".join(chained(records)))) == audit_chain.link_of(
        chained(records)[-1]
    )


@given(RECORDS, st.data())
def test_any_altered_byte_is_found_in_its_line(
    records: list[dict[str, object]], data: st.DataObject
) -> None:
    lines = chained(records)
    whole = b"".join(lines)
    place = data.draw(st.integers(0, len(whole) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte != whole[place]))
    altered = whole[:place] + bytes([other]) + whole[place + 1 :]
    found = audit_chain.first_break(split(altered))
    assert isinstance(found, ChainBreak)
    assert found.line == whole[:place].count(b"\n") + 1


@given(RECORDS.filter(lambda records: len(records) > 2), st.data())
def test_a_line_that_was_removed_doubled_or_moved_is_found(
    records: list[dict[str, object]], data: st.DataObject
) -> None:
    lines = chained(records)
    at = data.draw(st.integers(1, len(lines) - 2))
    for altered in (
        lines[:at] + lines[at + 1 :],
        lines[: at + 1] + lines[at:],
        [*lines[:at], lines[at + 1], lines[at], *lines[at + 2 :]],
    ):
        found = audit_chain.first_break(altered)
        assert isinstance(found, ChainBreak)
        assert found.line in (at + 1, at + 2)


def test_a_line_whose_hash_was_made_for_it_still_breaks_the_chain_after_it() -> None:
    first, second = chained([{"event": "a"}, {"event": "b"}])
    forged, _ = audit_chain.line_of({"event": "forged"}, ChainLink())
    assert audit_chain.first_break([forged, second]) == ChainBreak(
        2, "It does not follow the line before: lines are missing or moved"
    )
    assert isinstance(audit_chain.first_break([first, second]), ChainLink)


def test_lines_removed_at_the_end_are_missed(tmp_path: Path) -> None:
    log = log_in(tmp_path)
    log.append({"event": "a"}, {"event": "b"})
    log.path.write_bytes(log.path.read_bytes().splitlines(keepends=True)[0])
    with pytest.raises(StokerError, match=r"audit\.jsonl") as refused:
        log.verify()
    assert "missing there: 1" in refused.value.why


def test_a_log_that_was_removed_is_missed(tmp_path: Path) -> None:
    log = log_in(tmp_path)
    log.append({"event": "a"})
    log.path.unlink()
    with pytest.raises(StokerError, match="is inconsistent"):
        log.verify()


def test_an_altered_line_is_named_with_its_file_and_number(tmp_path: Path) -> None:
    log = log_in(tmp_path)
    log.append({"event": "a"}, {"event": "b"}, {"event": "c"})
    log.path.write_bytes(log.path.read_bytes().replace(b'"b"', b'"x"'))
    with pytest.raises(StokerError, match=r"audit\.jsonl, line 2"):
        log.verify()
    log.append({"event": "d"})  # a key can be revoked all the same
    with pytest.raises(StokerError, match=r"audit\.jsonl, line 2"):
        log.verify()


def test_a_new_file_continues_the_chain_of_the_one_set_aside(tmp_path: Path) -> None:
    log = log_in(tmp_path, max_bytes=300)
    for number in range(5):
        log.append({"event": f"e{number}"})
    files = sorted(path.name for path in tmp_path.glob("audit*.jsonl"))
    assert len(files) > 2
    assert log.verify().last.sequence == 5
    assert [record["event"] for record in log.records()] == ["e0", "e1", "e2", "e3", "e4"]
    (tmp_path / files[1]).unlink()
    with pytest.raises(StokerError, match="is inconsistent"):
        log.verify()


def test_the_oldest_files_may_be_moved_elsewhere(tmp_path: Path) -> None:
    log = log_in(tmp_path, max_bytes=300)
    for number in range(5):
        log.append({"event": f"e{number}"})
    min(tmp_path.glob("audit-*.jsonl")).unlink()
    whole = log.verify()
    assert (whole.first, whole.last.sequence) == (3, 5)


def test_half_a_line_after_a_loss_of_power_is_dropped_and_the_log_goes_on(tmp_path: Path) -> None:
    log = log_in(tmp_path)
    log.append({"event": "a"})
    with log.path.open("ab") as file:
        file.write(b'{"sequence":2,"ev')
    log.append({"event": "b"})
    assert log.verify().last.sequence == 2


def _write(folder: Path, name: str) -> None:
    for number in range(5):
        AuditLog(folder).append({"event": f"{name}{number}"})


def test_several_processes_write_one_chain(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write, args=(tmp_path, name)) for name in "abc"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    log = AuditLog(tmp_path)
    assert log.verify().last.sequence == 15
    assert len({record["event"] for record in log.records()}) == 15


def test_the_log_can_be_written_while_it_is_checked_and_listed(tmp_path: Path) -> None:
    log = log_in(tmp_path)
    log.append({"event": "a"}, {"event": "b"})
    listing = log.records()
    assert next(listing)["event"] == "a"
    log.append({"event": "c"})
    assert [record["event"] for record in listing] == ["b"]
    assert log.verify().last.sequence == 3


def test_the_account_in_a_line_is_not_taken_from_a_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "forged")
    log = log_in(tmp_path)
    log.append({"event": "a"})
    (record,) = log.records()
    assert record["by"] != "forged"


def test_a_note_of_the_last_line_that_is_damaged_stops_no_change_of_a_key(tmp_path: Path) -> None:
    log = log_in(tmp_path)
    log.append({"event": "a"})
    for note in (b'{"hash":"\xff"}', b"", b"["):
        (tmp_path / "audit.head").write_bytes(note)
        assert log.verify().last.sequence == 1
    log.append({"event": "b"})
    assert log.verify().last.sequence == 2


def test_a_folder_that_can_not_be_written_is_an_error_with_a_fix(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(StokerError, match="can't be written"):
        log_in(blocked / "log").append({"event": "a"})


def test_the_log_is_private(tmp_path: Path) -> None:
    log = log_in(tmp_path / "log")
    log.append({"event": "a"})
    assert {path.stat().st_mode & 0o077 for path in (tmp_path / "log").iterdir()} == {0}
