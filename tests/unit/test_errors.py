"""What a person is told holds no password."""

from __future__ import annotations

import pytest

from stoker.errors import StokerError


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("the hub at https://me:hunter2@mirror.lan/hf.", "the hub at https://mirror.lan/hf."),
        ("http://hunter2@a and http://hunter2:@b:1", "http://a and http://b:1"),
        ("https://example.com/@stoker/x, me@example.com", None),
    ],
)
def test_credentials_in_an_address_are_left_out(written: str, shown: str | None) -> None:
    error = StokerError(written, written, written)
    assert {error.what, error.why, error.fix, error.args[0]} == {shown or written}
    assert "hunter2" not in str(error)
