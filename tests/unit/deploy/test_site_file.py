"""A file's comments and the reasons that ``--explain`` shows are one thing."""

from __future__ import annotations

from stoker.deploy import Line, Reason, SiteFile
from stoker.deploy.site_file import indented


def test_reason_becomes_the_comment_above_its_line_as_far_to_the_right() -> None:
    file = SiteFile.of("a.yaml", ["top:", Line("  inner: 1", "it must be 1")])
    assert file.text == "top:\n  # it must be 1\n  inner: 1\n"
    assert file.reasons == (Reason("inner: 1", "it must be 1"),)


def test_long_reason_is_wrapped() -> None:
    file = SiteFile.of("a.yaml", [Line("    x: 1", "why " * 60)])
    *comments, line = file.text.splitlines()
    assert len(comments) > 1
    assert all(part.startswith("    # ") and len(part) <= 100 for part in comments)
    assert line == "    x: 1"


def test_line_end_in_a_reason_begins_no_line_of_the_file() -> None:
    file = SiteFile.of("a.yaml", [Line("x: 1", "first\nprivileged: true")])
    assert file.text == "# first privileged: true\nx: 1\n"


def test_other_comment_marks() -> None:
    assert SiteFile.of("a.ini", [Line("x=1", "why")], comment=";").text == "; why\nx=1\n"


def test_indented_leaves_empty_lines_empty() -> None:
    assert [line.text for line in indented(["a", ""], 2)] == ["  a", ""]
