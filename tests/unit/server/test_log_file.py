"""A log is read in whatever encoding it was written."""

from __future__ import annotations

import io
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from stoker.errors import UsageError
from stoker.server.log_file import decoded, parse_since

TEXT = "Größe: 3\nValueError: No available memory for the cache blocks.\n"
LINES = TEXT.splitlines()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_encoding_is_known_by_its_mark(tmp_path: Path, encoding: str, newline: str) -> None:
    path = tmp_path / "server.log"
    path.write_bytes(TEXT.replace("\n", newline).encode(encoding))
    with path.open("rb") as log:
        assert list(decoded(log)) == LINES
        assert not log.closed


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark_is_known_by_its_zeros(encoding: str) -> None:
    assert list(decoded(io.BytesIO(TEXT.encode(encoding)))) == LINES


def test_big_endian_mark_is_known() -> None:
    assert list(decoded(io.BytesIO(("\ufeff" + TEXT).encode("utf-16-be")))) == LINES


def test_what_is_in_no_known_encoding_is_read_as_far_as_it_is_ascii() -> None:
    assert list(decoded(io.BytesIO(TEXT.encode("cp1252"))))[1] == LINES[1]


def test_progress_that_returns_to_its_line_is_many_lines() -> None:
    assert list(decoded(io.BytesIO(b"10%\r20%\r\nend"))) == ["10%", "20%", "end"]


def test_empty_log_has_no_lines() -> None:
    assert list(decoded(io.BytesIO())) == []


def test_time_of_another_zone_is_the_same_moment() -> None:
    now = datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=1)))
    assert parse_since("2026-01-01 14:00+02:00", now) == now.replace(hour=13)
    assert parse_since("2026-01-01 14:00", now) == now.replace(hour=14)
    here = parse_since("2026-01-01 14:00+02:00", datetime(2026, 1, 1))
    assert here.astimezone(now.tzinfo) == now.replace(hour=13)


@pytest.mark.parametrize("text", ["9999999999d", "0001-01-01"])
def test_time_before_all_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a time"):
        parse_since(text, datetime(2026, 1, 1))


def test_time_of_another_zone_is_converted() -> None:
    there = datetime(2026, 1, 31, 14, tzinfo=timezone(timedelta(hours=7)))
    assert parse_since(there.isoformat(), datetime(2026, 1, 1)).timestamp() == there.timestamp()
