"""What has a meaning in unit files is written so that it has none."""

from __future__ import annotations

import pytest

from stoker.deploy import Line
from stoker.deploy.systemd_values import exec_lines, exec_word, setting


@pytest.mark.parametrize(
    ("word", "written"),
    [
        ("--max-model-len", "--max-model-len"),
        ("Qwen/Qwen3.8-27B-FP8", "Qwen/Qwen3.8-27B-FP8"),
        ('{"method": "mtp"}', '"{\\"method\\": \\"mtp\\"}"'),
        ("50%", '"50%%"'),
        ("$HOME", '"$$HOME"'),
        ("a\\b", '"a\\\\b"'),
        ("", '""'),
        ("two words", '"two words"'),
    ],
)
def test_argument(word: str, written: str) -> None:
    assert exec_word(word) == written


def test_setting_keeps_dollars_and_doubles_percent() -> None:
    assert setting("Environment", "A=5 % of $B") == 'Environment="A=5 %% of $B"'
    assert setting("Environment", "A=1") == "Environment=A=1"


def test_command_over_lines_has_comments_between_and_ends_without_a_mark() -> None:
    lines = exec_lines([Line("/bin/x")], [Line("--a 1", "why"), Line("--b")])
    assert [line.text if isinstance(line, Line) else line for line in lines] == [
        "ExecStart=/bin/x \\",
        "    --a 1 \\",
        "    --b",
    ]
